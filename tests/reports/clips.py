"""Clips of which the motion is known."""

import numpy as np


def moving_square(step: int = 3, color=(255, 60, 60), background=(20, 20, 20), num_frames: int = 8) -> np.ndarray:
    """A square that goes right by `step` pixels a frame, left if it is negative; (frames, 64, 64, 3)."""
    clip = np.full((num_frames, 64, 64, 3), background, np.uint8)
    start = 8 if step >= 0 else 40
    for number, frame in enumerate(clip):
        left = start + number * step
        frame[24:40, left : left + 16] = color
        frame[28:32, left + 4 : left + 8] = 255  # something to follow
    return clip
