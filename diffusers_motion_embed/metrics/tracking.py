"""Following points through a video: what any tracker gives (`Tracks`), and the one that needs no weights.

Positions are in pixels, x to the right and y downwards.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import cv2
import numpy as np

from diffusers_motion_embed.metrics.clips import Video, as_clip


class Tracker(Protocol):
    """Anything that follows points through a clip, with a name that results are reported under."""

    @property
    def name(self) -> str:
        """Name for reports. Scores of different trackers are not comparable."""
        ...

    def __call__(self, clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Follow points of the first frame.

        Args:
            clip: (frames, height, width, 3), uint8.

        Returns:
            Positions, (tracks, frames, 2), and whether they are reliable, (tracks, frames).
        """
        ...


@dataclass(frozen=True)
class Tracks:
    """Points followed through a clip.

    Args:
        points: (tracks, frames, 2), x then y, in pixels.
        visible: Whether a point is seen and its position therefore known, (tracks, frames).
        frame_size: Height and width of the clip, in pixels.
        tracker: Name of the tracker that followed them.

    Raises:
        ValueError: If shapes do not fit together, or the position of a visible point is not finite.
    """

    points: np.ndarray
    visible: np.ndarray
    frame_size: tuple[int, int]
    tracker: str

    def __post_init__(self) -> None:
        if self.points.ndim != 3 or self.points.shape[-1] != 2 or self.visible.shape != self.points.shape[:2]:
            raise ValueError(
                f"The tracker {self.tracker!r} gave points {self.points.shape} and visibility {self.visible.shape}; "
                "(tracks, frames, 2) and (tracks, frames) are needed."
            )
        if self.visible.dtype != bool or not np.isfinite(self.points[self.visible]).all():
            raise ValueError(
                f"The tracker {self.tracker!r} must give visibility as booleans, got {self.visible.dtype}, and finite "
                "positions of what is visible."
            )


def track(video: Video, tracker: Tracker | None = None) -> Tracks:
    """Follow points through a video.

    Args:
        video: See `as_clip`.
        tracker: `LucasKanadeTracker()` by default.

    Raises:
        VideoError: If `video` is not a video.
        ValueError: If the tracker returns something other than tracks of this video.
    """
    clip = as_clip(video)
    if tracker is None:
        tracker = LucasKanadeTracker()
    _, height, width, _ = clip.shape
    tracks = Tracks(*tracker(clip), (height, width), tracker.name)
    if tracks.points.shape[1] != len(clip):
        raise ValueError(f"The tracker {tracker.name!r} gave {tracks.points.shape[1]} of {len(clip)} frames.")
    return tracks


@dataclass(frozen=True)
class LucasKanadeTracker:
    """Pyramidal Lucas-Kanade from frame to frame (OpenCV), on a grid of points of the first frame.

    A point counts as seen for as long as following it back from each next frame leads to where it came from. A lost
    point is not found again.

    Args:
        grid_size: Number of points along either axis.
        window_size: Side of the neighbourhood that is followed, in pixels.
        max_level: Number of pyramid levels above the full picture. The largest step that is followed doubles with
            each.
        max_error: How far from its origin a point may land when followed back, in pixels.
        max_side: Larger frames are shrunk to this height or width, and the lengths above apply to the shrunken frames.
            Large and small copies of a video therefore have the same tracks, and steps of many pixels can be followed.
    """

    grid_size: int = 40
    window_size: int = 15
    max_level: int = 3
    max_error: float = 1.0
    max_side: int = 256
    name: str = "lk"

    def __call__(self, clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Follow the grid through (frames, height, width, 3), uint8; see `Tracker`."""
        size = np.array(clip.shape[2:0:-1])  # width and height, as points and OpenCV have them
        shrunk = np.round(size * min(1, self.max_side / size.max())).astype(int)
        tones = _tones(np.stack([cv2.resize(frame, shrunk, interpolation=cv2.INTER_AREA) for frame in clip]))
        points = [self._grid(shrunk)]
        visible = [np.ones(len(points[0]), bool)]
        for before, after in pairwise(tones):
            there, found = self._follow(before, after, points[-1])
            back, found_back = self._follow(after, before, there)
            sure = found & found_back & (np.linalg.norm(back - points[-1], axis=-1) <= self.max_error)
            visible.append(visible[-1] & sure)
            # A lost point stays where it was last seen, because OpenCV may put it anywhere.
            points.append(np.where(visible[-1][:, None], there, points[-1]))
        return (np.stack(points, axis=1) + 0.5) * (size / shrunk) - 0.5, np.stack(visible, axis=1)

    def _grid(self, size: np.ndarray) -> np.ndarray:
        axes = ((np.arange(self.grid_size) + 0.5) / self.grid_size * side - 0.5 for side in size)
        return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2).astype(np.float32)

    def _follow(self, before: np.ndarray, after: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        window = (self.window_size, self.window_size)
        start = points[:, None]
        there, status, _ = cv2.calcOpticalFlowPyrLK(
            before, after, start, np.empty_like(start), winSize=window, maxLevel=self.max_level
        )
        return np.asarray(there)[:, 0], np.asarray(status)[:, 0].astype(bool)


def _tones(frames: np.ndarray) -> np.ndarray:
    """Pictures of one channel: along the principal axis of the clip's colours, in which they differ most.

    Gray would hide a red thing in front of a blue background of the same lightness.

    Args:
        frames: (frames, height, width, 3).

    Returns:
        (frames, height, width), uint8.
    """
    colors = frames.reshape(-1, 3).astype(np.float32)
    _, axes = np.linalg.eigh(np.cov(colors.T))
    tones = (colors @ axes[:, -1].astype(np.float32)).reshape(frames.shape[:3])
    return ((tones - tones.min()) * (255 / max(float(np.ptp(tones)), 1.0))).round().astype(np.uint8)
