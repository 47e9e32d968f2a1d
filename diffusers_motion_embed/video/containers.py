"""Video files, by FFmpeg: the stream that is the video, its times, and decoding from a moment on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from diffusers_motion_embed.errors import VideoError
from diffusers_motion_embed.video.colour import to_rgb
from diffusers_motion_embed.video.geometry import deinterlaced, display_matrix, upright
from diffusers_motion_embed.video.source import Notes, Picture, TimedFrame


if TYPE_CHECKING:  # an extra, which pictures do not need
    from fractions import Fraction
    from types import ModuleType

    from av import VideoCodecContext, VideoFrame
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream


# Packets at the beginning whose times are read, without decoding, before anything else.
_MEASURED_PACKETS = 1000
# How many seconds before a moment decoding begins if the first key frame found comes too late.
_EARLIER = (0.0, 5.0, 30.0)
# The longest that a stream may be if it does not state its length, in seconds.
_DAY = 86400.0
# FFmpeg's own decoders drop the transparency of these.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@dataclass(frozen=True)
class _Timing:
    """What packets tell about a stream before it is decoded.

    Args:
        index: Index of the stream in its container.
        first: Time of the first frame in the container.
        rate: Average frames per second.
        end: When the last frame leaves the screen, counted from `first`, if it was seen.
        longest: No less than that.
        count: Expected number of frames, if known.
        is_cut: Whether the file ends before that.
        is_vague: Whether times are wrong for a while after seeking. MPEG program streams give only some of them.
    """

    index: int
    first: float
    rate: float
    end: float | None
    longest: float
    count: int | None
    is_cut: bool
    is_vague: bool


class VideoFile:
    """A video file that FFmpeg reads. A `Source`.

    Args:
        path: The file.
        background: Colour under transparent pixels.
        notes: Collects what is done.

    Raises:
        VideoError: If it is not a video.
        ImportError: If PyAV is missing.
    """

    def __init__(self, path: Path, background: str, notes: Notes) -> None:
        self.path, self.background, self.notes = path, background, notes
        self.damaged_after: float | None = None
        if path.stat().st_size == 0:
            raise VideoError(f"{path} is empty.")
        self._timing = self._measured()
        self.rate, self.end, self.stored_frames = self._timing.rate, self._timing.end, self._timing.count
        self.is_cut, self.longest = self._timing.is_cut, self._timing.longest

    def frames_from(self, time: float) -> Iterator[TimedFrame]:
        """Frames in order. The first is on screen at `time`, or was before. They stop where the file is damaged."""
        attempts = _EARLIER[1:] if self._timing.is_vague else _EARLIER
        for earlier in attempts if time > 1 else ():
            frames = self._decoded(max(0.0, time - earlier))
            first = next(frames, None)
            if first is not None and first.time <= time + 0.5 / self.rate:
                return chain([first], frames)
            frames.close()
        return self._decoded(0.0)

    def _decoded(self, time: float) -> Generator[TimedFrame, None, None]:
        """Frames from the key frame before a moment onwards."""
        with self._open() as container:
            stream = next(each for each in container.streams.video if each.index == self._timing.index)
            stream.thread_type = "AUTO"
            if time > 0:
                container.seek(round((self._timing.first + time) / _time_base(stream)), stream=stream)
            aspect = float(stream.sample_aspect_ratio or 1)
            last = time - 1 / self.rate
            for frame in deinterlaced(self._sound_frames(container, stream), self.notes):
                before, last = last, last + 1 / self.rate if frame.time is None else frame.time - self._timing.first
                if self.is_cut and before > self.longest - 1 and last - before > 1.5 / self.rate:
                    return  # what lies between was cut off, as it is stored after what it is predicted from
                yield TimedFrame(last, partial(self._picture, frame, aspect))

    def _sound_frames(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Decoded frames, up to the first damage."""
        import av

        decoder = _decoder(stream)
        last = None
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt and last is not None:
                    raise av.InvalidDataError(0, "corrupt packet")
                for frame in decoder.decode(packet):
                    if not frame.is_corrupt:
                        last = frame
                        yield frame
                    elif last is not None:  # before the first key frame of a recording nothing else can be expected
                        raise av.InvalidDataError(0, "corrupt frame")
        except (av.FFmpegError, ValueError):
            for frame in self._pending(decoder, stream.time_base, last):
                last = frame
                yield frame
            begun = 0.0 if last is None or last.pts is None else last.time - self._timing.first
            self.damaged_after = max(begun, 0.0)

    def _pending(
        self, decoder: VideoCodecContext, time_base: Fraction | None, last: VideoFrame | None
    ) -> Iterator[VideoFrame]:
        """Frames from before the damage that a decoder still holds, up to the first gap between them."""
        import av

        try:
            frames = decoder.decode(None)
        except (av.FFmpegError, ValueError):
            return
        for frame in frames:
            frame.time_base = time_base  # PyAV takes it from packets, and there is none here
            if frame.is_corrupt or frame.pts is None or last is None or frame.time - last.time > 1.5 / self.rate:
                return
            last = frame
            yield frame

    def _picture(self, frame: VideoFrame, aspect: float) -> Picture:
        import av

        try:
            pixels = to_rgb(frame, self.background, self.notes)
        except VideoError as error:
            raise VideoError(f"{self.path}: {error}.") from error
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"{self.path}: its pixels, {frame.format.name}, cannot be converted to RGB; export it as SDR (BT.709) "
                "with 8 bits first."
            ) from error
        return upright(pixels, aspect, display_matrix(frame), self.notes)

    def _measured(self) -> _Timing:
        av = _import_av()
        try:
            with self._open() as container:
                return _measure(container, self.path, self.notes)
        except (av.FFmpegError, ValueError) as error:
            if isinstance(error, VideoError):
                raise
            raise VideoError(
                f"{self.path} is not a video that can be read, or is damaged from its beginning."
            ) from error

    def _open(self) -> InputContainer:
        # "file:" keeps FFmpeg from taking "12:30.mp4" for an address.
        return _import_av().open(f"file:{self.path}", metadata_errors="replace")


