"""Clips as things to look at: video files, contact sheets, drawn paths."""

from pathlib import Path

import numpy as np
from diffusers.utils import export_to_gif, export_to_video
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from diffusers_motion_embed.metrics import Tracks


def enlarge(frames: np.ndarray, factor: int) -> list[Image.Image]:
    """Frames as pictures of `factor` times the size, without blurring.

    Args:
        frames: (frames, height, width, 3), uint8.
        factor: A whole number.
    """
    return [
        Image.fromarray(frame).resize((frame.shape[1] * factor, frame.shape[0] * factor), Image.Resampling.NEAREST)
        for frame in frames
    ]


def write_clip(frames: np.ndarray, path: Path, fps: int, factor: int = 4) -> None:
    """Write `path`.mp4 and `path`.gif.

    Args:
        frames: (frames, height, width, 3), uint8.
        path: Without ending.
        fps: Frames per second.
        factor: How many times larger to show them.
    """
    pictures = enlarge(frames, factor)
    path.parent.mkdir(parents=True, exist_ok=True)
    export_to_video(pictures, f"{path}.mp4", fps=fps, quality=8)
    export_to_gif(pictures, f"{path}.gif", fps=fps)


def contact_sheet(rows: list[tuple[str, np.ndarray]], columns: int = 8, factor: int = 2) -> Image.Image:
    """One row of evenly spaced frames for each clip, under its label.

    Args:
        rows: Labels and clips, (frames, height, width, 3), uint8; all of one size.
        columns: Frames shown of each clip.
        factor: How many times larger to show them.
    """
    height, width = (side * factor for side in rows[0][1].shape[1:3])
    margin, text_height = 4, 18
    row_height = height + text_height + margin
    sheet = Image.new("RGB", (columns * (width + margin) + margin, len(rows) * row_height + margin), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    for row, (text, frames) in enumerate(rows):
        top = row * row_height + margin
        draw.text((margin, top), text, fill="black", font=font)
        chosen = frames[np.linspace(0, len(frames) - 1, columns).round().astype(int)]
        for column, picture in enumerate(enlarge(chosen, factor)):
            sheet.paste(picture, (margin + column * (width + margin), top + text_height))
    return sheet


def moving_path(tracks: Tracks) -> np.ndarray:
    """The path of what moves, (frames, 2), in shares of the frame's width and height: of the points that move most.

    Points that are lost for a while take no part in the steps of that while.
    """
    shares = tracks.points / tracks.frame_size[::-1]
    seen = tracks.visible[:, 1:] & tracks.visible[:, :-1]
    steps = np.where(seen[..., None], np.diff(shares, axis=1), 0)
    lengths = np.linalg.norm(steps, axis=-1).sum(1)
    chosen = (lengths >= lengths.max() / 2) & tracks.visible[:, 0]
    means = steps[chosen].sum(0) / np.maximum(seen[chosen].sum(0), 1)[:, None]
    start = shares[chosen, 0].mean(0)
    return np.concatenate([start[None], start + np.cumsum(means, 0)])


def draw_paths(reference: np.ndarray, groups: dict[str, list[np.ndarray]], path: Path) -> None:
    """Draw paths over the reference's, one panel for each group.

    Args:
        reference: (frames, 2), in shares of the frame, y downwards.
        groups: Paths by title of the panel.
        path: Where the PNG goes.
    """
    figure = Figure(figsize=(4.2 * len(groups), 4.4), layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for panel, (title, paths) in zip(panels, groups.items(), strict=True):
        for number, trajectory in enumerate(paths):
            panel.plot(*trajectory.T, "-o", ms=2.5, lw=1, alpha=0.8, color=f"C{number % 10}")
        panel.plot(*reference.T, "-", lw=2.5, color="black", label="reference")
        panel.plot(*reference[0], "s", ms=8, color="black", label="its start")
        panel.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[], title=title, aspect="equal")
    panels[0].legend(loc="upper left", fontsize=8)
    figure.savefig(path, dpi=110)
