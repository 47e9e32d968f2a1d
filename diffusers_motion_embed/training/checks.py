"""What training needs of pipeline and references, checked before anything is done."""

import inspect
from typing import Any

import numpy as np
from torch import nn

from diffusers_motion_embed.architectures import supported_models
from diffusers_motion_embed.architectures.encoding import check_clip
from diffusers_motion_embed.architectures.noising import noising_of
from diffusers_motion_embed.errors import UnsupportedModelError, VideoError


def check_pipeline(pipe: Any, component: str | None = None) -> tuple[str, nn.Module]:
    """Name and model that are trained.

    Args:
        pipe: The pipeline.
        component: Of its models that take motion embeddings; the first by default.

    Raises:
        UnsupportedModelError: If the pipeline cannot be trained.
    """
    models = supported_models(pipe)
    missing = [name for name in ("vae", "scheduler") if getattr(pipe, name, None) is None]
    if not models or missing:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} cannot be trained: it has "
            + (f"no {', '.join(missing)}." if models else "no model that takes motion embeddings.")
        )
    component = component or next(iter(models))
    if component not in models:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} has no {component!r} that takes motion embeddings; it has {', '.join(models)}."
        )
    noising_of(pipe.scheduler)
    model = models[component]
    if hasattr(model, "_hf_hook"):
        raise UnsupportedModelError(
            "The pipeline's model is offloaded. Train with the model on its device: call pipe.reset_device_map() or "
            "pipe.remove_all_hooks(), then pipe.to(device)."
        )
    if getattr(model.config, "image_condition_type", None) == "token_replace":
        raise UnsupportedModelError(
            f"This {type(model).__name__} gets its first frame among the noisy ones, which training cannot give yet."
        )
    return component, model


def check_references(pipe: Any, model: nn.Module, clips: list[np.ndarray], prompts: list[str | None]) -> None:
    """Raise unless there is a prompt for each clip, and all clips are of one shape that the pipeline takes.

    Raises:
        ValueError: If a prompt is missing.
        VideoError: If a clip is of the wrong kind or size.
    """
    if len(prompts) != len(clips) or not clips:
        raise ValueError(f"Every reference clip needs a prompt; got {len(clips)} clips and {len(prompts)} prompts.")
    for prompt in prompts if "prompt" in inspect.signature(type(pipe).__call__).parameters else ():
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(f"A prompt is needed that says what the reference shows; got {prompt!r}.")
    for clip in clips:
        check_clip(pipe, clip, model)
    if len({clip.shape for clip in clips}) > 1:
        shapes = ", ".join(str(clip.shape) for clip in clips)
        raise VideoError(
            f"The reference clips must be of one shape, for instance read with the same size; got {shapes}."
        )
