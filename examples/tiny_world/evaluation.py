"""Generating clips with the tiny models and summing up what is measured in them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from examples.tiny_world.measure import (
    ClipMeasures,
    background_displacement,
    camera_points,
    center_distance,
    displacement_cosine,
)
from examples.tiny_world.scene import FRAME_SIZE, NUM_FRAMES, Appearance, Motion


EXAMPLES = Path(__file__).parent.parent
TINY_T2V = EXAMPLES / "tiny-t2v"
TINY_ANIMATEDIFF = EXAMPLES / "tiny-animatediff"
TINY_WAN = EXAMPLES / "tiny-wan"

# With which the tiny models are used wherever this project shows or measures them.
GENERATION = {"num_inference_steps": 12, "guidance_scale": 2.0}
# Beside these, by pipeline class.
CALL_ARGUMENTS = {
    "TextToVideoSDPipeline": {"num_frames": NUM_FRAMES},
    "AnimateDiffPipeline": {"num_frames": NUM_FRAMES},
    "WanPipeline": {"num_frames": NUM_FRAMES + 1, "max_sequence_length": 16},  # the first frame alone, then pairs
}


def use_one_thread() -> None:
    """Compute on one core: more hardly speed so small a model up, and beside other work they wait for each other."""
    torch.set_num_threads(1)


def load_tiny_pipeline(folder: str | os.PathLike = TINY_T2V) -> Any:
    """An embedded text-to-video pipeline, in float32, without a progress bar of its own."""
    pipe = DiffusionPipeline.from_pretrained(str(folder), dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def call_arguments(pipe: Any) -> dict[str, Any]:
    """With what a tiny pipeline is called, beside prompt and noise: `num_frames` and more."""
    return {**CALL_ARGUMENTS[type(pipe).__name__], "height": FRAME_SIZE, "width": FRAME_SIZE, **GENERATION}


def training_arguments(pipe: Any) -> dict[str, Any]:
    """Those of them that training needs too."""
    return {name: value for name, value in call_arguments(pipe).items() if name == "max_sequence_length"}


def generate(
    pipe: Any,
    prompts: list[str],
    seeds: list[int],
    num_frames: int | None = None,
    latents: torch.Tensor | None = None,
) -> np.ndarray:
    """Generate one clip for each prompt and seed; a seed gives the same initial noise whatever is loaded.

    Args:
        pipe: A tiny pipeline.
        prompts: One for each clip.
        seeds: One for each clip.
        num_frames: Of the clips; as the pipeline was trained by default.
        latents: Initial noise, one for each clip, instead of what the seeds give.

    Returns:
        Clips, (clips, frames, size, size, 3), uint8.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    arguments = call_arguments(pipe)
    arguments["num_frames"] = num_frames or arguments["num_frames"]
    clips = pipe(prompts, generator=generators, latents=latents, output_type="np", **arguments).frames
    return (np.asarray(clips) * 255).round().astype(np.uint8)


def text_fidelity(measures: list[ClipMeasures], prompted: list[Appearance]) -> dict[str, float]:
    """Shares of clips with the right colour, background and shape, and with the object in every frame."""
    pairs = list(zip(measures, prompted, strict=True))

    def share(names: tuple[str, ...]) -> float:
        right = [
            seen.appearance is not None
            and all(getattr(seen.appearance, name) == getattr(asked, name) for name in names)
            for seen, asked in pairs
        ]
        return float(np.mean(right))

    return {
        "color": share(("color",)),
        "background": share(("background", "pattern")),
        "shape": share(("shape",)),
        "present": float(np.mean([seen.present.all() for seen in measures])),
        "color_error": _mean_of_known([seen.color_error(asked) for seen, asked in pairs]),
    }


def _mean_of_known(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def object_fidelity(seen: ClipMeasures, motion: Motion) -> tuple[float, float]:
    """Displacement cosine and mean centroid distance of a generated clip to an object's reference motion."""
    reference = motion.screen_center
    cosine = displacement_cosine(np.diff(seen.center, axis=0), np.diff(reference, axis=0))
    distance = center_distance(seen.center, reference) if seen.present.any() else 2.0
    return cosine, distance


def camera_fidelity(frames: np.ndarray, motion: Motion) -> float:
    """Displacement cosine of the background to a camera's reference motion."""
    return displacement_cosine(background_displacement(frames), motion.background_displacement(camera_points()))


def mean_and_interval(values: list[float] | np.ndarray, seed: int = 0) -> tuple[float, float, float]:
    """Mean and its 95 % interval by bootstrap over the values."""
    values = np.asarray(values, float)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(2000, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
