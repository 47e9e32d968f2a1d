"""What LoRA calls leave behind, in plain Python: which weights act in which layer, and how strongly.

Part of the oracle, so it knows nothing of the package, nor of PEFT. It mirrors diffusers 0.42.1 with PEFT 0.21 call by
call, layer by layer, because that is where PEFT keeps its state: a LoRA that is loaded after `disable_lora` acts in
the layers that it is the first to wrap and nowhere else, and after `delete_adapters` each layer picks a new active
adapter for itself.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class LoraWeights:
    """One LoRA in one layer: ΔW = scale · B · A, and for a DoRA the length of every row of the adapted weight."""

    a: Tensor
    b: Tensor
    scale: float
    magnitude: Tensor | None = None

    def added_to(self, weight: Tensor, base_weight: Tensor, factor: float) -> Tensor:
        """`weight` with this LoRA written into it, at `factor` times its own scale."""
        delta = factor * self.scale * (self.b @ self.a)
        if self.magnitude is None:
            return weight + delta
        length = torch.linalg.norm(base_weight + delta, dim=1)
        return (self.magnitude / length)[:, None] * (weight + delta)


# A LoRA: component of the pipeline -> path of the layer -> weights.
Lora = dict[str, dict[str, LoraWeights]]


@dataclass
class WrappedLayer:
    """A layer that some LoRA call has wrapped; it stays so until `unload_lora_weights`."""

    weights: dict[str, LoraWeights] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)
    active: list[str] = field(default_factory=list)
    fused: list[str] = field(default_factory=list)
    disabled: bool = False

    def written_into(self, base_weight: Tensor) -> Tensor:
        """The weight that the layer computes with."""
        weight = base_weight
        if not self.disabled:
            for name in self.fused or self.active:  # a layer with something fused computes with that alone
                if name in self.weights:
                    weight = self.weights[name].added_to(weight, base_weight, self.factors[name])
        return weight

    def delete(self, name: str) -> None:
        """Forget a LoRA; when it was the only active one, the first in the alphabet follows."""
        self.weights.pop(name, None)
        self.factors.pop(name, None)
        if name in self.active:
            self.active = [other for other in self.active if other != name] or sorted(self.weights)[:1]


class LoraRecord:
    """The LoRAs of a pipeline.

    Attributes:
        layers: By component and path.
        names: Loaded LoRAs by component.
    """

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, WrappedLayer]] = {"unet": {}, "text_encoder": {}}
        self.names: dict[str, list[str]] = {"unet": [], "text_encoder": []}

    @property
    def loaded(self) -> list[str]:
        """Names of the loaded LoRAs, each once."""
        return list(dict.fromkeys(self.names["unet"] + self.names["text_encoder"]))

    @property
    def is_fused(self) -> bool:
        """Whether anything is fused into the weights."""
        return any(layer.fused for layer in self._all_layers())

    @property
    def is_disabled(self) -> bool:
        """Whether `disable_lora` still holds somewhere."""
        return any(layer.disabled for layer in self._all_layers())

    @property
    def acts(self) -> bool:
        """Whether any weight differs from the base model's."""
        return any(
            not layer.disabled and any(layer.factors.get(name) for name in layer.fused or layer.active)
            for layer in self._all_layers()
        )

    def load(self, lora: Lora, name: str) -> None:
        for component, weights in lora.items():
            self.names[component].append(name)
            for path, layer_weights in weights.items():
                layer = self.layers[component].setdefault(path, WrappedLayer())
                layer.weights[name], layer.factors[name] = layer_weights, 1.0
            for layer in self.layers[component].values():
                layer.active = [name]

    def load_and_fail(self, lora: Lora, name: str) -> None:
        """Loading a LoRA whose tensors do not fit: diffusers injects it, fails, and deletes it again."""
        self.load(lora, name)
        self.delete([name])

    def set_adapters(self, names: list[str], factors: dict[str, list[float]]) -> None:
        for component, layers in self.layers.items():
            for layer in layers.values():
                layer.active = list(names)
                for name, factor in zip(names, factors[component], strict=True):
                    if name in layer.weights:
                        layer.factors[name] = factor

    def set_disabled(self, disabled: bool) -> None:
        for layer in self._all_layers():
            layer.disabled = disabled

    def fuse(self, components: list[str], scale: float, names: list[str] | None) -> None:
        for layer in [layer for component in components for layer in self.layers[component].values()]:
            for name in layer.active:
                if name in layer.weights:
                    layer.factors[name] *= scale  # for good: unfusing does not take it back
            layer.fused = [name for name in (layer.active if names is None else names) if name in layer.weights]

    def unfuse(self) -> None:
        for layer in self._all_layers():
            layer.fused = []

    def delete(self, names: list[str]) -> None:
        for name in names:
            for component, layers in self.layers.items():
                self.names[component] = [other for other in self.names[component] if other != name]
                for layer in layers.values():
                    layer.delete(name)

    def unload(self) -> None:
        self.__init__()

    def _all_layers(self) -> list[WrappedLayer]:
        return [layer for layers in self.layers.values() for layer in layers.values()]
