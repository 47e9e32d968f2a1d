"""The motion embeddings of one model inside a pipeline: which are loaded, which are active, how strongly.

The registry hangs on the model, because several pipelines may share one model. It puts plain layers on the model's
attention layers, and `sync` puts them back where other tools rebuilt blocks.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from diffusers_motion_embed.adapter.attachment import (
    attach,
    attach_observer,
    detach,
    detach_observer,
    follow_new_projections,
    forget_compiled,
)
from diffusers_motion_embed.adapter.layer import LayerEmbedding, MotionEmbeddingLayer
from diffusers_motion_embed.adapter.scales import LayerScales, Scale, resolve_scale
from diffusers_motion_embed.adapter.state import EmbeddingState
from diffusers_motion_embed.architectures import Architecture, find_architecture
from diffusers_motion_embed.architectures.layouts import Layout
from diffusers_motion_embed.architectures.rotary import Rotary
from diffusers_motion_embed.errors import AdapterNameError, IncompatibleEmbeddingError, MissingLayersError
from diffusers_motion_embed.functional import Debias
from diffusers_motion_embed.storage.embedding import Embedding, EmbeddingTensors


ATTRIBUTE = "_motion_embedding_registry"


class MotionEmbeddingRegistry:
    """All motion embeddings of one model. Get it with `registry_of`.

    Attributes:
        loaded: The state of each adapter, by name.
        layers: The layers that hold their tensors, by path of the attention.
        places: Position in the model of each attention layer that mixes frames, by path; see `Architecture.place`.
        architecture: Table entry of the model; set when something is loaded.
        enabled: Whether the active embeddings act.
    """

    def __init__(self) -> None:
        self.loaded: dict[str, EmbeddingState] = {}
        self.layers: dict[str, MotionEmbeddingLayer] = {}
        self.places: dict[str, tuple] = {}
        # Found when something is loaded: torch.compile cannot trace that.
        self.architecture: Architecture
        self.enabled = True

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        # A process that only unpickled the model has not asked for these yet.
        follow_new_projections()
        forget_compiled()

    @property
    def active(self) -> list[str]:
        """Names of the active embeddings."""
        return [name for name, state in self.loaded.items() if state.active]

    @property
    def acting(self) -> list[str]:
        """Names of the embeddings that change what the model computes, at a time that is theirs."""
        factors = {name: self.loaded[name].factors.values() for name in self.active if self.enabled}
        return [name for name, of_layers in factors.items() if any(any(each.values()) for each in of_layers)]

    def observe_timestep(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        """Pre-hook of the model: tells every embedding how far the denoising has come."""
        timestep = kwargs["timestep"] if "timestep" in kwargs else args[self.architecture.timestep_position]
        done = self.architecture.share_done(timestep)
        for state in self.loaded.values():
            state.timing.observe(done)

    def forget_action(self) -> None:
        """Begin to note which embeddings act."""
        for state in self.loaded.values():
            state.timing.acted = torch.zeros(())

    def fitted(self) -> Iterator[tuple[str, int, int]]:
        """Names of the active embeddings that were fitted to another number of frames, with both numbers."""
        for name in self.active if self.enabled else ():
            frames = self.loaded[name].config.num_latent_frames
            for layer in self.layers.values():
                seen = layer.num_frames
                if name in layer.embeddings and seen is not None and seen != frames:
                    yield name, frames, seen
                    break

    def in_moving_regions(self) -> list[str]:
        """Names of the active embeddings whose region is not the same in all frames."""
        regions = {name: self.loaded[name].region for name in self.active if self.enabled}
        return [name for name, region in regions.items() if region is not None and (region != region[:1]).any()]

    def idle(self) -> list[str]:
        """Names of the active embeddings whose time has not come since `forget_action`."""
        if not self.enabled:
            return []
        return [
            name
            for name, state in self.loaded.items()
            if state.active and not state.timing.is_whole and not state.timing.acted
        ]

    def require(self, names: list[str]) -> None:
        """Raise an `AdapterNameError` unless all of `names` are loaded."""
        unknown = [name for name in names if name not in self.loaded]
        if unknown:
            raise AdapterNameError(
                f"No motion embedding named {', '.join(map(repr, unknown))}; loaded: {sorted(self.loaded)}. "
                "Load it first with load_motion_embedding(..., adapter_name=...)."
            )

    def update(self, names: list[str], **settings: Any) -> None:
        """Change settings of the named embeddings. Their configs hold the new values from then on.

        Args:
            names: Names of loaded embeddings.
            **settings: Fields of `MotionEmbeddingConfig` that say how an embedding is used, such as `debias`.

        Raises:
            AdapterNameError: If one of them is not loaded.
            ValueError: If a setting has an invalid value. Nothing is changed then.
        """
        self.require(names)
        configs = {name: self.loaded[name].config.changed(**settings) for name in names}
        for name, config in configs.items():
            self.loaded[name].configure(config)
        if "frame_policy" in settings:  # another computation; other settings change numbers only
            forget_compiled()

    def set_region(self, names: list[str], region: Tensor | None) -> None:
        """Set where in the picture the named embeddings act, (t, y, x) from 0 to 1; None for everywhere.

        Raises:
            AdapterNameError: If one of them is not loaded.
        """
        self.require(names)
        for name in names:
            self.loaded[name].region = region
        forget_compiled()

    def activate(self, scales: dict[str, Scale]) -> None:
        """Activate exactly the named embeddings with the given scales.

        Raises:
            AdapterNameError: If one of them is not loaded.
            MotionScaleError: If a scale is not finite, or is for something unknown.
        """
        self.require(list(scales))
        factors = {name: self.resolve(scale) for name, scale in scales.items()}
        for name, state in self.loaded.items():
            state.active = name in scales
            if state.active:
                state.scale, state.factors = copy.deepcopy(scales[name]), factors[name]
        self._refresh()

    def activate_alone(self, name: str) -> None:
        """Make one embedding the only one that acts, at scale 1, and switch motions on so that it shows."""
        self.enabled = True
        self.activate({name: 1.0})

    def set_scale(self, names: list[str], scale: Scale) -> None:
        """Set the scale of the named embeddings.

        Raises:
            AdapterNameError: If one of them is not loaded.
            MotionScaleError: If a scale is not finite, or is for something unknown.
        """
        self.require(names)
        factors = self.resolve(scale)
        for name in names:
            self.loaded[name].scale, self.loaded[name].factors = copy.deepcopy(scale), factors
        self._refresh()

    def resolve(self, scale: Scale) -> LayerScales:
        """The factors of a scale.

        Raises:
            MotionScaleError: If it is not finite, or is for something that the model does not have.
        """
        return resolve_scale(scale, self.places)

    def enable(self, enabled: bool) -> None:
        """Switch the active embeddings on or off."""
        self.enabled = enabled
        self._refresh()

    @contextlib.contextmanager
    def silenced(self) -> Iterator[None]:
        """Silence all motion embeddings for a while, then restore them."""
        was_enabled = self.enabled
        self.enable(False)
        try:
            yield
        finally:
            self.enable(was_enabled)

    def _refresh(self) -> None:
        """Write scales and activity into the layers. The tensors stay the same objects; only their numbers change."""
        for name, state in self.loaded.items():
            acts = state.active and self.enabled
            for path, layer in self.layers.items():
                if name in layer.embeddings:
                    for part, scale in layer.embeddings[name].scales.items():
                        scale.fill_(state.factors[path][part] if acts else 0.0)


def registry_of(model: nn.Module) -> MotionEmbeddingRegistry:
    """The registry of a model. If nothing was loaded, it is empty and not stored yet."""
    return getattr(model, ATTRIBUTE, None) or MotionEmbeddingRegistry()


def add_embedding(model: ModelMixin, adapter_name: str, embedding: Embedding) -> None:
    """Put a checked embedding on the model. The tensors themselves are used, not copies.

    Only inference tensors are copied, because they could not be written to outside `torch.inference_mode`.

    The new embedding is active along with those that were active before; `activate` chooses among them.

    Raises:
        AdapterNameError: As in `check_new_name`.
    """
    registry = registry_of(model)
    check_new_name(model, adapter_name)
    registry.architecture = architecture = find_architecture(model)
    # Existing layers count even while other tools hide them, as FreeNoise's split inference does.
    registry.places |= {path: architecture.place(path) for path in architecture.attention_paths(model)}
    if architecture.rotary_path is not None:
        registry.places[architecture.rotary_path] = ()  # in no section: it has the positions of the whole model
    state = EmbeddingState(copy.deepcopy(embedding.config), factors=registry.resolve(1.0))
    registry.loaded[adapter_name] = state
    for path, parts in embedding.tensors.items():
        layer = registry.layers.setdefault(path, MotionEmbeddingLayer(*layer_arguments(model, path)))
        tensors = {part: _ordinary(tensor) for part, tensor in parts.items()}
        layer.embeddings[adapter_name] = LayerEmbedding(tensors, state)
    object.__setattr__(model, ATTRIBUTE, registry)
    registry.enable(registry.enabled)
    sync(model)
    forget_compiled()


def layer_arguments(model: ModelMixin, path: str) -> tuple[Layout, Rotary | None]:
    """Arguments for the `MotionEmbeddingLayer` at a path of the model."""
    architecture = find_architecture(model)
    rotary = architecture.rotary if path == architecture.rotary_path else None
    return architecture.layout(model), rotary if isinstance(rotary, Rotary) else None


def _ordinary(tensor: Tensor) -> Tensor:
    """The tensor itself, or an ordinary copy of an inference tensor."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


