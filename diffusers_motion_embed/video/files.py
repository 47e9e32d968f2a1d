"""Which files are pictures and videos, in what order, and which are skipped: one list and one rule for all."""

from collections.abc import Callable, Iterable
from pathlib import Path

from natsort import natsorted


# Pictures that may hold several frames are videos as well. A video named like a picture, or the reverse, is still
# read: files are opened by their content.
_STILL = "bmp dib jfif jp2 j2k jpe jpeg jpg pbm pcx pgm pnm ppm qoi sgi tga tif tiff"
_ANIMATED = "apng avif avifs gif webp"
_CONTAINERS = (
    "3g2 3gp asf avi dv f4v flv ivf m2ts m2v m4v mj2 mjpeg mjpg mkv mov mp4 mpeg mpg mts mxf nut ogm ogv qt ts vob "
    "webm wmv y4m"
)


def _suffixes(names: str) -> frozenset[str]:
    return frozenset(f".{name}" for name in names.split())


ANIMATION_SUFFIXES = _suffixes(_ANIMATED)
PICTURE_SUFFIXES = _suffixes(_STILL) | {".png"} | ANIMATION_SUFFIXES
VIDEO_SUFFIXES = _suffixes(_CONTAINERS) | ANIMATION_SUFFIXES


def is_picture(path: Path) -> bool:
    """Whether a file's name is that of a picture."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def is_video(path: Path) -> bool:
    """Whether a file's name is that of a video or an animated picture."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def clip_name(path: Path) -> str:
    """The name of a clip: a folder's whole name (`take.1`), a file's without its suffix (`clip` of `clip.mp4`)."""
    is_file = (is_picture(path) or is_video(path)) and not path.is_dir()
    return path.stem if is_file else path.name


def list_folder(folder: Path) -> list[Path]:
    """What a folder holds, with numbers in numerical order, without hidden entries (`.DS_Store`, `._1.png`)."""
    return natsorted((entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda p: p.name)


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in order, without hidden ones."""
    return [entry for entry in list_folder(folder) if is_picture(entry) and entry.is_file()]


def hidden_files(folder: Path, is_kind: Callable[[Path], bool]) -> list[Path]:
    """Files that would be of a kind if they were not hidden."""
    return [entry for entry in folder.iterdir() if entry.name.startswith(".") and is_kind(entry)]


def passed_over(entries: Iterable[Path]) -> str:
    """The entries of a folder that are not used, in words; empty if there are none."""
    names = natsorted(entry.name for entry in entries)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"passed over {', '.join(names[:5])}{more}" if names else ""
