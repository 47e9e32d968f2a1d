"""What every kind of reference has in common: frames with times, and notes of what was done to them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np


@dataclass
class Notes:
    """What happened to a reference on its way to frames, each thing once.

    Args:
        done: What was put right.
        warnings: What may differ from what its owner expects.
    """

    done: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Note something that was put right."""
        if text not in self.done:
            self.done.append(text)

    def warn(self, text: str) -> None:
        """Note something that may be unexpected."""
        if text not in self.warnings:
            self.warnings.append(text)


class Picture(NamedTuple):
    """A frame as it is shown.

    Args:
        pixels: (height, width, 3), uint8, RGB and upright, at the stored resolution.
        size: Width and height at which it is shown, in square pixels.
    """

    pixels: np.ndarray
    size: tuple[int, int]


class TimedFrame(NamedTuple):
    """A frame before it becomes a picture: most frames are never asked for.

    Args:
        time: When it comes on screen, in seconds from the first frame; its number where there are no times.
        load: Makes the picture.
    """

    time: float
    load: Callable[[], Picture]


class Source(Protocol):
    """A file or folder that frames come from."""

    @property
    def rate(self) -> float | None:
        """Average frames per second, or None where pictures have no times."""
        ...

    @property
    def end(self) -> float | None:
        """When the last frame leaves the screen, in seconds from the first, if known."""
        ...

    @property
    def longest(self) -> float:
        """An upper bound of `end`, even where `end` is unknown."""
        ...

    @property
    def stored_frames(self) -> int | None:
        """How many frames there should be, if known."""
        ...

    @property
    def is_cut(self) -> bool:
        """Whether it is known to end before `stored_frames`."""
        ...

    @property
    def damaged_after(self) -> float | None:
        """Time of the last frame before damage, once damage was found."""
        ...

    @property
    def notes(self) -> Notes:
        """Notes of everything that is done."""
        ...

    def frames_from(self, time: float) -> Iterator[TimedFrame]:
        """Frames in order; the first is on screen at `time`, or was before."""
        ...
