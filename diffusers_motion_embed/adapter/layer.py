"""The layer: holds the embeddings of one attention and adds them to what its projections receive.

A layer is a child of the attention that it adapts, under the name `motion_embedding`, and works through forward
hooks on whatever stands at the query, key and value projections. The embedding therefore enters below base weight and
LoRA alike, (W + ΔW)(x + m), whatever was loaded first, and every attention processor keeps working. Putting layers on
attentions and keeping the hooks in place is the business of `adapter.attachment`.

The position part belongs to the whole model. Its layer is a child of the module that makes the model's rotary
positions, and moves the table of positions that all attentions receive.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffusers_motion_embed.adapter.state import EmbeddingState
from diffusers_motion_embed.architectures.layouts import Layout, VideoSize
from diffusers_motion_embed.architectures.rotary import Rotary
from diffusers_motion_embed.config import PARTS
from diffusers_motion_embed.errors import UnsupportedModelError
from diffusers_motion_embed.functional import (
    debias,
    fit_frames,
    fit_path,
    path_of_sum,
    region_weights,
    resample_grid,
    weighed_path,
)


def _unit_scales() -> dict[str, Tensor]:
    # Tensors rather than floats: a compiled model is then not recompiled for a new scale. They are never inference
    # tensors, which could not be changed later.
    with torch.inference_mode(False):
        return {part: torch.ones(()) for part in PARTS}


@dataclass(eq=False)
class LayerEmbedding:
    """One adapter's embedding of one attention layer, or of the model's positions.

    Args:
        tensors: The parts that it has. "qk", (f, c), is added to the input of query and key projections. "v",
            (h, w, f, c), is debiased and added to the input of the value projection. "p", (h, w, f, 3), is added to
            the places of tokens: rows and columns in shares of the picture's height and width, time in latent frames.
        state: The adapter's settings; one object shared by all of its layers.
        scales: Strength of each part, 0-dim float32 tensors. It is 0 for an inactive adapter. The registry writes
            them.
    """

    tensors: dict[str, Tensor]
    state: EmbeddingState
    scales: dict[str, Tensor] = field(default_factory=_unit_scales)

    def offset(self, part: str, num_frames: int, grid: tuple[int, int], device: torch.device) -> Tensor | None:
        """What the part adds to a clip of `num_frames` frames in a layer of `grid` positions.

        Args:
            part: "qk", "v" or "p".
            num_frames: Number of frames of the generated clip.
            grid: Height and width of the layer, in positions.
            device: The activations' device.

        Returns:
            (1, num_frames, c) for "qk", the same or (h · w, num_frames, c) for the others and for all parts of an
            embedding with a region, None when the part is left out. "p" comes as a `weighed_path`.
        """
        if part not in self.tensors:
            return None
        tensor = self.tensors[part].to(device)
        if part == "v":  # at its own length: the model learned these offsets, not their derivative in a longer clip
            tensor = debias(tensor, self.state.debias_weights)
        strength = self.scales[part] * self.state.timing.gate
        policy = self.state.config.frame_policy
        if part == "p":
            offset = weighed_path(fit_path(tensor, num_frames, policy), strength)
        else:
            offset = strength * fit_frames(tensor, num_frames, policy)
        if offset.ndim == 2:
            offset = offset[None, None]
        if offset.shape[:2] != (1, 1):  # one vector is the same everywhere, without being written out
            offset = resample_grid(offset, grid)  # last, because the stored grid is the smaller one
        offset, region = offset.flatten(0, 1), self.state.region
        return offset if region is None else offset * region_weights(region.to(device), num_frames, grid)


class MotionEmbeddingLayer(nn.Module):
    """The embeddings of one attention layer, by adapter name.

    The tensors are deliberately not registered parameters. The base model's state dict, casts, offloading, sharding
    and LoRA tools therefore never see them. They stay float32 in a half-precision model and are added in the dtype of
    the activations.

    Args:
        layout: How the attention's input arranges a clip.
        rotary: Where the model keeps the positions that this layer moves; None for the layer of an attention.

    Attributes:
        embeddings: The embeddings by adapter name. Names are plain dictionary keys, so any text can be a name.
        size: Size of the clip that the model saw last.
        num_frames: Number of frames that the attention mixed last. It is smaller than the clip's where something cuts
            the clip into windows.
    """

    def __init__(self, layout: Layout, rotary: Rotary | None = None) -> None:
        super().__init__()
        self.layout, self.rotary = layout, rotary
        self.embeddings: dict[str, LayerEmbedding] = {}
        self.size = VideoSize(1, 1, 1)
        self.num_frames: int | None = None
        self._query: tuple[Tensor, Tensor] | None = None  # before and after adding, until the key asks for the same

    def forward(self, hidden_states: Tensor, part: str) -> Tensor:
        """Add the part of every embedding to the input of a projection.

        Args:
            hidden_states: (rows, f, c) or (batch, tokens, c), any floating dtype.
            part: "qk" or "v".
        """
        offset = self.offset(hidden_states, part)
        return hidden_states if offset is None else self.layout.add(hidden_states, offset, self.size)

    def offset(self, hidden_states: Tensor, part: str) -> Tensor | None:
        """What all embeddings together add to the input of a projection, in its dtype.

        Args:
            hidden_states: (rows, f, c) or (batch, tokens, c), any floating dtype.
            part: "qk" or "v".

        Returns:
            (positions, f, c), or (1, f, c) for all positions alike; None when no embedding has the part.
        """
        total = self._total(part, self.layout.num_frames(hidden_states, self.size), hidden_states.device)
        return None if total is None else total.to(hidden_states.dtype)

    def _total(self, part: str, num_frames: int, device: torch.device) -> Tensor | None:
        self.num_frames, grid, total = num_frames, (self.size.height, self.size.width), None
        for embedding in self.active_embeddings():
            offset = embedding.offset(part, num_frames, grid, device)
            if offset is not None:
                total = offset if total is None else total + offset
        return total

    def active_embeddings(self) -> list[LayerEmbedding]:
        """The embeddings to add, in a fixed order."""
        return list(self.embeddings.values())

    # The hooks are bound methods: a copied or unpickled model then calls the copied layer, not the original.

    def observe_size(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        """Pre-hook of the module whose input shows the clip's size.

        Raises:
            UnsupportedModelError: If it does not, and an embedding acts.
        """
        try:
            self.size = self.layout.video_size(args, kwargs)
        except UnsupportedModelError:
            if any(scale for embedding in self.active_embeddings() for scale in embedding.scales.values()):
                raise
            self.size = VideoSize(1, 1, 1)  # of which there are enough tokens to add nothing to
        self._query = None  # left over from a pass that was interrupted

    def move_made_positions(self, module: nn.Module, args: tuple, output: Any) -> Any:
        """Hook of the module that makes the table of positions."""
        return self._moved(output)

    def move_given_positions(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Pre-hook of a model that receives the table of positions.

        Raises:
            ValueError: If it receives none.
        """
        name = cast(Rotary, self.rotary).argument
        if name is None or kwargs.get(name) is None:
            raise ValueError(
                f"A motion embedding moves positions, and the model is called without {name}= to move. Use a pipeline "
                "that gives it, or unload the motion embedding."
            )
        return args, {**kwargs, name: self._moved(kwargs[name])}

    def _moved(self, table: Any) -> Any:
        rotary = cast(Rotary, self.rotary)
        total = self._total("p", self.size.num_frames, rotary.read(table)[0].device)
        return table if total is None else rotary.moved(table, path_of_sum(total), self.size)

    def add_to_query_or_key(self, module: nn.Module, args: tuple) -> tuple:
        """Pre-hook of the query and key projections. They usually get the same input, which is then added to once."""
        before, self._query = self._query, None
        if before is not None and before[0] is args[0]:
            return (before[1], *args[1:])
        total = self(args[0], "qk")
        if total is not args[0]:
            self._query = args[0], total
        return (total, *args[1:])

    def add_to_value(self, module: nn.Module, args: tuple) -> tuple:
        """Pre-hook of the value projection."""
        return (self(args[0], "v"), *args[1:])

    def add_to_fused_query_key_value(self, module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        """Hook of a projection whose output is query, key and value side by side."""
        return self._add_to_fused(module, args[0], output, num_parts=3)

    def add_to_fused_key_value(self, module: nn.Module, args: tuple, output: Tensor) -> Tensor:
        """Hook of a projection whose output is key and value side by side."""
        return self._add_to_fused(module, args[0], output, num_parts=2)

    def _add_to_fused(self, module: nn.Module, hidden_states: Tensor, output: Tensor, num_parts: int) -> Tensor:
        # All parts share one input but need different offsets. What the projection makes of an offset is therefore
        # added to the output: W(x + m) = Wx + Wm.
        width = output.shape[-1] // num_parts
        rest = output.shape[-1] - width
        for part, columns, around in (("qk", slice(rest), (0, width)), ("v", slice(rest, None), (rest, 0))):
            offset = self.offset(hidden_states, part)
            if offset is not None:
                projected = module.forward(offset) - module.forward(torch.zeros_like(offset[:1, :1]))
                output = self.layout.add(output, F.pad(projected[..., columns], around), self.size)
        return output

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow the model to another device, but never to another dtype."""
        super()._apply(fn, recurse)
        for embedding in self.embeddings.values():
            for tensor in embedding.tensors.values():
                device = fn(tensor.new_empty(0)).device
                if device.type != "meta":  # where numbers would be lost; offloading sends weights there
                    tensor.data = tensor.data.to(device)  # the same tensor, which an optimizer may hold
        return self
