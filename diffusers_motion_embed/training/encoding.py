"""What training needs of a reference: checked, and encoded once."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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


def check_clip(pipe: Any, clip: np.ndarray) -> None:
    """Raise a `VideoError` unless the clip is uint8 (frames, height, width, 3) of a size that the VAE takes."""
    if not isinstance(clip, np.ndarray) or clip.ndim != 4 or clip.shape[-1] != 3 or clip.dtype != np.uint8:
        described = f"{clip.dtype} {clip.shape}" if isinstance(clip, np.ndarray) else type(clip).__name__
        raise VideoError(f"frames must be a uint8 array of shape (frames, height, width, 3), got {described}.")
    factor = pipe.vae_scale_factor
    height, width = clip.shape[1:3]
    if height % factor or width % factor:
        raise VideoError(
            f"Height {height} and width {width} must be multiples of {factor}, because the VAE shrinks pictures by "
            f"that factor; for instance {max(1, height // factor) * factor} x {max(1, width // factor) * factor}."
        )


@torch.no_grad()
def encode_frames(pipe: Any, frames: np.ndarray, chunk_size: int = 8) -> Tensor:
    """The clip as the model sees it.

    Args:
        pipe: Its VAE is used.
        frames: (frames, height, width, 3), uint8.
        chunk_size: Frames that go through the VAE at once.

    Returns:
        Scaled latents, (1, channels, frames, height, width), in the VAE's dtype.
    """
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).to(pipe.vae.device, pipe.vae.dtype) / 127.5 - 1
    means = [pipe.vae.encode(chunk).latent_dist.mean for chunk in pixels.split(chunk_size)]
    return (torch.cat(means) * pipe.vae.config.scaling_factor).permute(1, 0, 2, 3)[None]


@torch.no_grad()
def encode_prompt(pipe: Any, prompt: str) -> Tensor:
    """Text features of the prompt, (1, tokens, channels)."""
    prompt_embeds, _ = pipe.encode_prompt(prompt, pipe.text_encoder.device, 1, False)
    return prompt_embeds
