"""Validation clips as files, and for the trackers of a run."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from diffusers.utils import export_to_gif, export_to_video
from PIL import Image

from diffusers_motion_embed.reports.page import PAGE_NAME
from diffusers_motion_embed.reports.validation import Validation
from diffusers_motion_embed.storage.files import NOISE_NAME
from diffusers_motion_embed.values import expanded
from diffusers_motion_embed.video.sheets import write_comparison


COMPARISON_WIDTH = 192  # pixels
RESULTS = ("validation_*.mp4", "preview.mp4", "preview.gif", "comparison.webp", PAGE_NAME, NOISE_NAME)


def write_videos(folder: Path, reference: np.ndarray, validations: Sequence[Validation], fps: float) -> list[Path]:
    """Write `validation_N.mp4` for each prompt, `comparison.webp`, and of the first what a model card shows.

    Args:
        folder: An existing folder.
        reference: (frames, height, width, 3), uint8.
        validations: At least one.
        fps: Frames per second.

    Returns:
        The videos.
    """
    folder = expanded(folder)
    paths = [folder / f"validation_{number}.mp4" for number in range(len(validations))]
    rate: Any = fps  # a float, where diffusers' exports say int
    for path, validation in zip(paths, validations, strict=True):
        export_to_video([Image.fromarray(frame) for frame in validation.moved], str(path), fps=rate)
    shutil.copyfile(paths[0], folder / "preview.mp4")
    pictures = [Image.fromarray(frame) for frame in validations[0].moved]
    export_to_gif(pictures, str(folder / "preview.gif"), fps=rate)  # for pages that do not play videos
    shown = [("reference", reference), *((validation.prompt, validation.moved) for validation in validations)]
    write_comparison([shown], folder / "comparison.webp", fps, width=COMPARISON_WIDTH)
    return paths


def remove_results(folder: Path) -> None:
    """Delete what a run before has written of its own embedding: videos, pictures, the report, the reference's noise.

    Args:
        folder: The folder of the embedding; it may not exist yet.
    """
    for pattern in RESULTS:
        for path in expanded(folder).glob(pattern):
            path.unlink()


def track_video(accelerator: Any, name: str, frames: np.ndarray, fps: float, step: int) -> None:
    """Send a clip, (frames, height, width, 3), uint8, to those of an accelerator's trackers that show videos."""
    for tracker in [] if accelerator is None else accelerator.trackers:
        if tracker.name == "tensorboard":  # plays no videos, and gets the frames side by side
            tracker.writer.add_images(name, frames, step, dataformats="NHWC")
        elif tracker.name == "wandb":
            import wandb

            tracker.log({name: wandb.Video(frames.transpose(0, 3, 1, 2), fps=round(fps))}, step=step)
