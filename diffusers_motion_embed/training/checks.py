"""What training needs of pipeline and references, checked before anything is done."""

from typing import Any

import numpy as np
from torch import nn

from diffusers_motion_embed.encoding import check_clip
from diffusers_motion_embed.errors import UnsupportedModelError, VideoError
from diffusers_motion_embed.loaders import supported_models


def check_pipeline(pipe: Any) -> tuple[str, nn.Module]:
    """Name and model that are trained.

    Raises:
        UnsupportedModelError: If the pipeline cannot be trained.
    """
    models = supported_models(pipe)
    missing = [name for name in ("vae", "text_encoder", "scheduler") if getattr(pipe, name, None) is None]
    if not models or missing:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} cannot be trained: it has "
            + (f"no {', '.join(missing)}." if models else "no model that takes motion embeddings.")
        )
    component, model = next(iter(models.items()))
    if getattr(model.config, "addition_embed_type", None) is not None:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} wants more than text features, which training does not give."
        )
    if hasattr(model, "_hf_hook"):
        raise UnsupportedModelError(
            "The pipeline's model is offloaded. Train with the model on its device: call pipe.reset_device_map() or "
            "pipe.remove_all_hooks(), then pipe.to(device)."
        )
    return component, model


def check_references(pipe: Any, clips: list[np.ndarray], prompts: list[str]) -> None:
    """Raise unless there is a prompt for each clip, and all clips are of one shape that the pipeline takes.

    Raises:
        ValueError: If a prompt is missing.
        VideoError: If a clip is of the wrong kind or size.
    """
    if len(prompts) != len(clips) or not clips:
        raise ValueError(f"Every reference clip needs a prompt; got {len(clips)} clips and {len(prompts)} prompts.")
    for prompt in prompts:
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(f"A prompt is needed that says what the reference shows; got {prompt!r}.")
    for clip in clips:
        check_clip(pipe, clip)
    if len({clip.shape for clip in clips}) > 1:
        shapes = ", ".join(str(clip.shape) for clip in clips)
        raise VideoError(
            f"The reference clips must be of one shape, for instance read with the same size; got {shapes}."
        )
