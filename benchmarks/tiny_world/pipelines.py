"""The embedded models: where they are, and how clips are generated with them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, FlowMatchEulerDiscreteScheduler, WanImageToVideoPipeline
from PIL import Image

from benchmarks.tiny_world.scene import FRAME_SIZE, NUM_FRAMES


EXAMPLES = Path(__file__).parents[2] / "examples"
TINY_T2V = EXAMPLES / "tiny-t2v"
TINY_ANIMATEDIFF = EXAMPLES / "tiny-animatediff"
TINY_WAN = EXAMPLES / "tiny-wan"
TINY_WAN_I2V = EXAMPLES / "tiny-wan-i2v"

# With which the tiny models are used wherever this project shows or measures them.
GENERATION = {"num_inference_steps": 12, "guidance_scale": 2.0}
# With the LoRA of `train_few_steps.py`, and the scheduler that goes with it.
FEW_STEPS = {"num_inference_steps": 4, "guidance_scale": 1.0}
# Beside these, by pipeline class.
_OF_WAN = {"num_frames": NUM_FRAMES + 1, "max_sequence_length": 16}  # the first frame alone, then pairs
CALL_ARGUMENTS = {
    "TextToVideoSDPipeline": {"num_frames": NUM_FRAMES},
    "AnimateDiffPipeline": {"num_frames": NUM_FRAMES},
    "WanPipeline": _OF_WAN,
    "WanImageToVideoPipeline": _OF_WAN,
}


def use_one_thread() -> None:
    """Compute on one core: more hardly speed so small a model up, and beside other work they wait for each other."""
    torch.set_num_threads(1)


def load_tiny_pipeline(folder: str | os.PathLike = TINY_T2V) -> Any:
    """An embedded pipeline, in float32, without a progress bar of its own."""
    pipe = DiffusionPipeline.from_pretrained(str(folder), dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def call_arguments(pipe: Any) -> dict[str, Any]:
    """With what a tiny pipeline is called, beside prompt and noise: `num_frames` and more."""
    generation = FEW_STEPS if isinstance(pipe.scheduler, FlowMatchEulerDiscreteScheduler) else GENERATION
    return {**CALL_ARGUMENTS[type(pipe).__name__], "height": FRAME_SIZE, "width": FRAME_SIZE, **generation}


def training_arguments(pipe: Any) -> dict[str, Any]:
    """Those of them that training needs too."""
    return {name: value for name, value in call_arguments(pipe).items() if name == "max_sequence_length"}


def begins_with_picture(pipe: Any) -> bool:
    """Whether a tiny pipeline is given the first frame."""
    return isinstance(pipe, WanImageToVideoPipeline)


def generate(
    pipe: Any,
    prompts: list[str],
    seeds: list[int],
    num_frames: int | None = None,
    latents: torch.Tensor | None = None,
    pictures: np.ndarray | None = None,
) -> np.ndarray:
    """Generate one clip for each prompt and seed; a seed gives the same initial noise whatever is loaded.

    Args:
        pipe: A tiny pipeline.
        prompts: One for each clip.
        seeds: One for each clip.
        num_frames: Of the clips; as the pipeline was trained by default.
        latents: Initial noise, one for each clip, instead of what the seeds give.
        pictures: First frames, (clips, size, size, 3), uint8, for a pipeline that begins with one.

    Returns:
        Clips, (clips, frames, size, size, 3), uint8.
    """
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    arguments = call_arguments(pipe)
    arguments["num_frames"] = num_frames or arguments["num_frames"]

    def call(chosen: slice, **picture: Image.Image) -> np.ndarray:
        noise = None if latents is None else latents[chosen]
        options = {"generator": generators[chosen], "latents": noise, "output_type": "np", **picture, **arguments}
        return pipe(prompt=prompts[chosen], **options).frames

    if pictures is None:
        clips = call(slice(None))
    else:  # the pipeline takes one picture at a time
        each = (call(slice(n, n + 1), image=Image.fromarray(picture)) for n, picture in enumerate(pictures))
        clips = np.concatenate(list(each))
    return (np.asarray(clips) * 255).round().astype(np.uint8)
