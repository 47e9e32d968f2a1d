"""Clips and prompts as the model sees them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusers_motion_embed.errors import VideoError


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