def replace_embedding(model: nn.Module, adapter_name: str, embedding: Embedding) -> None:
    """Write another embedding into the tensors of a loaded one.

    The adapter keeps its scale and activity, and when and over how many frames it acts. Only numbers of the model
    change, so a compiled model is not recompiled.

    Raises:
        AdapterNameError: If there is no such embedding.
        IncompatibleEmbeddingError: If the two differ in layers, parts or shapes.
    """
    check_replaceable(model, adapter_name, embedding)
    present = embedding_tensors(model, adapter_name)
    for path, parts in embedding.tensors.items():
        for part, tensor in parts.items():
            present[path][part].copy_(tensor)
    state = registry_of(model).loaded[adapter_name]
    kept = {name: getattr(state.config, name) for name in ("timing", "frame_policy")}
    state.configure(copy.deepcopy(embedding.config).changed(**kept))


def check_replaceable(model: nn.Module, adapter_name: str, embedding: Embedding) -> None:
    """Raise what `replace_embedding` would, and change nothing."""
    registry_of(model).require([adapter_name])
    present, tensors = embedding_tensors(model, adapter_name), embedding.tensors
    if _shapes(present) != _shapes(tensors):
        different = sorted(key for key, _ in set(_shapes(present).items()) ^ set(_shapes(tensors).items()))
        raise IncompatibleEmbeddingError(
            f"hotswap needs an embedding of the same layers, parts and shapes as {adapter_name!r}; different are "
            f"{len(different)}, for instance {different[0]}. Delete {adapter_name!r} and load the new one instead."
        )


