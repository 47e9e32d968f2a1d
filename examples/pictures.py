"""Clips as things to look at: video files, moving pictures, contact sheets, drawn paths."""

import textwrap
from pathlib import Path

import numpy as np
from diffusers.utils import export_to_gif, export_to_video
from PIL import Image, ImageDraw, ImageFont


MARGIN = 4  # pixels between the pictures of a sheet


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


def write_comparison(rows: list[list[tuple[str, np.ndarray]]], path: Path, fps: float, width: int = 112) -> None:
    """Write clips beside one another, each under its label, as an animated WebP. Shorter clips begin again.

    Args:
        rows: Labels and clips, (frames, height, width, 3), uint8.
        path: Where the picture goes.
        fps: Frames per second.
        width: The width of every clip in pixels.
    """
    font, line_height, top, placed = ImageFont.load_default(11), 14, MARGIN, []
    for row in rows:
        texts = [textwrap.wrap(text, width // 6) for text, _ in row]
        clips = [scaled(frames, width) for _, frames in row]
        text_height = line_height * max(map(len, texts)) + MARGIN
        for column, cell in enumerate(zip(texts, clips, strict=True)):
            placed.append((MARGIN + column * (width + MARGIN), top, top + text_height, *cell))
        top += text_height + max(clip[0].height for clip in clips) + MARGIN
    sheet = Image.new("RGB", (max(map(len, rows)) * (width + MARGIN) + MARGIN, top), "white")
    draw = ImageDraw.Draw(sheet)
    for left, upper, _, lines, _ in placed:
        draw.multiline_text((left, upper), "\n".join(lines), fill="black", font=font, spacing=2)
    pictures = [sheet.copy() for _ in range(max(len(clip) for *_, clip in placed))]
    for number, picture in enumerate(pictures):
        for left, _, lower, _, clip in placed:
            picture.paste(clip[number % len(clip)], (left, lower))
    settings = {"duration": round(1000 / fps), "loop": 0, "quality": 80, "method": 6}
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **settings)


def contact_sheet(rows: list[tuple[str, np.ndarray]], columns: int = 8, width: int = 128) -> Image.Image:
    """One row of evenly spaced frames for each clip, under its label.

    Args:
        rows: Labels and clips, (frames, height, width, 3), uint8; all of one size.
        columns: Frames shown of each clip.
        width: The width of every frame in pixels.
    """
    chosen = [frames[np.linspace(0, len(frames) - 1, columns).round().astype(int)] for _, frames in rows]
    pictures, text_height = [scaled(frames, width) for frames in chosen], 18
    row_height = pictures[0][0].height + text_height + MARGIN
    sheet = Image.new("RGB", (columns * (width + MARGIN) + MARGIN, len(rows) * row_height + MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for row, (text, _) in enumerate(rows):
        top = row * row_height + MARGIN
        draw.text((MARGIN, top), text, fill="black", font=font)
        for column, picture in enumerate(pictures[row]):
            sheet.paste(picture, (MARGIN + column * (width + MARGIN), top + text_height))
    return sheet


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
