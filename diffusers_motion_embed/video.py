"""Reading reference videos: from a file or a folder of images to frames of a fixed number and size."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from diffusers_motion_embed.errors import VideoError
from diffusers_motion_embed.values import optional_whole_number, whole_number


IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def read_video(
    path: str | Path,
    num_frames: int | None,
    *,
    height: int | None = None,
    width: int | None = None,
    start: int = 0,
    stride: int = 1,
) -> np.ndarray:
    """Read frames of a video file (mp4, gif, whatever FFmpeg knows), or of a folder of images in the order of names.

    Args:
        path: Of the file or folder.
        num_frames: How many frames to return; None returns all.
        height: In pixels; the frames are scaled to cover height and width, and cut around the centre. The video's
            own by default.
        width: As `height`.
        start: First frame used, from 0.
        stride: Every how many frames one is used.

    Returns:
        Frames, (num_frames, height, width, 3), uint8 from 0 to 255.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        VideoError: If it is empty, no video, damaged, or shorter than asked for.
        ValueError: If a number makes no sense.
    """
    stride, start = whole_number("stride", stride, 1), whole_number("start", start, 0)
    num_frames, height, width = (
        optional_whole_number(name, value, 1)
        for name, value in (("num_frames", num_frames), ("height", height), ("width", width))
    )
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no video at {path}.")
    frames = _folder_frames(path) if path.is_dir() else _file_frames(path)
    end = None if num_frames is None else start + (num_frames - 1) * stride + 1
    pictures = [_fit(picture, height, width) for picture in islice(frames, start, end, stride)]
    num_frames = num_frames or max(1, len(pictures))
    if len(pictures) < num_frames:
        needed = start + (num_frames - 1) * stride + 1
        raise VideoError(
            f"{path} is too short: {num_frames} frames from frame {start} at stride {stride} need {needed} frames, "
            f"and only {len(pictures)} of them could be read. Ask for fewer frames, or lower start or stride."
        )
    if len({picture.size for picture in pictures}) > 1:
        raise VideoError(f"The images in {path} differ in size; give height and width.")
    return np.stack([np.asarray(picture) for picture in pictures])


def _folder_frames(folder: Path) -> Iterator[Image.Image]:
    files = sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise VideoError(f"The folder {folder} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    for file in files:
        try:
            with Image.open(file) as image:
                yield ImageOps.exif_transpose(image).convert("RGB")
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise VideoError(f"{file} is no image that can be read ({error}).") from error


def _file_frames(path: Path) -> Iterator[Image.Image]:
    try:
        import av
    except ImportError as error:
        raise ImportError(
            'Reading video files needs PyAV: pip install "diffusers_motion_embed[training]". Folders of images can be '
            "read without it."
        ) from error
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty.")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise VideoError(f"{path} has no video stream.")
            for frame in container.decode(video=0):
                # Degrees anticlockwise, a multiple of 90 from a camera that was held upright.
                yield frame.to_image().rotate(frame.rotation, expand=True)
    except (av.FFmpegError, ValueError) as error:
        if isinstance(error, VideoError):
            raise
        raise VideoError(f"{path} is no video that can be read, or is damaged ({error}).") from error


def _fit(picture: Image.Image, height: int | None, width: int | None) -> Image.Image:
    size = (width or picture.width, height or picture.height)
    return picture if picture.size == size else ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
