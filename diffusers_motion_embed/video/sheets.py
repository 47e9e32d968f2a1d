"""Clips to look at: sheets of frames, and clips beside one another as one moving picture."""

import io
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont


MARGIN, LINE_HEIGHT = 4, 14  # of sheets, in pixels


def scaled(frames: np.ndarray, width: int) -> list[Image.Image]:
    """Frames as pictures of another size, without blurring where they grow.

    Args:
        frames: (frames, height, width, 3), uint8.
        width: The pictures' width in pixels; their height follows.
    """
    size = (width, max(1, round(frames.shape[1] * width / frames.shape[2])))
    method = Image.Resampling.NEAREST if width >= frames.shape[2] else Image.Resampling.LANCZOS
    return [Image.fromarray(frame).resize(size, method) for frame in frames]


def webp(pictures: list[Image.Image], fps: float, *, lossless: bool = False) -> bytes:
    """Pictures, one after the other, as an animated WebP that begins again.

    Args:
        pictures: All of one size.
        fps: Frames per second.
        lossless: Whether every pixel stays as it is, as pictures of few pixels need.
    """
    first, *others = pictures
    file = io.BytesIO()
    duration = round(1000 / fps)  # milliseconds
    # Pillow's slowest method takes three to nine times as long, for 2 to 16 % fewer bytes.
    options = {"lossless": True} if lossless else {"quality": 80}
    first.save(file, "WEBP", save_all=True, append_images=others, duration=duration, loop=0, **options)
    return file.getvalue()


def labelled_sheet(rows: list[list[tuple[str, Image.Image]]], wrap: bool = True) -> Image.Image:
    """Pictures in rows, each under its label.

    Args:
        rows: Labels and pictures.
        wrap: Break labels at the width of a picture. Otherwise they run on to the right.
    """
    width = max(picture.width for row in rows for _, picture in row)
    texts = [[textwrap.wrap(text, max(1, width // 7)) if wrap else [text] for text, _ in row] for row in rows]
    text_heights = [LINE_HEIGHT * max(map(len, row)) + MARGIN for row in texts]
    heights = [max(picture.height for _, picture in row) + MARGIN for row in rows]
    size = (max(map(len, rows)) * (width + MARGIN) + MARGIN, sum(text_heights) + sum(heights) + MARGIN)
    sheet, top = Image.new("RGB", size, "white"), MARGIN
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for row, row_texts, text_height, height in zip(rows, texts, text_heights, heights, strict=True):
        for column, ((_, picture), lines) in enumerate(zip(row, row_texts, strict=True)):
            left = MARGIN + column * (width + MARGIN)
            draw.multiline_text((left, top), "\n".join(lines), fill="black", font=font, spacing=2)
            sheet.paste(picture, (left, top + text_height))
        top += text_height + height
    return sheet


def write_comparison(rows: list[list[tuple[str, np.ndarray]]], path: Path | str, fps: float, width: int = 112) -> None:
    """Write clips beside one another, each under its label, as an animated WebP. Shorter clips begin again.

    Args:
        rows: Labels and clips, (frames, height, width, 3), uint8.
        path: Where the picture goes.
        fps: Frames per second.
        width: The width of every clip in pixels.
    """
    clips = [[(text, scaled(frames, width)) for text, frames in row] for row in rows]
    pictures = [
        labelled_sheet([[(text, clip[number % len(clip)]) for text, clip in row] for row in clips])
        for number in range(max(len(clip) for row in clips for _, clip in row))
    ]
    Path(path).write_bytes(webp(pictures, fps))


def contact_sheet(rows: list[tuple[str, np.ndarray]], columns: int = 8, width: int = 128) -> Image.Image:
    """One row of evenly spaced frames for each clip, under its label.

    Args:
        rows: Labels and clips, (frames, height, width, 3), uint8; all of one size.
        columns: Frames shown of each clip.
        width: The width of every frame in pixels.
    """
    chosen = [(text, frames[np.linspace(0, len(frames) - 1, columns).round().astype(int)]) for text, frames in rows]
    labelled = [zip([text] + [""] * (columns - 1), scaled(frames, width), strict=True) for text, frames in chosen]
    return labelled_sheet([list(row) for row in labelled], wrap=False)
