"""Loading the base pipeline that a command names, and calling it."""

import argparse
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers import AnimateDiffPipeline, DDIMScheduler, DiffusionPipeline, MotionAdapter

from diffusers_motion_embed._compat import dtype_argument
from diffusers_motion_embed.architectures.conditioning import call_parameters, clip_arguments
from diffusers_motion_embed.commands.quantization import check_quantization, quantized_components
from diffusers_motion_embed.pipelines import enable_motion_embedding


# What AnimateDiff's motion adapters were trained with; an image model brings the schedule of its own.
ANIMATEDIFF_SCHEDULE = {
    "beta_schedule": "linear",
    "clip_sample": False,
    "timestep_spacing": "linspace",
    "steps_offset": 1,
}


def available_device() -> torch.device:
    """What torch offers: CUDA, MPS, XPU or another accelerator, or else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found or torch.device("cpu")


def load_pipeline(options: argparse.Namespace, device: torch.device | str) -> Any:
    """The pipeline of --pretrained_model_name_or_path and --motion_adapter, ready for motion embeddings."""
    check_quantization(options)
    # For all components alike: without it, text encoders keep the file's dtype, and the others do not.
    dtype = dtype_argument(getattr(torch, options.dtype))
    arguments: dict[str, Any] = {"revision": options.revision, "variant": options.variant, **dtype}
    pipeline_class: Any = DiffusionPipeline
    if options.quantization or options.gguf or not needs_text(options):
        index = DiffusionPipeline.load_config(options.pretrained_model_name_or_path, revision=options.revision)
        # DiffusionPipeline itself drops what is given for a component that is optional in the pipeline's class.
        pipeline_class = getattr(diffusers, index["_class_name"], DiffusionPipeline)
        if not needs_text(options):
            arguments |= dict.fromkeys(name for name in index if name.startswith("text_encoder"))
        arguments |= quantized_components(options, {name: index[name] for name in index if name not in arguments})
    if options.motion_adapter:
        adapter = MotionAdapter.from_pretrained(options.motion_adapter, **dtype)
        pipe = AnimateDiffPipeline.from_pretrained(
            options.pretrained_model_name_or_path, motion_adapter=adapter, **arguments
        )
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, **ANIMATEDIFF_SCHEDULE)
    else:
        pipe = pipeline_class.from_pretrained(options.pretrained_model_name_or_path, **arguments)
    enable_motion_embedding(pipe)
    if options.offload == "none":
        pipe.to(device)
    elif options.offload == "group":
        pipe.enable_group_offload(torch.device(device), offload_type="block_level", num_blocks_per_group=1)
    else:
        getattr(pipe, f"enable_{options.offload}_cpu_offload")(device=device)
    return pipe


def needs_text(options: argparse.Namespace) -> bool:
    """Whether a text encoder has anything to do: not if features of the references are kept, and nothing is made."""
    features = getattr(options, "features", None)
    return not (features and features.exists()) or bool(options.validation_prompt) or options.save_inverted_noise


def generation_settings(options: argparse.Namespace, pipe: Any) -> dict[str, Any]:
    """What an embedding's configuration says about the pipeline that it was trained on."""
    settings: dict[str, Any] = {"pipeline": type(pipe).__name__, "scheduler": type(pipe.scheduler).__name__}
    if options.motion_adapter:
        adapter = Path(options.motion_adapter)
        settings["motion_adapter"] = adapter.name if adapter.is_dir() else options.motion_adapter
        settings["scheduler_config"] = ANIMATEDIFF_SCHEDULE
    return settings


def generate_clip(pipe: Any, options: argparse.Namespace, like: np.ndarray, prompt: str, seed: int) -> np.ndarray:
    """One clip, by the generation arguments.

    Args:
        pipe: The pipeline that `load_pipeline` returned.
        options: They have `num_inference_steps`, `guidance_scale` and `call_arguments`.
        like: A clip of the wanted size, (frames, height, width, 3), uint8. Pipelines that begin with a picture get its
            first frame.
        prompt: What the new clip shows.
        seed: The seed of the noise.

    Returns:
        (frames, height, width, 3), from 0 to 1.
    """
    settings = {"num_inference_steps": options.num_inference_steps, "guidance_scale": options.guidance_scale}
    known = call_parameters(pipe)
    video = pipe(
        **clip_arguments(pipe, like, prompt),
        **{name: value for name, value in settings.items() if name in known},
        **options.call_arguments,
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
    ).frames[0]
    return np.asarray(video)
