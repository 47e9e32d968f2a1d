"""Clips as things to look at: video files, moving pictures, contact sheets, drawn paths."""

import textwrap
from pathlib import Path

import numpy as np
from diffusers.utils import export_to_gif, export_to_video
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


def write_clip(frames: np.ndarray, path: Path, fps: int, factor: int = 4) -> None:
    """Write `path`.mp4 and `path`.gif.

    Args:
        frames: (frames, height, width, 3), uint8.
        path: The files' path without its ending.
        fps: Frames per second.
        factor: How many times larger to show them.
    """
    pictures = scaled(frames, factor * frames.shape[2])
    path.parent.mkdir(parents=True, exist_ok=True)
    export_to_video(pictures, f"{path}.mp4", fps=fps, quality=8)
    export_to_gif(pictures, f"{path}.gif", fps=fps)


def labelled_sheet(rows: list[list[tuple[str, Image.Image]]], wrap: bool = True) -> Image.Image:
    """Pictures in rows, each under its label.

    Args:
        rows: Labels and pictures.
        wrap: Break labels at the width of a picture. Otherwise they run on to the right.
    """
    width = max(picture.width for row in rows for _, picture in row)
    texts = [[textwrap.wrap(text, max(1, width // 6)) if wrap else [text] for text, _ in row] for row in rows]
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
    first, *others = [
        labelled_sheet([[(text, clip[number % len(clip)]) for text, clip in row] for row in clips])
        for number in range(max(len(clip) for row in clips for _, clip in row))
    ]
    duration = round(1000 / fps)  # milliseconds
    first.save(path, save_all=True, append_images=others, duration=duration, loop=0, quality=80, method=6)


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


def moving_path(frames: np.ndarray) -> np.ndarray:
    """The path of what moves before a camera at rest: the centre of what differs from the clip's median frame.

    Args:
        frames: (frames, height, width, 3), uint8.

    Returns:
        (frames, 2), x then y, in shares of the frame's width and height; NaN where nothing differs.
    """
    difference = np.abs(frames - np.median(frames, axis=0)).max(-1)
    marked = difference > difference.max() / 2
    y, x = ((np.arange(size) + 0.5) / size for size in frames.shape[1:3])
    sums = np.stack([(marked * x).sum((1, 2)), (marked * y[:, None]).sum((1, 2))], axis=1)
    counts = marked.sum((1, 2))[:, None]
    return np.where(counts, sums / np.maximum(counts, 1), np.nan)


def draw_paths(reference: np.ndarray, groups: dict[str, list[np.ndarray]], path: Path) -> None:
    """Draw paths over the reference's, one panel for each group.

    Args:
        reference: (frames, 2), in shares of the frame, y downwards.
        groups: Paths by the title of their panel.
        path: Where the PNG goes.
    """
    from matplotlib.figure import Figure  # which the extra "training" does not have

    figure = Figure(figsize=(4.2 * len(groups), 4.4), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for panel, (title, paths) in zip(panels, groups.items(), strict=True):
        for number, trajectory in enumerate(paths):
            panel.plot(*trajectory.T, "-o", ms=2.5, lw=1, alpha=0.8, color=f"C{number % 10}")
        panel.plot(*reference.T, "-", lw=2.5, color="black", label="reference")
        panel.plot(*reference[0], "s", ms=8, color="black", label="its start")
        panel.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[], title=title, aspect="equal")
    panels[0].legend(loc="upper left", fontsize=8)
    figure.savefig(path, dpi=110, bbox_inches="tight")
