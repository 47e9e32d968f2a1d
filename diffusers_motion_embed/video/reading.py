"""Reading a reference: from a file or folder to frames of a fixed number and size, and what was done to them."""

import warnings
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np

from diffusers_motion_embed.errors import VideoError, VideoNotFoundError
from diffusers_motion_embed.values import expanded, frames_in_words, optional_whole_number, whole_number
from diffusers_motion_embed.video.colour import background_colour
from diffusers_motion_embed.video.containers import VideoFile
from diffusers_motion_embed.video.geometry import fit
from diffusers_motion_embed.video.pictures import AnimatedPicture, PictureFolder, has_high_range, is_picture_inside
from diffusers_motion_embed.video.source import Notes, Source
from diffusers_motion_embed.video.times import Moments, Request, check_count, choose_moments, frames_on_screen


@dataclass(frozen=True, eq=False)
class ReferenceClip:
    """A reference as training uses it.

    Args:
        path: Where it was read from.
        frames: (num_frames, height, width, 3), uint8 from 0 to 255.
        fps: Frames per second; None for pictures without times.
        times: When each frame comes on screen, in seconds from the reference's first frame. For pictures without
            times, their numbers.
        source_size: Width and height at which a player shows the reference.
        source_fps: Its average frames per second; None without times.
        source_seconds: How long a player shows it, in seconds; None if it does not say, or has no times.
        notes: What was done to it: turned, made square, tone-mapped, ...
        warnings: What may differ from what its owner expects.
    """

    path: Path
    frames: np.ndarray
    fps: float | None
    times: tuple[float, ...]
    source_size: tuple[int, int]
    source_fps: float | None
    source_seconds: float | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def summary(self) -> str:
        """What was read and what was done to it, in a few lines."""
        (num_frames, height, width), (own_width, own_height) = self.frames.shape[:3], self.source_size
        lines = [
            f"{self.path}: {frames_in_words(num_frames)} of {width} x {height}"
            + (f" at {self.fps:.4g} per second" if self.fps else ""),
            f"  shown as {own_width} x {own_height}"
            + (f", {self.source_fps:.4g} frames per second" if self.source_fps else ", without times"),
        ]
        if self.fps:
            # A frame may have come long before the moment that it is read for.
            seconds = f"frames that come at second {self.times[0]:.2f} to {self.times[-1]:.2f}"
            lines.append(f"  {num_frames / self.fps:.2f} seconds, with {seconds}")
        return "\n".join(
            [*lines, *(f"  {note}" for note in self.notes), *(f"  Note: {each}" for each in self.warnings)]
        )


class ReadingArguments(TypedDict, total=False):
    """Which frames are read, and how, with the meanings and defaults of `read_reference`."""

    height: int | None
    width: int | None
    start: int
    stride: int
    fps: float | None
    start_seconds: float | None
    num_seconds: float | None
    background: str


def read_video(path: str | Path, num_frames: int | None = None, **arguments: Unpack[ReadingArguments]) -> np.ndarray:
    """Read frames of a reference as a player shows them; `read_reference` also says what was done to them.

    Args:
        path: A video file, an animated picture, or a folder of pictures.
        num_frames: How many frames to return; None returns all, or those of `num_seconds`.
        **arguments: Size, part, rate and background, as in `read_reference`: `height`, `width`, `start`, `stride`,
            `fps`, `start_seconds`, `num_seconds`, `background`.

    Returns:
        Frames, (num_frames, height, width, 3), uint8 from 0 to 255.

    Raises:
        VideoNotFoundError: If there is nothing at `path`.
        VideoError: If it is empty, damaged, not a video, or shorter than asked for, or if these are more than 20000
            frames.
        ValueError: If a number is invalid, or numbers contradict each other.
        TypeError: If an argument is unknown.
    """
    clip = read_reference(path, num_frames, **arguments)
    for warning in clip.warnings:
        warnings.warn(f"{clip.path}: {warning}.", stacklevel=2)
    return clip.frames


