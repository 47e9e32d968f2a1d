"""Where things go in a clip, read off it by following points: the path of what moves, and the camera's motion."""

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from diffusers_motion_embed.errors import VideoError
from diffusers_motion_embed.functional import resample_frames
from diffusers_motion_embed.training.checks import COMPRESSION_NOISE


if TYPE_CHECKING:  # needs OpenCV
    from diffusers_motion_embed.metrics.tracking import Tracker


MIN_POINTS = 8  # fewer that agree are taken for errors of the tracker
ONE_PATH = (1, 1)  # the position grid that has no room for a zoom or a roll
CALL_OF_USER = 4  # levels of the stack up to the caller of what follows clips, whom warnings name
SHARE_SHOWN = 0.75  # of the picture, that usually tells how a camera moves
CAMERA_ERROR = 0.008  # of the picture's diagonal: how far a point may be from where the camera's motion takes it


def follow(clips: list[np.ndarray], grid: tuple[int, int], progress_bar: bool = True) -> Tensor:
    """Where what is seen at each place was in the first frame, less that place: the mean over clips of one motion.

    Args:
        clips: Each (frames, height, width, 3), uint8.
        grid: Rows and columns of places: 1 x 1 for the path of what moves, finer for the motion of the camera.
        progress_bar: Whether to show one.

    Returns:
        Rows and columns, in shares of the picture's height and width, (*grid, frames, 2), float32.

    Raises:
        VideoError: If one does not move.
        ImportError: If OpenCV is missing.
    """
    followed = []
    for number, clip in enumerate(clips, start=1):
        title = f"clip {number} of {len(clips)}" if len(clips) > 1 else "the clip"
        if grid == ONE_PATH:
            followed.append(-follow_motion(clip, title, progress_bar)[None, None])
        else:
            followed.append(come_from(follow_camera(clip, title, progress_bar), grid, clip.shape[1:3]))
    return torch.from_numpy(np.mean(followed, axis=0))


def follow_motion(clip: np.ndarray, title: str = "the clip", progress_bar: bool = True) -> np.ndarray:
    """The path of what moves.

    Args:
        clip: (frames, height, width, 3), uint8.
        title: What messages call it.
        progress_bar: Whether to show one.

    Returns:
        Rows and columns from the first frame on, in shares of the picture's height and width, (frames, 2), float32.

    Raises:
        VideoError: If nothing moves.
        ImportError: If OpenCV is missing.
    """
    from diffusers_motion_embed.metrics.motion import STANDING_STEP

    steps = np.zeros((len(clip), 2))
    sizes = np.array(clip.shape[1:3])
    for number, pair in enumerate(_pairs(clip, progress_bar), start=1):
        before, after = _followed(pair)
        # Where the picture stays the same, a tracker may still go to the next dot of a pattern.
        changes = np.abs(pair[1].astype(np.int16) - pair[0]).max(-1) > COMPRESSION_NOISE
        columns, rows = before.round().astype(int).clip(0, sizes[::-1] - 1).T
        moves = (after - before)[changes[rows, columns]]
        lengths = np.linalg.norm(moves, axis=1)
        moving = lengths > STANDING_STEP * np.linalg.norm(sizes)
        if moving.sum() >= MIN_POINTS:
            # What stands still is dragged along a little where something passes it.
            far = lengths > np.percentile(lengths[moving], 90) / 2
            steps[number] = np.median(moves[far], axis=0)[::-1] / sizes
    if not steps.any():
        raise VideoError(
            f"No motion was found to follow in {title}: between all frames, fewer than {MIN_POINTS} points move. Give "
            "a clip that moves, or train on this one with tracked_start=False."
        )
    return steps.cumsum(0).astype(np.float32)


def follow_camera(clip: np.ndarray, title: str = "the clip", progress_bar: bool = True) -> np.ndarray:
    """The camera's motion: from frame to frame, the pan, zoom and roll that most points agree on.

    Args:
        clip: (frames, height, width, 3), uint8.
        title: What messages call it.
        progress_bar: Whether to show one.

    Returns:
        What takes points of the first frame, (x, y, 1) in pixels, to where they are in each frame: (frames, 3, 3).

    Raises:
        VideoError: If the camera does not move.
        ImportError: If OpenCV is missing.
    """
    from diffusers_motion_embed.metrics.motion import STATIC_EXTENT

    size = clip.shape[1:3]
    cameras, shares = [np.eye(3)], []
    for pair in _pairs(clip, progress_bar):
        step, agreeing = _camera_step(pair)
        cameras.append(step @ cameras[-1])
        shares.append(_share_shown(agreeing, size))
    moves = come_from(np.stack(cameras), (2, 2), size) * size
    if np.linalg.norm(moves, axis=-1).max() <= STATIC_EXTENT * np.linalg.norm(size):
        raise VideoError(
            f"The camera of {title} does not move, so there is nothing to follow. Give a clip whose camera moves. For "
            'the motion of an object, leave out motion="camera", or follow it on a position grid of 1 x 1.'
        )
    if lost := [f"{number} and {number + 1}" for number, share in enumerate(shares, start=1) if not share]:
        warnings.warn(
            f"Too few points of {title} agree on a motion of the camera between frames {', '.join(lost)}, as where it "
            "is cut or shows nothing to follow. The camera counts as at rest there.",
            stacklevel=CALL_OF_USER,
        )
    shown = np.mean([share for share in shares if share])
    if shown < SHARE_SHOWN:
        warnings.warn(
            f"The points that were followed as the camera's motion are in {shown:.0%} of the picture of {title}. If "
            'they are those of an object before a camera at rest, leave out motion="camera", or follow the object on '
            "a position grid of 1 x 1.",
            stacklevel=CALL_OF_USER,
        )
    return np.stack(cameras)


