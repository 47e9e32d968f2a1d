"""Videos of any common kind as one kind of array, for all metrics."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from diffusers_motion_embed.errors import VideoError


# What pipelines return for one prompt, whatever their `output_type`, and what `read_video` returns.
Video = np.ndarray | torch.Tensor | Sequence[Image.Image] | Sequence[np.ndarray]


def as_clip(video: Video) -> np.ndarray:
    """One video as frames of 8-bit numbers.

    Args:
        video: An array or a tensor, (frames, height, width, 3) or, as `output_type="pt"` gives, (frames, 3, height,
            width), uint8 or floats from 0 to 1; or a list of pictures of one size.

    Returns:
        (frames, height, width, 3), uint8, with at least two frames.

    Raises:
        VideoError: If it is anything else.
    """
    if isinstance(video, torch.Tensor):
        video = video.detach().cpu()
        clip = (video.float() if video.is_floating_point() else video).numpy()  # numpy has no bfloat16
    elif isinstance(video, np.ndarray):
        clip = video
    else:
        clip = _stacked(video)
    if clip.ndim == 4 and clip.shape[-1] != 3 and clip.shape[1] == 3:
        clip = clip.transpose(0, 2, 3, 1)
    if clip.ndim != 4 or clip.shape[-1] != 3 or len(clip) < 2 or 0 in clip.shape:
        raise VideoError(
            "A video must be (frames, height, width, 3) or (frames, 3, height, width) with at least two frames, got "
            f"{clip.shape}."
        )
    if clip.dtype == np.uint8:
        return np.ascontiguousarray(clip)  # torch does not take reversed views
    if not np.issubdtype(clip.dtype, np.floating):
        raise VideoError(f"A video must be of uint8 or of floats from 0 to 1, got {clip.dtype}.")
    lowest, highest = clip.min(), clip.max()
    if not (lowest >= 0 and highest <= 1):  # neither holds for NaN
        raise VideoError(f"A video of floats must lie within 0 and 1, got {lowest:.3g} to {highest:.3g}.")
    return (clip * 255).round().astype(np.uint8)


def _stacked(pictures: Any) -> np.ndarray:
    if isinstance(pictures, str) or not isinstance(pictures, Sequence) or not pictures:
        raise VideoError(f"A video must be an array, a tensor or a list of pictures, got {type(pictures).__name__}.")
    if all(isinstance(picture, Image.Image) for picture in pictures):
        pictures = [np.asarray(picture.convert("RGB")) for picture in pictures]
    shapes = {np.shape(picture) for picture in pictures}
    if len(shapes) > 1:
        raise VideoError(f"All pictures of a video must have one size, got {sorted(shapes)}.")
    return np.stack(pictures)