def remove_embedding(model: nn.Module, adapter_name: str) -> None:
    """Take an embedding off the model. Every trace of the registry goes with the last one.

    Its name goes last: a call that is interrupted can be repeated.
    """
    registry = registry_of(model)
    for path, layer in list(registry.layers.items()):
        if layer.embeddings.keys() <= {adapter_name}:
            detach(model, layer)
            del registry.layers[path]
        layer.embeddings.pop(adapter_name, None)
    is_last = registry.loaded.keys() <= {adapter_name}
    if is_last:
        detach_observer(model, registry)
    forget_compiled()
    if is_last and hasattr(model, ATTRIBUTE):
        delattr(model, ATTRIBUTE)
    registry.loaded.pop(adapter_name, None)


@contextlib.contextmanager
def taken_off_on_error(model: nn.Module, adapter_name: str) -> Iterator[None]:
    """Take a new embedding off again if something goes wrong. The others act as before then.

    Raises:
        AdapterNameError: As in `check_new_name`, before anything is done.
    """
    check_new_name(model, adapter_name)
    before = registry_of(model)
    was_enabled, were_active = before.enabled, before.active
    try:
        yield
    except BaseException:
        remove_embedding(model, adapter_name)
        registry = registry_of(model)
        for name, other in registry.loaded.items():
            other.active = name in were_active
        registry.enable(was_enabled)
        raise