def read_reference(
    path: str | Path,
    num_frames: int | None = None,
    *,
    height: int | None = None,
    width: int | None = None,
    start: int = 0,
    stride: int = 1,
    fps: float | None = None,
    start_seconds: float | None = None,
    num_seconds: float | None = None,
    background: str = "black",
) -> ReferenceClip:
    """Read frames of a video file, an animated picture or a folder of pictures, as a player shows them.

    Frames are chosen by their times, at an even rate: `fps`, or the file's average. They are upright and deinterlaced,
    with square pixels, in the colours of an ordinary screen.

    Args:
        path: A video file of any kind that FFmpeg reads, an animated GIF, WebP, AVIF or APNG, or a folder of pictures.
            Pictures are taken in the order of their names, with numbers in numerical order. Hidden files are skipped.
        num_frames: How many frames to read; None reads all from the start on, or those of `num_seconds`. More than
            20000 are refused.
        height: Height in pixels. The frames are scaled to cover height and width, and cropped around the centre. By
            default it is the video's own.
        width: Width in pixels, in the same way.
        start: First frame used, from 0, counted at the rate that is read.
        stride: Number of frames from one used frame to the next, counted at the rate that is read.
        fps: Frames per second to read, whatever the file has; by default the file's average rate. For pictures without
            times, such as a folder, it is the rate at which they follow each other.
        start_seconds: First moment used, in seconds from the first frame; it takes the place of `start`.
        num_seconds: Length of the used part, in seconds. With `num_frames`, that many frames are spread evenly over
            it; otherwise it determines their number.
        background: Colour under transparent pixels: a name or "#rrggbb".

    Returns:
        The frames, their rate, and what was done to them.

    Raises:
        VideoNotFoundError: If there is nothing at `path`.
        VideoError: If it is empty, damaged, not a video, or shorter than asked for, or if these are more than 20000
            frames.
        ValueError: If a number is invalid, or numbers contradict each other.
    """
    request = _checked(Request(num_frames, start, stride, fps, start_seconds, num_seconds))
    height, width = optional_whole_number("height", height, 1), optional_whole_number("width", width, 1)
    background_colour(background)
    path = expanded(path)
    if not path.exists():
        raise VideoNotFoundError(f"There is no video at {path}.")
    if not path.is_dir() and not path.is_file():
        raise VideoError(f"{path} is neither a file nor a folder.")
    source = _open(path, fps, background, Notes())
    moments = choose_moments(request, source, path)
    pictures, times, size = _read_pictures(source, moments, height, width)
    check_count(path, len(pictures), moments.rate)  # of a file that does not say its length
    if len(pictures) < (1 if moments.is_open else len(moments.times)):
        raise VideoError(_too_short(path, source, moments, len(pictures)))
    if source.damaged_after is not None:
        source.notes.warn(f"the file is damaged or cut off after {source.damaged_after:.1f} s")
    if len({picture.shape for picture in pictures}) > 1:
        raise VideoError(f"The images in {path} differ in size; give height and width.")
    frames = np.stack(pictures)
    said = source.notes
    about = size, source.rate, source.end if source.rate else None
    return ReferenceClip(path, frames, moments.rate, times, *about, (*said.done,), (*said.warnings,))


def _open(path: Path, fps: float | None, background: str, notes: Notes) -> Source:
    if path.is_dir():
        return PictureFolder(path, fps, background, notes)
    if is_picture_inside(path) and not has_high_range(path):
        return AnimatedPicture(path, fps, background, notes)
    return VideoFile(path, background, notes)


def _read_pictures(
    source: Source, moments: Moments, height: int | None, width: int | None
) -> tuple[list[np.ndarray], tuple[float, ...], tuple[int, int]]:
    """Pixels of the requested size, the times of their frames, and the display size of the first."""
    pictures: list[np.ndarray] = []
    times: list[float] = []
    size = (0, 0)
    for frame in frames_on_screen(source, moments):
        if times and times[-1] == frame.time:
            pictures.append(pictures[-1])
        else:
            picture = frame.load()
            size = size if pictures else picture.size
            pictures.append(fit(picture, height, width))
        times.append(frame.time)
    return pictures, tuple(times), size


def _too_short(path: Path, source: Source, moments: Moments, found: int) -> str:
    """Why there are too few frames, and what to do."""
    if not found and source.damaged_after == 0:
        return f"{path} is damaged or cut off from its beginning: at most its first frame can be read."
    wanted = len(moments.times)
    if moments.rate is None:
        span = f"picture {moments.times[0]:.0f} to {moments.times[-1]:.0f}"
    else:
        span = f"second {moments.times[0]:.2f} to {moments.times[-1]:.2f}"
    stored, were = source.stored_frames, "was" if wanted == 1 else "were"
    text = f"{path} is too short: {frames_in_words(wanted)}, from {span}, {were} asked for"
    text += f", and only {found} could be read"
    if source.damaged_after is not None or source.is_cut:
        end = source.longest if source.damaged_after is None else source.damaged_after + 1 / (source.rate or 1.0)
        sound = round(end * (source.rate or 1.0))
        text += f". {sound} of {stored} frames are sound" if stored else f". {sound} frames are sound"
        text += f"; the file is damaged or cut off after {end:.1f} s"
    elif stored is not None:
        text += f" of the {stored} that it has"
    return text + ". Ask for fewer frames, an earlier start, or a smaller stride."


def _checked(request: Request) -> Request:
    """The request with whole numbers as ints; invalid values are refused."""
    for name in ("fps", "num_seconds", "start_seconds"):
        _check_number(name, getattr(request, name), is_zero_allowed=name == "start_seconds")
    if request.start and request.start_seconds is not None:
        raise ValueError("Give start, in frames, or start_seconds, not both.")
    is_spread = request.num_frames is not None and request.num_seconds is not None
    if is_spread and (request.fps is not None or request.stride != 1):
        raise ValueError(
            "num_frames and num_seconds together say the rate already: leave out fps and stride, or one of the two."
        )
    return replace(
        request,
        num_frames=optional_whole_number("num_frames", request.num_frames, 1),
        start=whole_number("start", request.start, 0),
        stride=whole_number("stride", request.stride, 1),
        fps=None if request.fps is None else float(request.fps),
    )


def _check_number(name: str, value: float | None, is_zero_allowed: bool) -> None:
    if value is None:
        return
    is_number = isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value))
    if not is_number or value < 0 or (value == 0 and not is_zero_allowed):
        least = "at least 0" if is_zero_allowed else "more than 0"
        raise ValueError(f"{name} must be None or a number of {least}, got {value!r}.")
