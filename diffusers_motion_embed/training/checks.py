"""What training needs from the pipeline and the references, checked before anything is done."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from diffusers.models.modeling_utils import ModelMixin

from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.architectures.conditioning import call_parameters, gives_text
from diffusers_motion_embed.architectures.encoding import check_clip
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import VideoError
from diffusers_motion_embed.training.config import TrainingConfig
from diffusers_motion_embed.training.losses import LOSSES
from diffusers_motion_embed.training.recipes import OF_PARTS


logger = logging.getLogger(__name__)

COMPRESSION_NOISE = 8  # of 255


def as_prompts(prompt: Any) -> list[str | None]:
    """One prompt or several as a list.

    Raises:
        ValueError: If it is neither a text, nor a list, nor None.
    """
    if isinstance(prompt, str | None):
        return [prompt]
    if not isinstance(prompt, Sequence):
        raise ValueError(f"prompt must be a text, a list with a text for each clip, or None; got {prompt!r}.")
    return list(prompt)


def check_references(pipe: Any, model: ModelMixin, clips: list[np.ndarray], prompts: list[str | None]) -> None:
    """Raise unless there is a prompt for each clip, and all clips are of one shape that the pipeline takes.

    Warns of clips in which nothing moves.

    Raises:
        ValueError: If a prompt is missing.
        VideoError: If a clip is of the wrong kind or size.
    """
    if len(prompts) != len(clips) or not clips:
        raise ValueError(f"Every reference clip needs a prompt; got {len(clips)} clips and {len(prompts)} prompts.")
    for prompt in prompts if "prompt" in call_parameters(pipe) else ():
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(f"A prompt is needed that says what the reference shows; got {prompt!r}.")
    for clip in clips:
        check_clip(pipe, clip, model)
    if len({clip.shape for clip in clips}) > 1:
        shapes = ", ".join(str(clip.shape) for clip in clips)
        raise VideoError(
            f"The reference clips must be of one shape, for instance read with the same size; got {shapes}."
        )
    for number, clip in enumerate(clips, 1):
        if _is_still(clip):
            warnings.warn(
                f"Nothing moves in reference clip {number} of {len(clips)}, {len(clip)} frames that are all alike, so "
                "there is no motion to learn. Give a clip that moves.",
                stacklevel=3,
            )


def check_loss(name: str, num_latent_frames: int) -> None:
    """Raise if a loss compares frames and the latents have too few.

    Args:
        name: Name of the loss.
        num_latent_frames: Frames of the reference's latents.

    Raises:
        VideoError: If it needs more.
    """
    least = LOSSES[name].least_frames
    if num_latent_frames < least:
        raise VideoError(
            f"The loss {name!r} compares frames of the latents. It needs at least {least}, and the clip has "
            f"{num_latent_frames}. Give a longer clip, or take another loss."
        )


def _is_still(clip: np.ndarray) -> bool:
    """Whether no pixel changes by more than compression changes it."""
    return all(np.abs(frame.astype(np.int16) - clip[0]).max() <= COMPRESSION_NOISE for frame in clip[1:])


def check_options(
    model: ModelMixin,
    config: TrainingConfig,
    embedding_config: MotionEmbeddingConfig,
    clips: list[np.ndarray],
    call_arguments: Mapping[str, Any],
    spatial_lora_directory: str | Path | None,
    accelerator: Any,
) -> None:
    """Raise if options contradict each other or the clips. Warn of accelerate's settings that have no effect.

    Raises:
        ValueError: If options contradict each other.
    """
    if "prompt" in call_arguments:
        raise ValueError(
            "call_arguments has a prompt, which would replace what the references are said to show. Leave it out, and "
            "give prompt."
        )
    if config.color_negative and gives_text(call_arguments):
        raise ValueError(
            "color_negative shows the negative with an empty prompt, and call_arguments has features of a prompt "
            "for both. Leave prompt_embeds out, or set color_negative=False."
        )
    for part, options in OF_PARTS.items():
        needless = [
            name for name in options if any(_is_changed(name, each, model) for each in (config, embedding_config))
        ]
        if needless and part not in embedding_config.parts:
            raise ValueError(
                f"There is no part {part!r} to which {', '.join(needless)} would apply: the embedding's parts are "
                f"{', '.join(embedding_config.parts)}. Leave {', '.join(needless)} out, or give an embedding_config "
                "with that part."
            )
    if "p" in embedding_config.parts and config.p_learning_rate == 0:
        if set(embedding_config.parts) == {"p"}:
            raise ValueError("Nothing would be learned: p is the only part, and p_learning_rate is 0. Raise it.")
        if embedding_config.position_grid != MotionEmbeddingConfig.position_grid and not config.tracked_start:
            raise ValueError(
                f"position_grid={embedding_config.position_grid} would move nothing, since p_learning_rate is 0. "
                "Raise p_learning_rate, or leave position_grid out."
            )
    loss = LOSSES[config.loss]
    if spatial_lora_directory is not None and not loss.trains_spatial_lora:
        names = " or ".join(repr(name) for name, entry in LOSSES.items() if entry.trains_spatial_lora)
        raise ValueError(f"There is a spatial LoRA to save with the loss {names} only, not {config.loss!r}.")
    for setting in ignored_settings(accelerator, config) if accelerator is not None else ():
        logger.warning("accelerate's %s is not used", setting)


def _is_changed(name: str, config: Any, model: ModelMixin) -> bool:
    """Whether a dataclass has a field of that name whose value is neither the default nor that of the model's class.

    Settings that are read from a file have those of the class.
    """
    defaults = (getattr(each, name, None) for each in (type(config), find_architecture(model)))
    return getattr(config, name, None) not in tuple(defaults)


def ignored_settings(accelerator: Any, config: TrainingConfig) -> list[str]:
    """Settings of accelerate that have no effect, in words for users.

    Processes share the samples. Nothing else of accelerate is needed, because the base is frozen and an embedding is
    small.

    Args:
        accelerator: The `Accelerator` of accelerate.
        config: Options of the run, whose precision and accumulation count.
    """
    ignored = []
    if accelerator.mixed_precision not in ("no", config.mixed_precision):
        ignored.append(f"mixed_precision {accelerator.mixed_precision} (the run has {config.mixed_precision})")
    if accelerator.gradient_accumulation_steps not in (1, config.gradient_accumulation_steps):
        ignored.append(
            f"gradient_accumulation_steps {accelerator.gradient_accumulation_steps} "
            f"(the run has {config.gradient_accumulation_steps})"
        )
    kind = accelerator.distributed_type.value
    if kind not in ("NO", "MULTI_CPU", "MULTI_GPU", "MULTI_NPU", "MULTI_MLU", "MULTI_XPU", "MULTI_HPU"):
        ignored.append(f"distributed_type {kind} (processes share the samples, each with the whole model)")
    dynamo = getattr(accelerator.state, "dynamo_plugin", None)
    if dynamo is not None and dynamo.backend.value != "NO":
        ignored.append(f"dynamo_backend {dynamo.backend.value} (the model is not compiled in training)")
    return ignored
