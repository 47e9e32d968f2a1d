"""What motion calls leave behind, in plain Python, and what has to be added to the input of each projection.

Part of the oracle, so it knows nothing of the package: every formula is written out again, from the definition of the
method and from the documented meaning of the calls.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


PREFIX, SEPARATOR = "base_model.model.", ".motion_embedding_"
NUM_TRAIN_TIMESTEPS = 1000

# Embedding: path of the attention layer -> part, "qk" or "v" -> tensor.
Tensors = dict[str, dict[str, Tensor]]


def tensors_of(state_dict: dict[str, Tensor]) -> Tensors:
    """Copies of the tensors of an embedding file, by layer and part."""
    tensors: Tensors = {}
    for key, tensor in state_dict.items():
        path, part = key.removeprefix(PREFIX).split(SEPARATOR)
        tensors.setdefault(path, {})[part] = tensor.clone()
    return tensors


@dataclass
class LoadedMotion:
    """One loaded embedding and its settings."""

    tensors: Tensors
    debias: str = "difference"
    scale: Any = 1.0
    start: float = 0.0
    end: float = 1.0
    active: bool = True

    def strength(self, path: str, part: str, timestep: int) -> float:
        """Its scale in one layer and part, 0 when it does not act there."""
        done = 1 - timestep / NUM_TRAIN_TIMESTEPS
        in_time = self.start <= done and (done < self.end or self.end == 1)
        left_out = part == "v" and self.debias == "free_placement"
        has_part = part in self.tensors.get(path, {})
        return scale_at(self.scale, path, part) if self.active and in_time and has_part and not left_out else 0.0

    def offset(self, path: str, part: str, grid: tuple[int, int]) -> Tensor:
        """What it adds at scale 1: (1, frames, channels) for "qk", (positions, frames, channels) for "v"."""
        tensor = self.tensors[path][part]
        if part == "qk":
            return tensor[None]
        rows, columns = stretching(tensor.shape[0], grid[0]), stretching(tensor.shape[1], grid[1])
        value = torch.einsum("Yy,Xx,yxfc->YXfc", rows, columns, debiased(tensor, self.debias))
        return value.reshape(grid[0] * grid[1], *value.shape[2:])  # position = y * width + x


class MotionRecord:
    """The motion embeddings of a pipeline."""

    def __init__(self) -> None:
        self.loaded: dict[str, LoadedMotion] = {}
        self.enabled = True

    @property
    def active(self) -> list[str]:
        return [name for name, motion in self.loaded.items() if motion.active]

    def acts(self, timestep: int) -> bool:
        """Whether anything is added anywhere."""
        return self.enabled and any(
            motion.strength(path, part, timestep)
            for motion in self.loaded.values()
            for path, parts in motion.tensors.items()
            for part in parts
        )

    def offset(self, path: str, part: str, grid: tuple[int, int], timestep: int) -> Tensor | None:
        """The sum of what all embeddings add in one layer and part; None for nothing."""
        strengths = [(motion, motion.strength(path, part, timestep)) for motion in self.loaded.values()]
        offsets = [strength * motion.offset(path, part, grid) for motion, strength in strengths if strength]
        return sum(offsets) if offsets and self.enabled else None

    def load(self, tensors: Tensors, name: str, debias: str | None) -> None:
        for motion in self.loaded.values():
            motion.active = False
        self.loaded[name] = LoadedMotion(tensors, debias or "difference")
        self.enabled = True

    def hotswap(self, tensors: Tensors, name: str, debias: str | None) -> None:
        self.loaded[name].tensors, self.loaded[name].debias = tensors, debias or "difference"

    def set_embeddings(self, names: list[str], scales: list[Any]) -> None:
        for name, motion in self.loaded.items():
            motion.active = name in names
        for name, scale in zip(names, scales, strict=True):
            self.loaded[name].scale = scale

    def named_or_active(self, name: str | None) -> list[LoadedMotion]:
        return [self.loaded[each] for each in (self.active if name is None else [name])]

    def delete(self, names: list[str]) -> None:
        had_active = bool(self.active)
        for name in names:
            self.loaded.pop(name, None)
        if had_active and self.loaded and not self.active:
            next(iter(self.loaded.values())).active = True
        self._forget_switch()

    def unload(self) -> None:
        self.loaded.clear()
        self._forget_switch()

    def set_enabled(self, enabled: bool) -> None:
        self.enabled = enabled
        self._forget_switch()

    def _forget_switch(self) -> None:
        if not self.loaded:
            self.enabled = True  # a model without embeddings remembers nothing


def debiased(value: Tensor, mode: str) -> Tensor:
    """The value part (h, w, frames, channels) freed from appearance."""
    if mode == "identity":
        return value
    if mode == "centered":
        return value - value.sum(2, keepdim=True) / value.shape[2]
    frames = list(value.unbind(2))
    first = frames[0] if mode == "difference" else torch.zeros_like(frames[0])
    return torch.stack([first] + [frames[t] - frames[t - 1] for t in range(1, len(frames))], dim=2)


def stretching(size: int, new_size: int) -> Tensor:
    """The matrix (new_size, size) that stretches one axis linearly between the centres of its cells."""
    matrix = torch.zeros(new_size, size)
    for row in range(new_size):
        centre = min(max((row + 0.5) * size / new_size - 0.5, 0.0), size - 1.0)
        left = int(centre)
        right = min(left + 1, size - 1)
        matrix[row, left] += 1 - (centre - left)
        matrix[row, right] += centre - left
    return matrix


def scale_at(scale: Any, path: str, part: str) -> float:
    """The factor that a scale means for one layer and part; what it does not name has 1."""
    names = path.split(
        "."
    )  # down_blocks.0.temp_attentions.1.transformer_blocks.0.attn1, mid_block.motion_modules.0...
    section = {"down_blocks": "down", "up_blocks": "up", "mid_block": "mid"}.get(names[0], names[0])
    block, transformer = (names[1], names[3]) if section in ("down", "up") else (None, names[2])
    steps = [section, f"block_{block}"] if block is not None else [section]
    while isinstance(scale, (dict, list)):
        if isinstance(scale, list):
            scale = scale[int(transformer)]
        elif set(scale) <= {"qk", "v"}:
            scale = scale.get(part, 1.0)
        else:
            scale = scale.get(steps.pop(0), 1.0)
    return scale
