"""Clips as things to look at: video files and drawn paths."""

from pathlib import Path

import numpy as np
from diffusers.utils import export_to_gif, export_to_video

from diffusers_motion_embed.video.sheets import scaled


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
