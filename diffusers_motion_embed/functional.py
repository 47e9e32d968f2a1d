"""The mathematics of motion embeddings: pure functions of tensors, and nothing else.

Source of all formulas: "Motion Inversion for Video Customization", arXiv 2403.20193. Axes, the same in every file:

* `f` frames, `c` channels of an attention layer;
* `h`, `w` the grid of spatial positions of a layer or of a value embedding;
* `rows` the rows of a temporal attention layer, batch slowest: row = (batch · h + y) · w + x;
* `tokens` the tokens of a clip where all attend to each other, frame slowest: token = (frame · h + y) · w + x.

The parts of an embedding are `qk`, (f, c), `v`, (h, w, f, c), and `p`, (h, w, f, 3).
"""

from functools import reduce
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from diffusers_motion_embed.errors import DividedClipError, IncompatibleEmbeddingError


Debias = Literal["identity", "difference", "difference_zero_first", "centered", "free_placement"]
DEBIAS_MODES: tuple[str, ...] = get_args(Debias)


# Weights of `debias` for each debiasing mode: of a frame itself, the frame before it, what stands before the first
# frame, and the mean of all frames. All modes are then one computation with different numbers, and a compiled model
# changes mode without being recompiled.
DEBIAS_WEIGHTS: dict[str, tuple[float, float, float, float]] = {
    "identity": (1.0, 0.0, 0.0, 0.0),
    "difference": (1.0, -1.0, 0.0, 0.0),
    "difference_zero_first": (1.0, -1.0, 1.0, 0.0),
    "centered": (1.0, 0.0, 0.0, -1.0),
    "free_placement": (0.0, 0.0, 0.0, 0.0),
}


def debias_weights(mode: Debias) -> Tensor:
    """The weights of a debiasing mode for `debias`, (4,), float32.

    Raises:
        ValueError: If there is no such mode.
    """
    if mode not in DEBIAS_MODES:
        raise ValueError(f"debias must be one of {', '.join(DEBIAS_MODES)}; got {mode!r}.")
    return torch.tensor(DEBIAS_WEIGHTS[mode])


def debias(value: Tensor, weights: Tensor) -> Tensor:
    """Free a value part from the reference's appearance.

    What all frames share, which is appearance, cancels. What changes between them stays. The paper takes differences
    of successive frames and keeps the first frame: D(v)[0] = v[0], D(v)[t] = v[t] - v[t-1].

    Args:
        value: (..., f, c).
        weights: Weights of a mode, see `debias_weights`. D(v)[t] = w0·v[t] + w1·v[t-1] + w3·mean(v), where w2·v[0]
            stands before the first frame.

    Returns:
        (..., f, c).
    """
    current, previous, before_first, mean = weights.unbind()
    before = torch.cat([before_first * value[..., :1, :], value[..., :-1, :]], dim=-2)
    return current * value + previous * before + mean * value.mean(dim=-2, keepdim=True)


def debiased(value: Tensor, mode: Debias) -> Tensor:
    """What a debiasing mode makes of a value part, (..., f, c)."""
    return debias(value, debias_weights(mode))


