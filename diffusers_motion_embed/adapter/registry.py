"""The motion embeddings of one model inside a pipeline: which are loaded, which are active, how strongly.

The registry hangs on the model, because several pipelines may share one model. It puts plain layers on the model's
attention layers, and `sync` puts them back where other tools rebuilt blocks.
"""

from __future__ import annotations

import copy
import numbers
from dataclasses import dataclass, field

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from diffusers_motion_embed.adapter.attachment import attach, detach, follow_new_projections
from diffusers_motion_embed.adapter.config import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.layer import PARTS, LayerEmbedding, MotionEmbeddingLayer
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.errors import AdapterNameError, MissingLayersError, MotionScaleError
from diffusers_motion_embed.functional import DEBIAS_MODES, Debias


ATTRIBUTE = "_motion_embedding_registry"

# An embedding outside of any layer: path of the attention layer -> part -> tensor.
EmbeddingTensors = dict[str, dict[str, Tensor]]


@dataclass
class LoadedEmbedding:
    """One adapter of the registry."""

    config: MotionEmbeddingConfig
    debias: Debias
    active: bool = True
    scales: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 1.0))


class MotionEmbeddingRegistry:
    """All motion embeddings of one model. Get it with `registry_of`."""

    def __init__(self) -> None:
        self.loaded: dict[str, LoadedEmbedding] = {}
        self.layers: dict[str, MotionEmbeddingLayer] = {}
        self.enabled = True

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        follow_new_projections()  # in a process that only unpickled the model, nobody has asked for it yet

    @property
    def active(self) -> list[str]:
        """Names of the active embeddings."""
        return [name for name, loaded in self.loaded.items() if loaded.active]

    def require(self, names: list[str]) -> None:
        """Raise an `AdapterNameError` unless all of `names` are loaded."""
        unknown = [name for name in names if name not in self.loaded]
        if unknown:
            raise AdapterNameError(
                f"No motion embedding named {', '.join(map(repr, unknown))}; loaded: {sorted(self.loaded)}. "
                "Load it first with load_motion_embedding(..., adapter_name=...)."
            )

    def refresh(self) -> None:
        """Write scales, activity and debiasing of all adapters into the layers."""
        for name, loaded in self.loaded.items():
            for layer in self.layers.values():
                embedding = layer.embeddings.get(name)
                if embedding is None:
                    continue
                embedding.debias = loaded.debias
                for part in PARTS:
                    embedding.scales[part].fill_(loaded.scales[part] if loaded.active and self.enabled else 0.0)


def registry_of(model: nn.Module) -> MotionEmbeddingRegistry:
    """The registry of a model; an empty one that is not stored yet if nothing was loaded."""
    return getattr(model, ATTRIBUTE, None) or MotionEmbeddingRegistry()


def add_embedding(
    model: nn.Module, adapter_name: str, config: MotionEmbeddingConfig, tensors: EmbeddingTensors
) -> None:
    """Put a checked embedding on the model. The tensors themselves, not copies, are used from now on.

    It is active beside those that were active before; `set_active` chooses among them.
    """
    registry = registry_of(model)
    _refuse_peft_layers(model)
    registry.loaded[adapter_name] = LoadedEmbedding(copy.deepcopy(config), config.debias)
    for path, parts in tensors.items():
        layer = registry.layers.setdefault(path, MotionEmbeddingLayer())
        layer.embeddings[adapter_name] = LayerEmbedding(parts.get("qk"), parts.get("v"))
    object.__setattr__(model, ATTRIBUTE, registry)
    registry.refresh()
    sync(model)


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
        delattr(model, ATTRIBUTE)


def sync(model: nn.Module) -> None:
    """Put every layer (back) where it belongs. Doing so again changes nothing.

    Raises:
        MissingLayersError: If the model no longer has a layer.
    """
    layers = registry_of(model).layers
    for path, layer in layers.items():
        try:
            attention, picture_module = _surroundings(model, path)
        except AttributeError as error:
            raise MissingLayersError(
                f"The model no longer has {path}, which a loaded motion embedding adapts: something, such as "
                "enable_free_noise_split_inference(), rebuilt it. Undo that, or call unload_motion_embedding()."
            ) from error
        attach(attention, picture_module, layer)


def embedding_tensors(model: nn.Module, adapter_name: str) -> EmbeddingTensors:
    """The very tensors of a loaded embedding."""
    tensors: EmbeddingTensors = {}
    for path, layer in registry_of(model).layers.items():
        embedding = layer.embeddings.get(adapter_name)
        if embedding is not None:
            parts = {"qk": embedding.qk, "v": embedding.v}
            tensors[path] = {part: tensor for part, tensor in parts.items() if tensor is not None}
    return tensors


def set_active(registry: MotionEmbeddingRegistry, scales: dict[str, float | dict[str, float]]) -> None:
    """Activate exactly the named embeddings with the given scales.

    Raises:
        AdapterNameError: If one of them is not loaded.
        MotionScaleError: If a scale is not finite.
    """
    registry.require(list(scales))
    by_part = {name: scale_by_part(scale) for name, scale in scales.items()}
    for name, loaded in registry.loaded.items():
        loaded.active = name in scales
        loaded.scales.update(by_part.get(name, {}))
    registry.refresh()


def set_scale(registry: MotionEmbeddingRegistry, names: list[str], scale: float | dict[str, float]) -> None:
    """Set the scale of the named embeddings.

    Raises:
        AdapterNameError: If one of them is not loaded.
        MotionScaleError: If a scale is not finite, or is given for an unknown part.
    """
    registry.require(names)
    by_part = scale_by_part(scale)
    for name in names:
        registry.loaded[name].scales.update(by_part)
    registry.refresh()


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


def check_debias(debias: str) -> None:
    """Raise a ValueError if `debias` is no mode."""
    if debias not in DEBIAS_MODES:
        raise ValueError(f"debias must be one of {', '.join(DEBIAS_MODES)}; got {debias!r}.")


def scale_by_part(scale: float | dict[str, float]) -> dict[str, float]:
    """One scale for every part: from a number for all, or a dictionary of some, {"qk": 1.0, "v": 0.5}."""
    by_part = scale if isinstance(scale, dict) else dict.fromkeys(PARTS, scale)
    unknown = sorted(set(by_part) - set(PARTS), key=str)
    if unknown:
        raise MotionScaleError(f"A motion scale can be given for the parts {', '.join(PARTS)}; got {unknown}.")
    for part, value in by_part.items():
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not is_number or not abs(value) <= torch.finfo(torch.float32).max:  # so written, NaN does not pass
            raise MotionScaleError(
                f"A motion scale must be a finite number, 1.0 as trained and 0.0 for none; got {value!r} for {part}."
            )
    return {part: float(value) for part, value in by_part.items()}


def _refuse_peft_layers(model: nn.Module) -> None:
    if any(isinstance(layer, MotionEmbeddingLayer) and isinstance(layer, BaseTunerLayer) for layer in model.modules()):
        raise AdapterNameError(
            "The model has motion embeddings through a PeftModel already, and the two do not mix. Call unload() on "
            "the PeftModel first, or load all of them through PEFT."
        )


def _surroundings(model: nn.Module, path: str) -> tuple[nn.Module, nn.Module]:
    picture_path = find_architecture(model).picture_module(path)
    return model.get_submodule(path), model.get_submodule(picture_path)
