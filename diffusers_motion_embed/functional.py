"""The mathematics of motion embeddings: pure functions of tensors, and nothing else.

Source of all formulas: "Motion Inversion for Video Customization", arXiv 2403.20193. Axes, the same in every file:

* `f` frames, `c` channels of an attention layer;
* `h`, `w` the grid of spatial positions of a layer or of a value embedding;
* `rows` the rows of a temporal attention layer, batch slowest: row = (batch · h + y) · w + x;
* `tokens` the tokens of a clip where all attend to each other, frame slowest: token = (frame · h + y) · w + x.

The two parts of an embedding are `qk`, (f, c), and `v`, (h, w, f, c).
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor


Debias = Literal["identity", "difference", "difference_zero_first", "centered", "free_placement"]
DEBIAS_MODES: tuple[str, ...] = get_args(Debias)


def temporal_difference(value: Tensor) -> Tensor:
    """Differences of successive frames, the first frame kept: D(v)[0] = v[0], D(v)[t] = v[t] - v[t-1].

    What all frames share, which is appearance, cancels; what changes between them stays.

    Args:
        value: (..., f, c).
    """
    return torch.cat([value[..., :1, :], value[..., 1:, :] - value[..., :-1, :]], dim=-2)


def temporal_difference_zero_first(value: Tensor) -> Tensor:
    """As `temporal_difference`, with zero for the first frame, so that nothing static is left at all."""
    return torch.cat([torch.zeros_like(value[..., :1, :]), value[..., 1:, :] - value[..., :-1, :]], dim=-2)


def temporal_deviation(value: Tensor) -> Tensor:
    """Deviations from the mean of all frames: what is the same in all frames is gone, and no frame is special.

    Not in the paper.
    """
    return value - value.mean(dim=-2, keepdim=True)


def identity(value: Tensor) -> Tensor:
    """The value part as trained."""
    return value


# How each debiasing mode treats the value part; None leaves it out. "free_placement" moves things with the query-key
# part alone, which has no spatial axis: the motion at a place of the new video's own choosing.
VALUE_DEBIAS: dict[str, Callable[[Tensor], Tensor] | None] = {
    "identity": identity,
    "difference": temporal_difference,
    "difference_zero_first": temporal_difference_zero_first,
    "centered": temporal_deviation,
    "free_placement": None,
}


def resample_frames(embedding: Tensor, num_frames: int) -> Tensor:
    """Stretch or shrink an embedding to another number of frames, linearly, first and last frame kept.

    Args:
        embedding: (..., f, c).
        num_frames: Frames wanted, at least 1.

    Returns:
        (..., num_frames, c); the embedding itself when it has that many frames already.
    """
    if embedding.shape[-2] == num_frames:
        return embedding
    *leading, frames, channels = embedding.shape
    flat = embedding.reshape(-1, frames, channels).transpose(1, 2)
    flat = F.interpolate(flat, size=num_frames, mode="linear", align_corners=True)
    return flat.transpose(1, 2).reshape(*leading, num_frames, channels)


FramePolicy = Literal["resample", "loop", "hold", "error"]
FRAME_POLICIES: tuple[str, ...] = get_args(FramePolicy)


def fit_frames(embedding: Tensor, num_frames: int, policy: FramePolicy = "resample") -> Tensor:
    """Bring an embedding to a clip's number of frames.

    Args:
        embedding: (..., f, c).
        num_frames: Of the clip.
        policy: "resample" stretches or shrinks it in time; "loop" begins anew after the last frame, and "hold" keeps
            the last frame, where both cut what a shorter clip has no room for; "error" refuses another number.

    Raises:
        ValueError: If the numbers differ and `policy` is "error".
    """
    frames = embedding.shape[-2]
    if frames == num_frames or policy == "resample":
        return resample_frames(embedding, num_frames)
    if policy == "error":
        raise ValueError(
            f"The clip has {num_frames} frames where the model mixes them, and the motion embedding {frames}. "
            "Generate as many frames as the reference had, or choose another way with set_motion_frame_policy."
        )
    numbers = torch.arange(num_frames, device=embedding.device)
    return embedding[..., numbers % frames if policy == "loop" else numbers.clamp(max=frames - 1), :]


def resample_grid(value: Tensor, grid: tuple[int, int]) -> Tensor:
    """Bring a value part to another grid of positions, bilinearly between the centres of its cells.

    Args:
        value: (h, w, f, c).
        grid: Height and width wanted, in positions.

    Returns:
        (height, width, f, c); the value itself when it has that grid already.
    """
    if value.shape[:2] == tuple(grid):
        return value
    # Frames and channels stay last in memory, so that nothing is copied, and the sum with activations reads both in
    # the same order.
    flat = value.flatten(2)[None].movedim(-1, 1)
    flat = F.interpolate(flat, size=grid, mode="bilinear", align_corners=False)
    return flat.movedim(1, -1)[0].unflatten(-1, value.shape[2:])


def combine(embeddings: list[Tensor], weights: list[float], num_frames: int) -> Tensor:
    """The weighted sum of embeddings of one layer and part, each stretched to `num_frames` frames.

    Args:
        embeddings: Each (f, c), or each (h, w, f, c) with the same grid.
        weights: One for each.
        num_frames: Of the sum.
    """
    stretched = [resample_frames(embedding, num_frames) for embedding in embeddings]
    return sum(weight * embedding for weight, embedding in zip(weights, stretched, strict=True))


def concatenate(embeddings: list[Tensor], weights: list[float], num_frames: int) -> Tensor:
    """Weighted embeddings of one layer and part one after the other in time, stretched to `num_frames` in all.

    Args:
        embeddings: Each (f, c), or each (h, w, f, c) with the same grid.
        weights: One for each.
        num_frames: Of the whole.
    """
    weighted = [weight * embedding for weight, embedding in zip(weights, embeddings, strict=True)]
    return resample_frames(torch.cat(weighted, dim=-2), num_frames)


def add_to_rows(hidden_states: Tensor, offset: Tensor) -> Tensor:
    """Add one offset per position to the rows of a temporal attention layer, the same for every batch element.

    Args:
        hidden_states: (rows, f, c), batch slowest.
        offset: (positions, f, c).

    Raises:
        ValueError: If the number of positions does not divide the number of rows.
    """
    positions = offset.shape[0]
    batch = hidden_states.shape[0] // positions  # not divmod, which torch.compile cannot trace for sizes that vary
    if hidden_states.shape[0] % positions:
        raise ValueError(
            f"{hidden_states.shape[0]} rows are no whole number of clips of {positions} positions: something, such as "
            "FreeNoise's split inference, cuts the rows apart. Switch it off to use a motion embedding."
        )
    return (hidden_states.unflatten(0, (batch, positions)) + offset).flatten(0, 1)


def add_to_tokens(hidden_states: Tensor, offset: Tensor, first: int, num_tokens: int) -> Tensor:
    """Add one offset per frame and position to the video's tokens, the same for every batch element.

    Args:
        hidden_states: (batch, tokens, c), of which some may be text.
        offset: (positions, f, c), or (1, f, c) for all positions alike.
        first: Number of the video's first token.
        num_tokens: Of the video, frames · positions.

    Raises:
        ValueError: If there are fewer tokens than the video's.
    """
    if first < 0 or first + num_tokens > hidden_states.shape[1]:
        raise ValueError(
            f"An attention layer got {hidden_states.shape[1]} tokens, fewer than the {num_tokens} of the clip: "
            "something, such as context parallelism, cuts the clip apart. Switch it off to use a motion embedding."
        )
    video = hidden_states[:, first : first + num_tokens].unflatten(1, (offset.shape[1], -1))
    video = (video + offset.transpose(0, 1)).flatten(1, 2)
    if num_tokens == hidden_states.shape[1]:
        return video
    return torch.cat([hidden_states[:, :first], video, hidden_states[:, first + num_tokens :]], dim=1)