def sync(model: nn.Module) -> None:
    """Put every layer back where it belongs. Repeated calls change nothing.

    Raises:
        MissingLayersError: If the model no longer has a layer, and an embedding acts.
    """
    registry = registry_of(model)
    if registry.loaded:
        attach_observer(model, registry)
    for path, layer in registry.layers.items():
        try:
            attention, size_module = _surroundings(model, path)
        except AttributeError as error:
            if not registry.acting:
                continue
            raise MissingLayersError(
                f"The model no longer has {path}, which a loaded motion embedding adapts: something, such as "
                "enable_free_noise_split_inference(), rebuilt it. Undo that, or call unload_motion_embedding()."
            ) from error
        attach(attention, size_module, layer)


def embedding_tensors(model: nn.Module, adapter_name: str) -> EmbeddingTensors:
    """The tensors of a loaded embedding themselves, not copies."""
    tensors: EmbeddingTensors = {}
    for path, layer in registry_of(model).layers.items():
        embedding = layer.embeddings.get(adapter_name)
        if embedding is not None:
            tensors[path] = dict(embedding.tensors)
    return tensors


@contextlib.contextmanager
def in_training(model: ModelMixin, adapter_name: str, embedding: Embedding, debias: Debias) -> Iterator[None]:
    """Put the embedding on the model as its training needs it: alone, at scale 1 and at all noise levels.

    Afterwards it is the only active embedding, acts as its config says, and requires no gradients. If something goes
    wrong, it is taken off and the others act as before.

    Args:
        model: The model to train on.
        adapter_name: Name for the embedding.
        embedding: The embedding to train. Its own tensors are trained.
        debias: The debiasing mode through which its value part is trained.
    """
    with taken_off_on_error(model, adapter_name):
        add_embedding(model, adapter_name, embedding)
        registry = registry_of(model)
        state = registry.loaded[adapter_name]
        config = state.config
        registry.activate_alone(adapter_name)
        state.configure(config.changed(debias=debias, timing=None))
        yield
        for parts in embedding.tensors.values():
            for tensor in parts.values():
                tensor.requires_grad_(False)
        state.configure(config)


def is_adapted_by_peft(model: nn.Module) -> bool:
    """Whether the model has motion embeddings through a PeftModel."""
    return any(
        isinstance(layer, MotionEmbeddingLayer) and isinstance(layer, BaseTunerLayer) for layer in model.modules()
    )


def check_addable(model: nn.Module) -> None:
    """Raise an `AdapterNameError` if the model has motion embeddings through a PeftModel."""
    if is_adapted_by_peft(model):
        raise AdapterNameError(
            "The model has motion embeddings through a PeftModel already, and the two do not mix. Call unload() on "
            "the PeftModel first, or load all of them through PEFT."
        )


def check_new_name(model: nn.Module, adapter_name: str) -> None:
    """Raise an `AdapterNameError` if no embedding can be added to the model, or none under this name."""
    check_addable(model)
    if not isinstance(adapter_name, str) or not adapter_name:
        raise AdapterNameError(f"adapter_name must be a text that is not empty, got {adapter_name!r}.")
    if adapter_name in registry_of(model).loaded:
        raise AdapterNameError(
            f"A motion embedding named {adapter_name!r} is loaded already; choose another adapter_name, or call "
            f"delete_motion_embedding({adapter_name!r}) first."
        )


def _surroundings(model: nn.Module, path: str) -> tuple[nn.Module, nn.Module]:
    return model.get_submodule(path), model.get_submodule(find_architecture(model).size_module(path))


def _shapes(tensors: EmbeddingTensors) -> dict[str, tuple[int, ...]]:
    return {f"{path}, {part}": tuple(parts[part].shape) for path, parts in tensors.items() for part in parts}