def _import_av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise ImportError(
            'Reading video files needs PyAV: pip install "diffusers_motion_embed[training]". Pictures can be read '
            "without it."
        ) from error
    return av


def _decoder(stream: VideoStream) -> VideoCodecContext:
    """The stream's own decoder, or one that reads transparency."""
    import av

    name = _ALPHA_DECODERS.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return stream.codec_context
    decoder = cast("VideoCodecContext", av.CodecContext.create(name, "r"))
    decoder.extradata = stream.codec_context.extradata
    return decoder


def _time_base(stream: Stream) -> Fraction:
    """Seconds per unit of the stream's times."""
    if stream.time_base is None:
        raise ValueError(f"stream {stream.index} does not say in which unit its times are")
    return stream.time_base


def _measure(container: InputContainer, path: Path, notes: Notes) -> _Timing:
    """Choose the stream and measure its times from its first packets."""
    from av.stream import Disposition

    stills = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
    streams = [stream for stream in container.streams.video if not stream.disposition & stills]
    if not streams:
        kind = "only a cover picture" if container.streams.video else "no video stream"
        raise VideoError(f"{path} has {kind}.")
    packets, is_whole = _packets(container, streams)
    stream = max(streams, key=lambda each: _rank(each, len(packets[each.index])))
    if len(container.streams.video) > 1:
        size = f"{stream.width} x {stream.height}"
        notes.add(f"video stream {stream.index} of {len(container.streams.video)} used, {size}")
    return _timing(container, stream, packets[stream.index], is_whole)


def _rank(stream: VideoStream, packets: int) -> tuple:
    """Moving streams before still ones, the container's choice before others, then the larger."""
    from av.stream import Disposition

    return packets > 1, bool(stream.disposition & Disposition.default), stream.width * stream.height


def _packets(
    container: InputContainer, streams: list[VideoStream]
) -> tuple[dict[int, list[tuple[float, float, bool]]], bool]:
    """Packets of each stream's first frames, without their content, and whether those are all."""
    packets: dict[int, list[tuple[float, float, bool]]] = {stream.index: [] for stream in streams}
    first: dict[
        int, float
    ] = {}  # time of each stream's first key frame: what should be shown before it cannot be decoded
    for number, packet in enumerate(container.demux(*streams)):
        if number >= _MEASURED_PACKETS * len(streams):
            return packets, False
        if packet.size:
            base, index = _time_base(packet.stream), packet.stream.index
            start = float(((packet.dts if packet.pts is None else packet.pts) or 0) * base)
            if packet.is_keyframe:
                first.setdefault(index, start)
            shown = not packet.is_discard and start >= first.get(index, np.inf)
            packets[index].append((start, float((packet.duration or 0) * base), shown))
    return packets, True


def _timing(
    container: InputContainer, stream: VideoStream, packets: list[tuple[float, float, bool]], is_whole: bool
) -> _Timing:
    """Timing from the packets of a stream, each with start, length and whether it is shown."""
    declared = float(stream.average_rate or stream.guessed_rate or 25)
    shown = sorted((start, length) for start, length, is_shown in packets if is_shown)
    is_vague = container.format.name == "mpeg"
    promised = (container.duration or 0) / 1_000_000 or _DAY
    first = shown[0][0] if shown else 0.0
    span = shown[-1][0] - first if shown else 0.0
    if span <= 0:  # one frame, or a bare stream without times
        return _Timing(stream.index, first, declared, None, promised, stream.frames or None, False, is_vague)
    end = span + (shown[-1][1] or span / (len(shown) - 1))
    count = stream.frames or _promised(container, declared, end) or (len(shown) if is_whole else None)
    is_cut = is_whole and count is not None and len(packets) < count
    measured = len(shown) / end
    # Times in a file are often rounded, but the rate that it states is exact. If the file was seen whole, times count.
    is_declared = abs(declared / measured - 1) < 0.01 or not is_whole or is_cut
    rate, known = declared if is_declared else measured, end if is_whole else None
    return _Timing(stream.index, first, rate, known, known or max(end, promised), count, is_cut, is_vague)


def _promised(container: InputContainer, rate: float, end: float) -> int | None:
    """How many frames a container without a table of frames should have, if it says it lasts longer than they do."""
    seconds = (container.duration or 0) / 1_000_000
    is_alone = len(container.streams) == 1  # otherwise another stream may last that long
    return round(seconds * rate) if is_alone and seconds > end + 0.25 else None
