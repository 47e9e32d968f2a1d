"""Clips in the forms that users have, and in the package's own: arrays (frames, height, width, 3), uint8."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from diffusers_motion_embed.errors import VideoError
from diffusers_motion_embed.video import ReferenceClip, read_video


# A clip in any form that `as_frames` takes.
Clip = str | os.PathLike | ReferenceClip | np.ndarray | Tensor | Sequence[Any]

# Darkest value of a float clip that is certainly in -1 to 1. A value only just below 0 may be a rounded 0.
DARK = -0.5
# A float clip whose darkest value is above this may well be a bright one in -1 to 1: few clips have no shadow at all.
PALE = 0.2


def as_frames(clip: Clip) -> np.ndarray:
    """A clip as an array.

    Args:
        clip: One of
            - an array or a tensor, (frames, height, width, 3) or (frames, 3, height, width), uint8 from 0 to 255, or
              floats from 0 to 1 or from -1 to 1;
            - a list of pictures: PIL images, as `diffusers.utils.load_video` returns them, or arrays or tensors
              without the axis of frames;
            - what `read_reference` returns;
            - the path of a video file or of a folder of images. Every frame is used; `read_video` can read a part of
              them, or another size.

    Returns:
        (frames, height, width, 3), uint8 from 0 to 255.

    Raises:
        VideoError: If it is something else or empty, or the range of its numbers is unclear.
        VideoNotFoundError: If there is nothing at the path.

    Warns:
        UserWarning: If floats are all well above 0, so that they may be of the range -1 to 1.
    """
    if isinstance(clip, ReferenceClip):
        return clip.frames
    if isinstance(clip, str | os.PathLike):
        return read_video(os.fspath(clip), None)
    if isinstance(clip, Sequence) and clip:
        return _as_uint8(_stack([_as_array(picture) for picture in clip]))
    if isinstance(clip, np.ndarray | Tensor):
        return _as_uint8(_as_array(clip))
    raise _wrong(f"{type(clip).__name__}{' without pictures' if isinstance(clip, Sequence) else ''}")


def as_clips(clips: Clip | Sequence[Clip]) -> list[np.ndarray]:
    """One clip or several as a list of arrays.

    Args:
        clips: A clip as for `as_frames`, or a list of clips. A list of pictures is one clip.

    Raises:
        VideoError: As in `as_frames`.
        VideoNotFoundError: As in `as_frames`.
    """
    if isinstance(clips, Sequence) and not isinstance(clips, str) and clips and not any(map(_is_picture, clips)):
        return [as_frames(clip) for clip in clips]
    return [as_frames(clips)]


def _is_picture(value: Any) -> bool:
    return isinstance(value, Image.Image) or (isinstance(value, np.ndarray | Tensor) and value.ndim < 4)


def _as_array(value: Any) -> np.ndarray:
    if isinstance(value, Image.Image):
        return np.asarray(value.convert("RGB"))
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        return (value.float() if value.is_floating_point() else value).numpy()  # numpy has no bfloat16
    if isinstance(value, np.ndarray):
        return value
    raise _wrong(f"{type(value).__name__} among the pictures")


def _stack(pictures: list[np.ndarray]) -> np.ndarray:
    kinds = {f"{picture.dtype} {picture.shape}" for picture in pictures}
    if len(kinds) > 1:
        raise VideoError(f"The pictures of a clip must be of one size and dtype, got {', '.join(sorted(kinds))}.")
    return np.stack(pictures)


def _as_uint8(clip: np.ndarray) -> np.ndarray:
    if clip.ndim == 4 and clip.shape[-1] != 3 and clip.shape[1] == 3:
        clip = clip.transpose(0, 2, 3, 1)
    if clip.ndim != 4 or clip.shape[-1] != 3 or not (clip.dtype == np.uint8 or np.issubdtype(clip.dtype, np.floating)):
        raise _wrong(f"{clip.dtype} {clip.shape}")
    if not clip.size:
        raise VideoError(f"frames must be a clip of at least one frame, got {clip.dtype} {clip.shape}.")
    return np.ascontiguousarray(clip if clip.dtype == np.uint8 else _from_floats(clip))


def _from_floats(clip: np.ndarray) -> np.ndarray:
    low, high = float(clip.min()), float(clip.max())
    if not (low >= 0 or -1 <= low <= DARK) or not high <= 1:  # written so that NaN is refused
        raise VideoError(
            f"The frames are floats from {low:g} to {high:g}, which is neither clearly 0 to 1 nor clearly -1 to 1. "
            "Clip and scale them, or give uint8 from 0 to 255."
        )
    if low > PALE:
        warnings.warn(
            f"The frames are floats from {low:g} to {high:g} and are read as 0 to 1, a clip without anything dark. If "
            "they are meant as -1 to 1, give frames / 2 + 0.5 instead.",
            stacklevel=4,
        )
    return np.round((clip if low >= 0 else clip / 2 + 0.5) * np.float32(255)).astype(np.uint8)


def _wrong(got: str) -> VideoError:
    return VideoError(
        "frames must be a clip: an array or a tensor of shape (frames, height, width, 3), uint8 or floats from 0 to 1 "
        f"or -1 to 1; a list of pictures; or a path; got {got}."
    )
