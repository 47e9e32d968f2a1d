"""Which moments of a reference are used, and which frame is on screen at each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

from diffusers_motion_embed.errors import VideoError
from diffusers_motion_embed.video.source import Source, TimedFrame


# A frame that stays more than half longer or shorter than the average is not one of an even rate. Rounded times
# (Matroska: milliseconds) stay far below.
_UNEVENNESS = 0.5
# Seeking costs decoding from a key frame; most files have one every few seconds.
_SEEK_GAP = 10.0


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


def choose_moments(request: Request, source: Source) -> Moments:
    """The moments that a request means for a source.

    Raises:
        VideoError: If seconds are asked of pictures without times.
    """
    in_seconds = request.start_seconds is not None or request.num_seconds is not None
    if source.rate is None and in_seconds:
        raise VideoError("Pictures have no times: give fps, the rate at which they follow each other.")
    own = source.rate or 1.0
    rate = request.fps or own
    num_frames = request.num_frames
    if request.num_seconds is not None:
        if num_frames is None:
            num_frames = max(1, round(request.num_seconds * rate / request.stride))
        else:
            rate = num_frames / request.num_seconds
    first = request.start / rate if request.start_seconds is None else request.start_seconds
    is_open = num_frames is None
    if num_frames is None:
        num_frames = max(1, ceil((source.longest - first) * rate / request.stride))
    times = tuple(first + number * request.stride / rate for number in range(num_frames))
    given = rate != own
    return Moments(times, rate / request.stride if source.rate else None, given, is_open, 0.5 / max(rate, own))


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
            return
        yield current
    if source.rate and current is not None and times[-1] - current.time > (1 + _UNEVENNESS) / source.rate:
        intervals.append(times[-1] - current.time)  # a pause that is not over at the last moment


def _stays_until(source: Source, last: TimedFrame, time: float) -> bool:
    """Whether the last frame is still on screen at a moment. No frame follows it."""
    length = 1 / (source.rate or 1.0)
    end = last.time + length
    if source.end is not None and source.damaged_after is None and not source.is_cut:
        end = max(end, source.end)
    return time < end - 0.1 * length


def _note_times(source: Source, moments: Moments, intervals: list[float]) -> None:
    if source.rate is None or moments.rate is None:
        return
    lengths = [interval * source.rate for interval in intervals] or [1.0]
    if max(lengths) > 1 + _UNEVENNESS or min(lengths) < 1 - _UNEVENNESS:
        say = source.notes.add if moments.is_rate_given else source.notes.warn
        say(
            f"frames come at uneven times, {1000 * min(intervals):.0f} to {1000 * max(intervals):.0f} ms apart; read "
            f"evenly, at {moments.rate:.4g} per second"
        )
    if moments.rate > 1.02 * source.rate:
        source.notes.warn(f"there are {source.rate:.4g} frames per second, so that some are used more than once")