def come_from(cameras: np.ndarray, grid: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Where what is seen at each place was in the first frame, less that place.

    Args:
        cameras: See `follow_camera`.
        grid: Rows and columns of places, the middles of equal parts of the picture.
        size: Height and width of the picture, in pixels.

    Returns:
        Rows and columns, in shares of the picture's height and width, (*grid, frames, 2), float32.
    """
    y, x = ((np.arange(number) + 0.5) / number * length - 0.5 for number, length in zip(grid, size, strict=True))
    places = np.stack([*np.broadcast_arrays(x, y[:, None]), np.ones(grid)], axis=-1)
    origins = np.einsum("fij,hwj->hwfi", np.linalg.inv(cameras), places)
    return ((origins - places[:, :, None])[..., 1::-1] / size).astype(np.float32)


def latent_path(path: Tensor, num_latent_frames: int, first_frame_alone: bool) -> Tensor:
    """Where something is in each latent frame: the mean of the frames that it shows.

    Args:
        path: (..., frames, 2).
        num_latent_frames: Number of latent frames.
        first_frame_alone: Whether the first of them is of the first frame alone, if the others then hold equally many.

    Returns:
        (..., num_latent_frames, 2).
    """
    num_frames = path.shape[-2]
    rest, groups = num_frames - 1, num_latent_frames - 1
    if first_frame_alone and groups and rest % groups == 0:
        return torch.cat([path[..., :1, :], path[..., 1:, :].unflatten(-2, (groups, -1)).mean(-2)], dim=-2)
    if num_frames % num_latent_frames == 0:
        return path.unflatten(-2, (num_latent_frames, -1)).mean(-2)
    return resample_frames(path, num_latent_frames)


def _pairs(clip: np.ndarray, progress_bar: bool) -> Iterable[np.ndarray]:
    """Each frame with the next: points are followed through these, so that none is lost for the rest of the clip."""
    numbers = tqdm(range(1, len(clip)), "tracking", disable=not progress_bar)
    return (clip[number - 1 : number + 1] for number in numbers)


def _followed(pair: np.ndarray, tracker: "Tracker | None" = None) -> tuple[np.ndarray, np.ndarray]:
    """Points that are seen in both frames, and where they are in each, (points, 2), x and y in pixels."""
    from diffusers_motion_embed.metrics.tracking import track

    tracks = track(pair, tracker)
    seen = tracks.visible.all(1)
    return tracks.points[seen, 0], tracks.points[seen, 1]


def _camera_step(pair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shift, zoom and roll that most points agree on, (3, 3), and these points; none if too few agree on any."""
    import cv2

    from diffusers_motion_embed.metrics.tracking import LucasKanadeTracker

    step, agreeing = np.eye(3), np.zeros((0, 2))
    error = CAMERA_ERROR * float(np.linalg.norm(pair.shape[1:3]))
    # Large steps need more levels of the picture's pyramid, which lead to the next dot of a pattern after small ones.
    for max_level in (1, 3):
        before, after = _followed(pair, LucasKanadeTracker(max_level=max_level))
        least = max(len(agreeing) + 1, MIN_POINTS)
        if len(before) >= least:
            found, agree = cv2.estimateAffinePartial2D(before, after, ransacReprojThreshold=error)
            if found is not None and np.sum(agree) >= least:
                step, agreeing = np.vstack([found, [0, 0, 1]]), before[np.ravel(agree) > 0]
    return step, agreeing


def _share_shown(points: np.ndarray, size: tuple[int, int]) -> float:
    """The share of a 4 x 4 division of the picture in which points, x and y, are."""
    cells = np.floor(4 * (points + 0.5) / size[::-1]).clip(0, 3) @ (1, 4)
    return len(np.unique(cells)) / 16
