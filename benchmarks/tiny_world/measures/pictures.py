"""Pictures as the measures read them: colours in CIELAB, half the resolution, and what is left of soft differences.

Pictures come in stacks, (frames, height, width), so that all frames of a clip are worked on at once.
"""

import cv2
import numpy as np

from benchmarks.tiny_world.scene import pixel_grid


def lab_of(rgb: tuple[int, int, int]) -> np.ndarray:
    """CIELAB of an 8-bit sRGB colour."""
    return labs_of(np.array(rgb, np.uint8).reshape(1, 1, 1, 3))[0, 0, 0]


def labs_of(frames: np.ndarray) -> np.ndarray:
    """Frames in CIELAB, (frames, height, width, 3), float32.

    Args:
        frames: The same in sRGB, uint8 or floats from 0 to 1.
    """
    values = frames.astype(np.float32) / (255 if frames.dtype == np.uint8 else 1)
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2LAB) for frame in values])


def halved(pictures: np.ndarray) -> np.ndarray:
    """Means over 2 x 2 pixels."""
    frames, height, width = pictures.shape
    return pictures.reshape(frames, height // 2, 2, width // 2, 2).mean((2, 4), dtype=np.float32)


def places(size: int) -> np.ndarray:
    """X and y of every pixel's centre in half frame widths, (size, size, 2), float32."""
    return np.stack(pixel_grid(size), -1).astype(np.float32)


def coverage(distance: np.ndarray, width: float) -> np.ndarray:
    """How much of a soft spot of this width lies inside an outline, from 0 to 1, by its signed distance."""
    return np.clip(0.5 - distance / width, 0.0, 1.0)


def dilated(masks: np.ndarray, size: int) -> np.ndarray:
    """Masks, (frames, height, width), grown by half of `size` pixels to each side."""
    kernel = np.ones((size, size), np.uint8)
    return np.stack([cv2.dilate(mask.astype(np.uint8), kernel) for mask in masks]).astype(bool)


def eroded(mask: np.ndarray) -> np.ndarray:
    """A mask, (height, width), without its outermost pixels."""
    return cv2.erode(mask.astype(np.uint8), np.ones((3, 3))).astype(bool)


def blurred(pictures: np.ndarray, sigma: float) -> np.ndarray:
    """Pictures blurred by a Gaussian of `sigma` pixels."""
    return np.stack([cv2.GaussianBlur(each, (0, 0), sigma) for each in pictures.astype(np.float32)])


def softened(pictures: np.ndarray, weights: np.ndarray, sigma: float) -> np.ndarray:
    """Pictures blurred by a Gaussian of `sigma` pixels that sees only what has weight; 0 where nothing has."""
    return blurred(pictures * weights, sigma) / np.maximum(blurred(weights, sigma), 0.05)
