"""Where frames and positions are in the input of an attention layer.

Two kinds of models mix frames. Some have separate attention layers for it, which see every position on its own:
"rows", (batch · height · width, frames, channels). In others, all tokens of a clip attend to each other: (batch,
tokens, channels). There the video's tokens are in the order frame, row, column, and text may come before or after
them.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from diffusers_motion_embed.errors import UnsupportedModelError
from diffusers_motion_embed.functional import add_to_rows, add_to_tokens


Tokens = Literal["rows", "video_first", "video_last"]
BLOCK = 8  # height and width, in tokens


@dataclass(frozen=True)
class VideoSize:
    """Frames, height and width of a clip, counted in tokens of an attention layer.

    Args:
        num_frames: Number of frames.
        height: Rows of a frame.
        width: Columns of a frame.
        in_blocks: Whether a frame's tokens come block by block, as Kandinsky 5's sparse attention has them.
    """

    num_frames: int
    height: int
    width: int
    in_blocks: bool = False


@dataclass(frozen=True)
class Layout:
    """How the layers of one model arrange a clip.

    Args:
        tokens: "rows"; or "video_first" or "video_last", where text, if any, comes after or before the video.
        axes: Axes of the input that shows the clip's size, one letter each: b batch, c channels, f frames, h height, w
            width, n batch and frames in one. "packed" if that input does not show the size, which is then in the
            arguments `num_frames`, `height` and `width`.
        patch_size: Frames, height and width of that input that make one token.
    """

    tokens: Tokens
    axes: str
    patch_size: tuple[int, int, int] = (1, 1, 1)

    def video_size(self, args: tuple, kwargs: dict[str, Any]) -> VideoSize:
        """The size of a clip in tokens, from the arguments of a forward call; 1 frame if they do not show frames.

        Raises:
            UnsupportedModelError: If a size is missing.
        """
        if self.axes == "packed":
            sizes = [kwargs[name] for name in ("num_frames", "height", "width") if kwargs.get(name) is not None]
            num_tokens = (args[0] if args else kwargs["hidden_states"]).shape[1]
            if len(sizes) < 3 or (num_tokens > 1 and math.prod(sizes) == 1):  # some say 1 three times
                raise UnsupportedModelError(
                    "The pipeline does not tell its model num_frames, height and width, so a motion embedding cannot "
                    "find the frames. Use another pipeline of the same model, or unload the motion embedding."
                )
        else:
            shape = (args[0] if args else kwargs["hidden_states" if "hidden_states" in kwargs else "sample"]).shape
            sizes = [shape[self.axes.index(axis)] if axis in self.axes else 1 for axis in "fhw"]
        # A list: torch.compile cannot trace a generator before torch 2.7.
        frames, height, width = [size // patch for size, patch in zip(sizes, self.patch_size, strict=True)]
        return VideoSize(frames, height, width, bool((kwargs.get("sparse_params") or {}).get("to_fractal")))

    @property
    def channel_axis(self) -> int:
        """Channel axis of the base model's input."""
        return -1 if self.axes == "packed" else self.axes.index("c")

    def arrange(self, latents: Tensor) -> Tensor:
        """A clip, (batch, channels, frames, height, width), as the model's input."""
        if self.axes == "packed":
            return latents.flatten(2).transpose(1, 2)
        return latents.permute(*("bcfhw".index(axis) for axis in self.axes))

    def restore(self, output: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A clip of the model's output, (batch, channels, frames, height, width).

        Args:
            output: The model's output, arranged like its input.
            shape: Shape of a clip; its number of channels does not matter.
        """
        if self.axes == "packed":
            return output.transpose(1, 2).unflatten(2, shape[2:])
        return output.permute(*(self.axes.index(axis) for axis in "bcfhw"))

    def num_frames(self, hidden_states: Tensor, size: VideoSize) -> int:
        """How many frames the input of a projection holds."""
        return hidden_states.shape[1] if self.tokens == "rows" else size.num_frames

    def add(self, hidden_states: Tensor, offset: Tensor, size: VideoSize) -> Tensor:
        """Add an offset to the video in the input of a projection.

        Args:
            hidden_states: (rows, frames, channels) or (batch, tokens, channels).
            offset: (positions, frames, channels), or (1, frames, channels) for all positions alike.
            size: Size of the clip in tokens.
        """
        if self.tokens == "rows":
            return add_to_rows(hidden_states, offset)
        num_tokens = size.num_frames * size.height * size.width
        first = 0 if self.tokens == "video_first" else hidden_states.shape[1] - num_tokens
        if size.in_blocks and len(offset) > 1:
            blocks = offset.unflatten(0, (size.height // BLOCK, BLOCK, size.width // BLOCK, BLOCK))
            offset = blocks.transpose(1, 2).flatten(0, 3)
        return add_to_tokens(hidden_states, offset, first, num_tokens)
