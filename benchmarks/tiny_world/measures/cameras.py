"""The camera's motion, read off the pattern that it looks at."""

from dataclasses import dataclass

import numpy as np

from benchmarks.tiny_world.scene import CHECKER_CELL, PERIODS, Motion, turned


AFTER_TURN = np.array([CHECKER_CELL, 0.0])  # a quarter turn and this shift leave patterns as they are


def camera_path(pattern: str, pose: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where a camera looks, followed from frame to frame by the smallest steps that show the pattern as it is seen.

    Args:
        pattern: Name of the pattern.
        pose: The camera in each frame by itself, (frames, 4): x, y, logarithm of the zoom, roll.
        known: Whether the pattern was found there, (frames,).

    Returns:
        The same with all frames in one world, (frames, 4); NaN where it is not known.
    """
    path = np.full(pose.shape, np.nan)
    if pattern == "plain":
        return path
    last = np.zeros(4)
    for frame in np.flatnonzero(known):
        last = path[frame] = _nearest(pose[frame], last)
    return path


def _nearest(pose: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Of all cameras that see the pattern as this one does, the one nearest to the last."""
    quarters = int(np.round((last[3] - pose[3]) / (np.pi / 2)))
    shift = turned(pose[:2], -quarters * np.pi / 2) + (quarters % 2) * AFTER_TURN
    steps = np.round(np.linalg.solve(PERIODS.T, last[:2] - shift))
    return np.array([*(shift + steps @ PERIODS), pose[2], pose[3] + quarters * np.pi / 2])


@dataclass(frozen=True)
class CameraExtent:
    """How far a camera goes within a clip.

    Args:
        pan: Largest distance of two places that it looks at, in half frame widths.
        zoom: By how much the largest magnification exceeds the smallest, as a share.
        roll: Between the extreme angles, in degrees.
    """

    pan: float
    zoom: float
    roll: float

    @property
    def moves(self) -> bool:
        """Whether a person would say that it moves."""
        return self.pan > MOVES.pan or self.zoom > MOVES.zoom or self.roll > MOVES.roll


MOVES = CameraExtent(0.2, 0.1, 5.0)


def camera_extent(path: np.ndarray) -> CameraExtent | None:
    """How far a camera goes, if it is known in most frames.

    Args:
        path: x, y, logarithm of the zoom, roll, (frames, 4), NaN where it is not known.
    """
    known = path[np.isfinite(path).all(1)]
    if len(known) <= len(path) / 2:
        return None
    pan = np.linalg.norm(known[:, None, :2] - known[:, :2], axis=-1).max()
    return CameraExtent(float(pan), float(np.expm1(np.ptp(known[:, 2]))), float(np.rad2deg(np.ptp(known[:, 3]))))


def path_of(motion: Motion) -> np.ndarray:
    """The path of a camera of which everything is known, as `camera_path` gives it."""
    return np.column_stack([motion.camera_shift, np.log(motion.camera_zoom), motion.roll])
