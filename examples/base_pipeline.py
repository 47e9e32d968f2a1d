"""Loading the base pipeline that a command names."""

import argparse
from typing import Any

import torch
from diffusers import AnimateDiffPipeline, DDIMScheduler, DiffusionPipeline, MotionAdapter

from diffusers_motion_embed import enable_motion_embedding


# What AnimateDiff's motion adapters were trained with; an image model brings the schedule of its own.
ANIMATEDIFF_SCHEDULE = {
    "beta_schedule": "linear",
    "clip_sample": False,
    "timestep_spacing": "linspace",
    "steps_offset": 1,
}


def load_pipeline(options: argparse.Namespace, device: Any) -> Any:
    """The pipeline, with the methods of motion embeddings."""
    # Said for all components alike: left alone, text encoders keep the file's dtype, and the others do not.
    dtype = getattr(torch, options.dtype)
    arguments = {"revision": options.revision, "variant": options.variant, "dtype": dtype}
    if options.motion_adapter:
        adapter = MotionAdapter.from_pretrained(options.motion_adapter, dtype=dtype)
        pipe = AnimateDiffPipeline.from_pretrained(
            options.pretrained_model_name_or_path, motion_adapter=adapter, **arguments
        )
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, **ANIMATEDIFF_SCHEDULE)
    else:
        pipe = DiffusionPipeline.from_pretrained(options.pretrained_model_name_or_path, **arguments)
    return enable_motion_embedding(pipe.to(device))
