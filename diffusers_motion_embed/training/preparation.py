"""An embedding before its first step: what the reference and the model say of its settings, and its numbers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from diffusers_motion_embed.adapter.selection import embedding_shapes
from diffusers_motion_embed.architectures import (
    base_name,
    find_architecture,
    noise_levels,
    patch_size,
    supported_models,
)
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.storage.embedding import Embedding, EmbeddingTensors
from diffusers_motion_embed.training.following import latent_path


PACE = 0.5  # of time where a path begins to be learned: a frame counts as so many


def new_embedding(
    model: ModelMixin, config: MotionEmbeddingConfig, paths: list[str], device: torch.device | None = None
) -> EmbeddingTensors:
    """Tensors that require gradients. They are zeros, and position parts begin with `slow_path`.

    Args:
        model: The model.
        config: Parts, grids and number of frames.
        paths: Paths of the layers that are adapted.
        device: Where the model computes; by default where its first weight is.
    """
    device = device or next(model.parameters()).device
    tensors: EmbeddingTensors = {}
    for path, shape in embedding_shapes(model, config, paths).items():
        sizes = shape.tensor_shapes()
        tensors[path] = {
            part: (slow_path(size, PACE, device) if part == "p" else torch.zeros(size, device=device)).requires_grad_()
            for part, size in sizes.items()
        }
    return tensors


@torch.no_grad()
def begin_with(embedding: Embedding, model: ModelMixin, followed: Tensor) -> None:
    """Have the position part of a new embedding begin with what was followed in the clip, (h, w, frames, 2)."""
    first_alone = find_architecture(model).first_frame_alone
    places = latent_path(followed, embedding.config.num_latent_frames, first_alone)
    for parts in embedding.tensors.values():
        if "p" in parts:
            parts["p"][..., :2] += places.to(parts["p"])


def slow_path(size: Sequence[int], pace: float, device: torch.device | None = None) -> Tensor:
    """A position part that moves nothing, and has time run slower.

    What the model would move by itself then moves less, and what the path says is done in its place.

    Args:
        size: Its shape, (h, w, f, 3).
        pace: Of time: a frame counts as so many. The middle of the clip stays where it is.
        device: Where it is made.
    """
    path = torch.zeros(tuple(size), device=device)
    frames = torch.arange(path.shape[-2], device=device)
    path[..., 2] = (pace - 1) * (frames - (len(frames) - 1) / 2)
    return path


def complete_config(
    embedding_config: MotionEmbeddingConfig,
    timestep_range: tuple[float, float],
    pipe: Any,
    component: str,
    clip_shape: Sequence[int],
    latents_shape: Sequence[int],
) -> MotionEmbeddingConfig:
    """The settings, completed from the reference and the model.

    Args:
        embedding_config: The settings.
        timestep_range: Noise levels at which it acts if the settings do not say when.
        pipe: The pipeline.
        component: Name of the model that gets the embedding.
        clip_shape: Frames, height and width of the reference in pixels, and more.
        latents_shape: Shape of its latents, (batch, channels, frames, height, width).

    Raises:
        ValueError: If it would act at none of the noise levels that the model sees.
    """
    model = supported_models(pipe)[component]
    architecture = find_architecture(model)
    completed = replace(
        embedding_config,
        value_grid=embedding_config.value_grid or architecture.value_grid,
        num_frames=clip_shape[0],
        num_latent_frames=latents_shape[2] // patch_size(model)[0],
        height=clip_shape[1],
        width=clip_shape[2],
        latent_height=latents_shape[3],
        latent_width=latents_shape[4],
        model_class=architecture.model_class,
        base_model_name_or_path=base_name(pipe, model),
        component=component,
    )
    step = 1 / pipe.scheduler.config.num_train_timesteps  # the lowest level itself was trained
    # It never acts where the pipeline uses another model.
    low, high = timestep_range if completed.timing is None else noise_levels(pipe, component)
    start, end = completed.timing or (0.0, 1.0)
    start, end = max(start, 1 - high), min(end, 1 - low + step)
    if start >= end:
        raise ValueError(
            f"timing={completed.timing} has no noise level in common with the pipeline's {component}, which sees "
            f"{1 - high:g} to {1 - low:g} of the schedule."
        )
    completed.timing = (round(start, 6), round(end, 6))
    return completed
