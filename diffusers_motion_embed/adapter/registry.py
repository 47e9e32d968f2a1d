"""The motion embeddings of one model inside a pipeline: which are loaded, which are active, how strongly.

The registry hangs on the model, because several pipelines may share one model. It puts plain layers on the model's
attention layers, and `sync` puts them back where other tools rebuilt blocks.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
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
from diffusers_motion_embed.adapter.layer import PARTS, LayerEmbedding, MotionEmbeddingLayer
from diffusers_motion_embed.adapter.scales import LayerScales, Scale, resolve_scale
from diffusers_motion_embed.adapter.timing import Timing, check_timing
from diffusers_motion_embed.architectures import Architecture, find_architecture
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import AdapterNameError, IncompatibleEmbeddingError, MissingLayersError
from diffusers_motion_embed.functional import DEBIAS_MODES, FRAME_POLICIES, Debias, FramePolicy, debias_weights
from diffusers_motion_embed.storage.files import EmbeddingTensors


ATTRIBUTE = "_motion_embedding_registry"


@dataclass
class LoadedEmbedding:
    """One adapter of the registry.

    Args:
        config: Its settings.
        debias: How its value part is freed from appearance.
        frame_policy: What becomes of it in clips of another length.
        scale: As the user gave it.
        scales: The same, worked out for every layer and part.
        active: Whether it is among the active ones.
        timing: When it acts.
    """

    config: MotionEmbeddingConfig
    debias: Debias
    scale: Scale
    scales: LayerScales
    active: bool = True
    timing: Timing = field(default_factory=Timing)
    frame_policy: FramePolicy = "resample"


class MotionEmbeddingRegistry:
    """All motion embeddings of one model. Get it with `registry_of`."""

    def __init__(self) -> None:
        self.loaded: dict[str, LoadedEmbedding] = {}
        self.layers: dict[str, MotionEmbeddingLayer] = {}
        self.architecture: Architecture | None = (
            None  # found when something is loaded: torch.compile cannot trace that
        )
        self.enabled = True

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        # In a process that only unpickled the model, nobody has asked for these yet.
        follow_new_projections()
        forget_compiled()

    @property
    def active(self) -> list[str]:
        """Names of the active embeddings."""
        return [name for name, loaded in self.loaded.items() if loaded.active]

    def observe_timestep(self, model: nn.Module, args: tuple, kwargs: dict) -> None:
        """Pre-hook of the model: tells every embedding how far the denoising has come."""
        timestep = kwargs["timestep"] if "timestep" in kwargs else args[self.architecture.timestep_position]
        done = self.architecture.share_done(timestep)
        for loaded in self.loaded.values():
            loaded.timing.observe(done)

    def forget_action(self) -> None:
        """Begin to note which embeddings act."""
        for loaded in self.loaded.values():
            loaded.timing.acted = torch.zeros(())

    def fitted(self) -> Iterator[tuple[str, int, int]]:
        """Names of the active embeddings whose frames were fitted to another number, with both numbers."""
        for name in self.active if self.enabled else ():
            frames = self.loaded[name].config.num_latent_frames
            for layer in self.layers.values():
                if name in layer.embeddings and layer.num_frames not in (None, frames):
                    yield name, frames, layer.num_frames
                    break

    def idle(self) -> list[str]:
        """Names of the active embeddings whose time has not come since `forget_action`."""
        if not self.enabled:
            return []
        return [
            name
            for name, loaded in self.loaded.items()
            if loaded.active and not loaded.timing.is_whole and not loaded.timing.acted
        ]

    def require(self, names: list[str]) -> None:
        """Raise an `AdapterNameError` unless all of `names` are loaded."""
        unknown = [name for name in names if name not in self.loaded]
        if unknown:
            raise AdapterNameError(
                f"No motion embedding named {', '.join(map(repr, unknown))}; loaded: {sorted(self.loaded)}. "
                "Load it first with load_motion_embedding(..., adapter_name=...)."
            )

    def refresh(self) -> None:
        """Write scales, activity, timing, debiasing and frame policy of all adapters into the layers."""
        for name, loaded in self.loaded.items():
            acts = loaded.active and self.enabled
            for path, layer in self.layers.items():
                embedding = layer.embeddings.get(name)
                if embedding is None:
                    continue
                embedding.debias_weights.copy_(debias_weights(loaded.debias))
                embedding.frame_policy = loaded.frame_policy
                embedding.timing = loaded.timing
                for part in PARTS:
                    embedding.scales[part].fill_(loaded.scales[path][part] if acts else 0.0)


def registry_of(model: nn.Module) -> MotionEmbeddingRegistry:
    """The registry of a model; an empty one that is not stored yet if nothing was loaded."""
    return getattr(model, ATTRIBUTE, None) or MotionEmbeddingRegistry()


def add_embedding(
    model: nn.Module, adapter_name: str, config: MotionEmbeddingConfig, tensors: EmbeddingTensors
) -> None:
    """Put a checked embedding on the model. The tensors themselves, not copies, are used from now on.

    Only inference tensors are copied: they could not be written to outside `torch.inference_mode`.

    It is active beside those that were active before; `set_active` chooses among them.
    """
    registry = registry_of(model)
    _refuse_peft_layers(model)
    registry.loaded[adapter_name] = LoadedEmbedding(
        copy.deepcopy(config), config.debias, 1.0, _resolve(model, 1.0), timing=Timing(*(config.timing or (0.0, 1.0)))
    )
    registry.architecture = find_architecture(model)
    layout = registry.architecture.layout(model)
    for path, parts in tensors.items():
        layer = registry.layers.setdefault(path, MotionEmbeddingLayer(layout))
        layer.embeddings[adapter_name] = LayerEmbedding(*(_ordinary(parts.get(part)) for part in PARTS))
    object.__setattr__(model, ATTRIBUTE, registry)
    registry.refresh()
    sync(model)
    forget_compiled()


def _ordinary(tensor: Tensor | None) -> Tensor | None:
    """The tensor, or what is no inference tensor of the same numbers."""
    if tensor is None or not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


def replace_embedding(
    model: nn.Module, adapter_name: str, config: MotionEmbeddingConfig, tensors: EmbeddingTensors
) -> None:
    """Write another embedding into the tensors of a loaded one, which keeps its scale, timing and activity.

    Nothing of the model changes but numbers, so a compiled model is not compiled anew.

    Raises:
        AdapterNameError: If there is no such embedding.
        IncompatibleEmbeddingError: If the two have not the same layers, parts and shapes.
    """
    registry = registry_of(model)
    registry.require([adapter_name])
    present = embedding_tensors(model, adapter_name)
    if _shapes(present) != _shapes(tensors):
        different = sorted(key for key, _ in set(_shapes(present).items()) ^ set(_shapes(tensors).items()))
        raise IncompatibleEmbeddingError(
            f"hotswap needs an embedding of the same layers, parts and shapes as {adapter_name!r}; different are "
            f"{len(different)}, for instance {different[0]}. Delete {adapter_name!r} and load the new one instead."
        )
    for path, parts in tensors.items():
        for part, tensor in parts.items():
            present[path][part].copy_(tensor)
    loaded = registry.loaded[adapter_name]
    loaded.config, loaded.debias = copy.deepcopy(config), config.debias
    registry.refresh()


def remove_embedding(model: nn.Module, adapter_name: str) -> None:
    """Take an embedding off the model, and with the last one every trace of the registry."""
    registry = registry_of(model)
    del registry.loaded[adapter_name]
    for path, layer in list(registry.layers.items()):
        layer.embeddings.pop(adapter_name, None)
        if not layer.embeddings:
            detach(model, layer)
            del registry.layers[path]
    if not registry.loaded:
        detach_observer(model, registry)
        delattr(model, ATTRIBUTE)
    forget_compiled()


def sync(model: nn.Module) -> None:
    """Put every layer (back) where it belongs. Doing so again changes nothing.

    Raises:
        MissingLayersError: If the model no longer has a layer.
    """
    registry = registry_of(model)
    if registry.loaded:
        attach_observer(model, registry)
    for path, layer in registry.layers.items():
        try:
            attention, size_module = _surroundings(model, path)
        except AttributeError as error:
            raise MissingLayersError(
                f"The model no longer has {path}, which a loaded motion embedding adapts: something, such as "
                "enable_free_noise_split_inference(), rebuilt it. Undo that, or call unload_motion_embedding()."
            ) from error
        attach(attention, size_module, layer)


def embedding_tensors(model: nn.Module, adapter_name: str) -> EmbeddingTensors:
    """The very tensors of a loaded embedding."""
    tensors: EmbeddingTensors = {}
    for path, layer in registry_of(model).layers.items():
        embedding = layer.embeddings.get(adapter_name)
        if embedding is not None:
            parts = {"qk": embedding.qk, "v": embedding.v}
            tensors[path] = {part: tensor for part, tensor in parts.items() if tensor is not None}
    return tensors


def set_active(model: nn.Module, scales: dict[str, Scale]) -> None:
    """Activate exactly the named embeddings with the given scales.

    Raises:
        AdapterNameError: If one of them is not loaded.
        MotionScaleError: If a scale is not finite, or is for something unknown.
    """
    registry = registry_of(model)
    registry.require(list(scales))
    resolved = {name: _resolve(model, scale) for name, scale in scales.items()}
    for name, loaded in registry.loaded.items():
        loaded.active = name in scales
        if loaded.active:
            loaded.scale, loaded.scales = copy.deepcopy(scales[name]), resolved[name]
    registry.refresh()


def set_scale(model: nn.Module, names: list[str], scale: Scale) -> None:
    """Set the scale of the named embeddings.

    Raises:
        AdapterNameError: If one of them is not loaded.
        MotionScaleError: If a scale is not finite, or is for something unknown.
    """
    registry = registry_of(model)
    registry.require(names)
    resolved = _resolve(model, scale)
    for name in names:
        registry.loaded[name].scale, registry.loaded[name].scales = copy.deepcopy(scale), resolved
    registry.refresh()


def check_scale(model: nn.Module, scale: Scale) -> None:
    """Raise a `MotionScaleError` if `scale` is not finite, or is for something that the model does not have."""
    _resolve(model, scale)


def set_timing(registry: MotionEmbeddingRegistry, names: list[str], start: float, end: float) -> None:
    """Set when the named embeddings act.

    Raises:
        AdapterNameError: If one of them is not loaded.
        ValueError: If `start` and `end` are no part of the schedule.
    """
    registry.require(names)
    check_timing(start, end)
    for name in names:
        registry.loaded[name].timing.set(start, end)


def set_debias(registry: MotionEmbeddingRegistry, names: list[str], debias: Debias) -> None:
    """Set the debiasing of the named embeddings.

    Raises:
        AdapterNameError: If one of them is not loaded.
        ValueError: If there is no such mode.
    """
    registry.require(names)
    check_debias(debias)
    for name in names:
        registry.loaded[name].debias = debias
    registry.refresh()


def set_frame_policy(registry: MotionEmbeddingRegistry, names: list[str], policy: FramePolicy) -> None:
    """Set what becomes of the named embeddings in clips of another length.

    Raises:
        AdapterNameError: If one of them is not loaded.
        ValueError: If there is no such policy.
    """
    registry.require(names)
    if policy not in FRAME_POLICIES:
        raise ValueError(f"The frame policy must be one of {', '.join(FRAME_POLICIES)}; got {policy!r}.")
    for name in names:
        registry.loaded[name].frame_policy = policy
    registry.refresh()
    forget_compiled()


def check_debias(debias: str) -> None:
    """Raise a ValueError if `debias` is no mode."""
    if debias not in DEBIAS_MODES:
        raise ValueError(f"debias must be one of {', '.join(DEBIAS_MODES)}; got {debias!r}.")


def _refuse_peft_layers(model: nn.Module) -> None:
    if any(isinstance(layer, MotionEmbeddingLayer) and isinstance(layer, BaseTunerLayer) for layer in model.modules()):
        raise AdapterNameError(
            "The model has motion embeddings through a PeftModel already, and the two do not mix. Call unload() on "
            "the PeftModel first, or load all of them through PEFT."
        )


def _surroundings(model: nn.Module, path: str) -> tuple[nn.Module, nn.Module]:
    return model.get_submodule(path), model.get_submodule(find_architecture(model).size_module(path))


def _resolve(model: nn.Module, scale: Scale) -> LayerScales:
    architecture = find_architecture(model)
    # The loaded layers count also while other tools hide them, as FreeNoise's split inference does.
    paths = dict.fromkeys([*architecture.attention_paths(model), *registry_of(model).layers])
    return resolve_scale(scale, {path: architecture.place(path) for path in paths})


def _shapes(tensors: EmbeddingTensors) -> dict[str, tuple[int, ...]]:
    return {f"{path}, {part}": tuple(parts[part].shape) for path, parts in tensors.items() for part in parts}
