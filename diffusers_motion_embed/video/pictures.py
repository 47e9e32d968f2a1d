"""Pictures, read by Pillow: folders of them, and animated ones. One place makes all of them RGB and upright."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from diffusers_motion_embed.errors import VideoError
from diffusers_motion_embed.video.colour import HLG, PQ, over_background
from diffusers_motion_embed.video.containers import VideoFile
from diffusers_motion_embed.video.files import (
    PICTURE_SUFFIXES,
    hidden_files,
    is_picture,
    is_video,
    list_folder,
    list_pictures,
    passed_over,
)
from diffusers_motion_embed.video.source import Notes, Picture, TimedFrame


_ANIMATED_FORMATS = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")
# Browsers show frames of 10 ms or less for 100 ms.
_LEAST_SECONDS, _USUAL_SECONDS = 0.0101, 0.1
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


class PictureFolder:
    """A folder of pictures, one frame each. A `Source`.

    Args:
        folder: The folder.
        fps: Rate at which the pictures follow each other, if it is known.
        background: Colour under transparent pixels.
        notes: Collects what is done.

    Raises:
        VideoError: If there are no pictures.
    """

    damaged_after = end = None
    is_cut = False

    def __init__(self, folder: Path, fps: float | None, background: str, notes: Notes) -> None:
        self.folder, self.rate, self.background, self.notes = folder, fps, background, notes
        self.files = list_pictures(folder)
        if not self.files:
            raise VideoError(f"The folder {folder} holds no pictures {_instead(folder)}")
        self.stored_frames = len(self.files)
        self.longest = len(self.files) / (fps or 1.0)
        others = {*list_folder(folder)} - {*self.files} | {*hidden_files(folder, is_picture)}
        if others:
            notes.warn(passed_over(others))

    def frames_from(self, time: float) -> Iterator[TimedFrame]:
        """Pictures in order; the first is the one at `time`."""
        rate = self.rate or 1.0
        for number in range(int(time * rate + 1e-6), len(self.files)):
            yield TimedFrame(number / rate, partial(self._load, self.files[number]))

    def _load(self, file: Path) -> Picture:
        if has_high_range(file):
            return next(VideoFile(file, self.background, self.notes).frames_from(0.0)).load()
        with _named(file), Image.open(file) as image:
            if getattr(image, "is_animated", False) and image.format in _ANIMATED_FORMATS:
                self.notes.warn(f"{file.name} is animated; only its first frame was used")
            return as_picture(image, self.background, self.notes)


class AnimatedPicture:
    """An animated GIF, WebP, AVIF, APNG, or a TIFF of several pages; or a single picture. A `Source`.

    Args:
        path: The file.
        fps: Rate of pages without times.
        background: Colour under transparent pixels.
        notes: Collects what is done.

    Raises:
        VideoError: If it is damaged from its beginning.
    """

    is_cut = False

    def __init__(self, path: Path, fps: float | None, background: str, notes: Notes) -> None:
        self.path, self.background, self.notes = path, background, notes
        self.damaged_after: float | None = None
        self._is_damaged = False
        with _named(path):
            self._image = Image.open(BytesIO(path.read_bytes()))
            seconds = self._measured()
        has_times = len(seconds) > 1 and self._image.format != "TIFF"
        # The first picture of an APNG may be meant for programs that do not know APNG. It is then not a frame.
        self._first = 1 if has_times and self._image.info.get("default_image") else 0
        if not has_times:
            seconds = [1 / (fps or 1.0)] * len(seconds)
        del seconds[: self._first]
        self.stored_frames = None if self._is_damaged else len(seconds)
        self._times = [0.0, *np.cumsum(seconds).tolist()]
        self.end = self.longest = self._times[-1]
        self.rate = len(seconds) / self.end if has_times else fps

    def frames_from(self, time: float) -> Iterator[TimedFrame]:
        """Frames in order; the first is on screen at `time`."""
        starts = self._times[:-1]
        first = max((number for number, start in enumerate(starts) if start <= time), default=0)
        for number, start in enumerate(starts[first:], first):
            yield TimedFrame(start, partial(self._load, number))
        if self._is_damaged:
            self.damaged_after = starts[-1]

    def _load(self, number: int) -> Picture:
        with _named(self.path):
            self._image.seek(self._first + number)
            return as_picture(self._image, self.background, self.notes)

    def _measured(self) -> list[float]:
        """How long each frame stays, up to the first damaged one."""
        seconds: list[float] = []
        image = self._image
        for number in count() if image.format in _ANIMATED_FORMATS else range(1):
            try:
                image.seek(number)
                image.load()
            except EOFError:
                break
            except _DAMAGE:
                if not seconds:
                    raise
                self._is_damaged = True
                break
            own = image.info.get("duration", 0) / 1000
            seconds.append(own if own >= _LEAST_SECONDS else _USUAL_SECONDS)
        return seconds


def is_picture_inside(path: Path) -> bool:
    """Whether Pillow reads a file, judged by its content. Of videos, it reads only animated pictures."""
    formats = None if path.suffix.lower() in PICTURE_SUFFIXES else _known("AVIF", "GIF", "PNG", "WEBP")
    try:
        with Image.open(path, formats=formats) as image:
            return image.format != "MPEG"
    except _DAMAGE:
        return False


def _known(*formats: str) -> tuple[str, ...]:
    """Those that this Pillow reads. AVIF came with Pillow 11.3, and builds may lack WebP and AVIF."""
    Image.init()
    return tuple(each for each in formats if each in Image.OPEN)


def has_high_range(path: Path) -> bool:
    """Whether a PNG or AVIF says that it is HDR. Pillow ignores that, so FFmpeg reads it."""
    with open(path, "rb") as file:
        head = file.read(65536)
    # The transfer curve follows the primaries: one byte each in PNG's cICP, two in the nclx of AVIF's colr.
    png, avif = head.find(b"cICP"), head.find(b"colrnclx")
    transfer = head[png + 5 : png + 6] if head.startswith(b"\x89PNG") and png > 0 else b""
    if head[4:8] == b"ftyp" and avif > 0:
        transfer = head[avif + 11 : avif + 12]
    return transfer in (bytes([PQ]), bytes([HLG]))


def is_still(path: Path) -> bool:
    """Whether a file that may be animated by its name is a single picture."""
    try:
        with Image.open(path) as image:
            return not getattr(image, "is_animated", False)
    except _DAMAGE:
        return False


def as_picture(image: Image.Image, background: str, notes: Notes) -> Picture:
    """An opened picture as RGB, upright, in the colours of an ordinary screen."""
    turned = ImageOps.exif_transpose(image)
    if image.getexif().get(0x0112, 1) != 1:
        notes.add("turned or mirrored as the file says")
    rgb = _rgb(turned, background, notes)
    return Picture(np.asarray(rgb), rgb.size)


def _rgb(image: Image.Image, background: str, notes: Notes) -> Image.Image:
    if image.mode.startswith("I"):
        return _from_deep_grey(image, notes).convert("RGB")
    if image.mode == "F":
        raise VideoError("its pixels are floating-point numbers; store it with 8 or 16 bits")
    profile = image.info.get("icc_profile")
    if image.has_transparency_data:
        image = image.convert("RGBA")
    if profile:
        image = _to_srgb(image, profile, notes)
    return over_background(image, background, notes) if image.mode == "RGBA" else image.convert("RGB")


def _from_deep_grey(image: Image.Image, notes: Notes) -> Image.Image:
    """16-bit grey with all its tones."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise VideoError("its pixels are whole numbers beyond 16 bits; store it with 8 or 16 bits")
    notes.add("16-bit grey brought to 8 bits")
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes, notes: Notes) -> Image.Image:
    """Convert colours of a profile (Display P3 of phones and screens, CMYK) to sRGB."""
    try:
        own = ImageCms.ImageCmsProfile(BytesIO(profile))
        name = ImageCms.getProfileDescription(own).strip()
        if "srgb" in name.lower():
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        notes.warn("a colour profile that does not fit its picture was passed over")
        return image
    notes.add(f"colours of {name} converted to sRGB")
    return image if converted is None else converted


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Say which picture cannot be read, and why."""
    try:
        yield
    except VideoError as error:
        raise VideoError(f"{file}: {error}.") from error
    except UnidentifiedImageError as error:
        raise VideoError(f"{file} is not an image that can be read.") from error
    except _DAMAGE as error:
        raise VideoError(f"{file} is not an image that can be read ({error}).") from error


def _instead(folder: Path) -> str:
    """What a folder without pictures holds instead."""
    entries = list_folder(folder)
    if any(is_video(entry) and not is_picture(entry) for entry in entries):
        return "but videos: name one of them, or give the folder as a list of clips (--reference_videos)."
    if any(entry.is_dir() and list_pictures(entry) for entry in entries):
        return "but folders of pictures: name one of them, or give it as a list of clips (--reference_videos)."
    return f"({', '.join(sorted(PICTURE_SUFFIXES))})."