def resample_frames(embedding: Tensor, num_frames: int) -> Tensor:
    """Stretch or shrink an embedding linearly to another number of frames. The first and last frames are kept.

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
PATH_WIDTH = 3  # numbers of a position part for each place and frame: rows, columns, time


def fit_frames(embedding: Tensor, num_frames: int, policy: FramePolicy = "resample") -> Tensor:
    """Bring an embedding to a clip's number of frames.

    Args:
        embedding: (..., f, c).
        num_frames: Number of frames of the clip.
        policy: "resample" stretches or shrinks it in time. "loop" begins again after the last frame, and "hold" keeps
            the last frame; both cut what a shorter clip has no room for. "error" refuses another number.

    Raises:
        IncompatibleEmbeddingError: If the numbers differ and `policy` is "error".
    """
    frames = embedding.shape[-2]
    if frames == num_frames or policy == "resample":
        return resample_frames(embedding, num_frames)
    if policy == "error":
        raise IncompatibleEmbeddingError(
            f"The clip has {num_frames} frames where the model mixes them, and the motion embedding {frames}. "
            "Generate as many frames as the reference had, or choose another way with set_motion_frame_policy."
        )
    numbers = torch.arange(num_frames, device=embedding.device)
    return embedding[..., numbers % frames if policy == "loop" else numbers.clamp(max=frames - 1), :]


def fit_path(path: Tensor, num_frames: int, policy: FramePolicy = "resample") -> Tensor:
    """As `fit_frames`, for position parts: where the path is stretched, so are its displacements in time.

    Args:
        path: (h, w, f, 3).
        num_frames: Number of frames of the clip.
        policy: See `fit_frames`.

    Raises:
        IncompatibleEmbeddingError: If the numbers differ and `policy` is "error".
    """
    fitted = fit_frames(path, num_frames, policy)
    steps, new_steps = path.shape[-2] - 1, num_frames - 1  # of a frame each, from the first frame to the last
    stretched = new_steps / steps if policy == "resample" and steps and new_steps else 1.0
    return fitted if stretched == 1 else fitted * fitted.new_tensor([1.0, 1.0, stretched])


def with_time(path: Tensor) -> Tensor:
    """A path that may have rows and columns alone, (h, w, f, 2), as one that does not move in time, (h, w, f, 3).

    Raises:
        IncompatibleEmbeddingError: If it has neither two numbers for each place and frame, nor three.
    """
    if path.shape[-1] not in (PATH_WIDTH - 1, PATH_WIDTH):
        raise IncompatibleEmbeddingError(
            f"A position part has rows, columns and time for each place and frame; got {path.shape[-1]} numbers."
        )
    return F.pad(path, (0, PATH_WIDTH - path.shape[-1]))


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


def region_weights(region: Tensor, num_frames: int, grid: tuple[int, int]) -> Tensor:
    """How strongly an embedding acts on each token: the mean of a region over what the token shows.

    Args:
        region: From 0 to 1, (t, y, x), of any size.
        num_frames: Number of frames of the layer.
        grid: Height and width of the layer, in positions.

    Returns:
        (positions, num_frames, 1). It is exactly 0 where a token lies outside of the region.
    """
    means = F.adaptive_avg_pool3d(region[None, None], (num_frames, *grid))[0, 0]
    return means.flatten(1).transpose(0, 1)[..., None]


def combine(embeddings: list[Tensor], weights: list[float], num_frames: int) -> Tensor:
    """The weighted sum of embeddings of one layer and part, each stretched to `num_frames` frames.

    Args:
        embeddings: Each (f, c), or each (h, w, f, c) with the same grid.
        weights: One for each.
        num_frames: Number of frames of the sum.
    """
    stretched = [resample_frames(embedding, num_frames) for embedding in embeddings]
    return reduce(torch.add, (weight * embedding for weight, embedding in zip(weights, stretched, strict=True)))


def weighed_path(path: Tensor, weight: Tensor | float) -> Tensor:
    """A position part as a term of a sum, see `path_of_sum`.

    Args:
        path: (h, w, f, 3).
        weight: How strongly it acts, a number.

    Returns:
        (h, w, f, 4): rows and columns by weight, time by the size of the weight, and that size.
    """
    time = torch.cat([path[..., 2:], torch.ones_like(path[..., 2:])], dim=-1)
    size = weight.abs() if isinstance(weight, Tensor) else abs(weight)
    return torch.cat([weight * path[..., :2], size * time], dim=-1)


def path_of_sum(total: Tensor) -> Tensor:
    """The path that weighed paths are together, (..., 3).

    Rows and columns add up. Time is where the mean of the paths says, as soon as they act with a weight of 1 in all: a
    path that is longer, mirrored, or added to another one is no reason for another pace.

    Args:
        total: The sum of `weighed_path` of each, (..., 4).
    """
    return torch.cat([total[..., :2], total[..., 2:3] / total[..., 3:].clamp(min=1)], dim=-1)


def scale_path(path: Tensor, weight: float) -> Tensor:
    """The position part, (h, w, f, 3), that does alone what this one does with a weight, see `path_of_sum`."""
    return path_of_sum(weighed_path(path, weight))


def combine_paths(paths: list[Tensor], weights: list[float], num_frames: int) -> Tensor:
    """As `combine`, for position parts, see `path_of_sum`.

    Args:
        paths: Each (h, w, f, 3), with the same grid.
        weights: One for each.
        num_frames: Number of frames of the sum.
    """
    fitted = (fit_path(path, num_frames) for path in paths)
    return path_of_sum(reduce(torch.add, map(weighed_path, fitted, weights)))


def concatenate(embeddings: list[Tensor], weights: list[float], num_frames: int) -> Tensor:
    """Put weighted embeddings of one layer and part one after the other in time, stretched to `num_frames` in all.

    Args:
        embeddings: Each (f, c), or each (h, w, f, c) with the same grid.
        weights: One for each.
        num_frames: Number of frames of the whole.
    """
    weighted = [weight * embedding for weight, embedding in zip(weights, embeddings, strict=True)]
    return resample_frames(torch.cat(weighted, dim=-2), num_frames)


def concatenate_paths(paths: list[Tensor], weights: list[float], num_frames: int) -> Tensor:
    """As `concatenate`, for position parts: each path goes on where the one before it ends.

    Args:
        paths: Each (h, w, f, 3), with the same grid.
        weights: One for each.
        num_frames: Number of frames of the whole, as many as all of them have together.
    """
    joined: list[Tensor] = []
    for path, weight in zip(paths, weights, strict=True):
        path = scale_path(path, weight)
        joined.append(path + (joined[-1][..., -1:, :] - path[..., :1, :]) if joined else path)
    return fit_path(torch.cat(joined, dim=-2), num_frames)


def reverse_path(path: Tensor) -> Tensor:
    """A position part, (h, w, f, 3), backwards: what was later by some frames is earlier by as many."""
    return path.flip(-2) * path.new_tensor([1.0, 1.0, -1.0])


def add_to_rows(hidden_states: Tensor, offset: Tensor) -> Tensor:
    """Add one offset per position to the rows of a temporal attention layer, the same for every batch element.

    Args:
        hidden_states: (rows, f, c), batch slowest.
        offset: (positions, f, c).

    Raises:
        DividedClipError: If the number of positions does not divide the number of rows.
    """
    positions = offset.shape[0]
    batch = hidden_states.shape[0] // positions  # not divmod, which torch.compile cannot trace for sizes that vary
    if hidden_states.shape[0] % positions:
        raise DividedClipError(
            f"{hidden_states.shape[0]} rows do not divide into clips of {positions} positions: something, such as "
            "FreeNoise's split inference, cuts the rows apart. Switch it off to use a motion embedding."
        )
    return (hidden_states.unflatten(0, (batch, positions)) + offset).flatten(0, 1)


def add_to_tokens(hidden_states: Tensor, offset: Tensor, first: int, num_tokens: int) -> Tensor:
    """Add one offset per frame and position to the video's tokens, the same for every batch element.

    Args:
        hidden_states: (batch, tokens, c); some of the tokens may be text.
        offset: (positions, f, c), or (1, f, c) for all positions alike.
        first: Number of the video's first token.
        num_tokens: Number of the video's tokens, frames · positions.

    Raises:
        DividedClipError: If there are fewer tokens than the video's.
    """
    if first < 0 or first + num_tokens > hidden_states.shape[1]:
        raise DividedClipError(
            f"An attention layer got {hidden_states.shape[1]} tokens, fewer than the {num_tokens} of the clip: "
            "something, such as context parallelism, cuts the clip apart. Switch it off to use a motion embedding."
        )
    video = hidden_states[:, first : first + num_tokens].unflatten(1, (offset.shape[1], -1))
    video = (video + offset.transpose(0, 1)).flatten(1, 2)
    if num_tokens == hidden_states.shape[1]:
        return video
    return torch.cat([hidden_states[:, :first], video, hidden_states[:, first + num_tokens :]], dim=1)
