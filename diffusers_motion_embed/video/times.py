"""Which moments of a reference are used, and which frame is on screen at each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from diffusers_motion_embed.errors import VideoError
from diffusers_motion_embed.video.source import Source, TimedFrame


# A frame that stays more than half longer or shorter than the average is not one of an even rate. Rounded times
# (Matroska: milliseconds) stay far below.
_UNEVENNESS = 0.5
# Seeking costs decoding from a key frame; most files have one every few seconds.
_SEEK_GAP = 10.0
# The most that one clip can be: a quarter of an hour of film, where models take hundreds of frames. What a wrong rate
# asks for is more, and no memory holds it.
MOST_FRAMES = 20_000


@dataclass(frozen=True)
class Request:
    """What the caller asked for, as `read_reference` explains."""

    num_frames: int | None
    start: int
    stride: int
    fps: float | None
    start_seconds: float | None
    num_seconds: float | None


@dataclass(frozen=True)
class Moments:
    """The moments whose frames are used.

    Args:
        times: In seconds from the first frame, or numbers of pictures that have no times.
        rate: Number of moments per second; None without times.
        is_rate_given: Whether the caller chose it.
        is_open: Whether they go on to the end of the source, which may come before the last of them.
        tolerance: Half of a frame. A frame that comes on screen later than a moment by at most this still counts.
    """

    times: tuple[float, ...]
    rate: float | None
    is_rate_given: bool
    is_open: bool
    tolerance: float

    def runs(self) -> Iterator[tuple[float, ...]]:
        """Groups of moments that are near to each other."""
        run = [self.times[0]]
        for time in self.times[1:]:
            if time - run[-1] > _SEEK_GAP:
                yield tuple(run)
                run = []
            run.append(time)
        yield tuple(run)


def choose_moments(request: Request, source: Source, path: Path) -> Moments:
    """The moments that a request means for a source, which was read from `path`.

    Raises:
        VideoError: If seconds are asked of pictures without times, or more frames than one clip can be.
    """
    in_seconds = request.start_seconds is not None or request.num_seconds is not None
    if source.rate is None and in_seconds:
        raise VideoError("Pictures have no times: give fps, the rate at which they follow each other.")
    own = source.rate or 1.0
    rate = request.fps or own
    count: float | None = request.num_frames
    if request.num_seconds is not None:
        if count is None:
            count = request.num_seconds * rate / request.stride
        else:
            rate = count / request.num_seconds
    first = request.start / rate if request.start_seconds is None else request.start_seconds
    is_open = count is None
    if count is None:
        count = (source.longest - first) * rate / request.stride
    shown_rate = rate / request.stride if source.rate else None
    if is_open and source.end is None and source.stored_frames is None:
        count = min(count, MOST_FRAMES + 1)  # how many there are is known when they are read
    else:
        check_count(path, count, shown_rate)
    # A length that is given means the nearest number of frames, and what is left of a source all that begin in it.
    num_frames = max(1, ceil(count) if is_open else round(count))
    times = tuple(first + number * request.stride / rate for number in range(num_frames))
    return Moments(times, shown_rate, rate != own, is_open, 0.5 / max(rate, own))


def check_count(path: Path, count: float, rate: float | None) -> None:
    """Raise a `VideoError` if so many frames of `path`, at `rate` per second, are more than one clip can be."""
    if count > MOST_FRAMES:
        at = "" if rate is None else f" at {rate:g} per second"
        raise VideoError(
            f"{path}: {count:.0f} frames{at} are too many for one clip, which has {MOST_FRAMES} at most. Ask for "
            "fewer, with num_frames or num_seconds, or for a lower fps or a larger stride."
        )


def frames_on_screen(source: Source, moments: Moments) -> Iterator[TimedFrame]:
    """For each moment the frame on screen, until the source ends."""
    intervals: list[float] = []
    for run in moments.runs():
        yield from _run_on_screen(source, run, moments.tolerance, intervals)
    _note_times(source, moments, intervals)


def _run_on_screen(
    source: Source, times: Sequence[float], tolerance: float, intervals: list[float]
) -> Iterator[TimedFrame]:
    frames = source.frames_from(times[0])
    current: TimedFrame | None = None
    following = next(frames, None)
    for time in times:
        while following is not None and (current is None or following.time <= time + tolerance):
            if current is not None and following.time >= times[0]:
                intervals.append(following.time - current.time)
            current, following = following, next(frames, None)
        if current is None or (following is None and not _stays_until(source, current, time)):
            break
        yield current
    if source.rate and current is not None:
        gone = _end(source, current) if following is None else following.time
        if min(gone, times[-1]) - current.time > (1 + _UNEVENNESS) * min([1 / source.rate, *intervals]):
            intervals.append(gone - current.time)  # a pause that goes on to the last moment, or to the end


def _stays_until(source: Source, last: TimedFrame, time: float) -> bool:
    """Whether the last frame is still on screen at a moment. No frame follows it."""
    return time < _end(source, last) - 0.1 / (source.rate or 1.0)


def _end(source: Source, last: TimedFrame) -> float:
    """When the last frame leaves the screen."""
    end = last.time + 1 / (source.rate or 1.0)
    if source.end is not None and source.damaged_after is None and not source.is_cut:
        end = max(end, source.end)
    return end


def _note_times(source: Source, moments: Moments, intervals: list[float]) -> None:
    if source.rate is None or moments.rate is None:
        return
    lengths = [interval * source.rate for interval in intervals] or [1.0]
    if max(lengths) > 1 + _UNEVENNESS or min(lengths) < 1 - _UNEVENNESS:
        say = source.notes.add if moments.is_rate_given else source.notes.warn
        low, high, average = (f"{1000 * each:.0f}" for each in (min(intervals), max(intervals), 1 / source.rate))
        # What is read may be even, and the rest of the source slower or faster.
        apart = f"{low} to {high} ms apart" if low != high else f"{low} ms apart here and {average} ms on average"
        say(f"frames come at uneven times, {apart}; read evenly, at {moments.rate:.4g} per second")
    if moments.rate > 1.02 * source.rate:
        source.notes.warn(f"there are {source.rate:.4g} frames per second, so that some are used more than once")
