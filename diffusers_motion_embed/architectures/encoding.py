"""Clips as a pipeline's model sees them: latents, by the conventions of every autoencoder in diffusers' pipelines."""

import math
from typing import Any

import numpy as np
import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from diffusers_motion_embed.architectures.offloading import device_of
from diffusers_motion_embed.architectures.table import find_architecture, patch_size
from diffusers_motion_embed.errors import NotFiniteError, VideoError
from diffusers_motion_embed.values import frames_in_words


# Names that pipelines use for the factors by which their autoencoder shrinks pictures and clips.
SPATIAL_FACTORS = ("vae_scale_factor_spatial", "vae_spatial_compression_ratio", "vae_spatial_scale_factor")
# Frames that a VAE encodes at a time, by class. It leaves out what is left over, however little it compresses time.
CHUNKS = {"AutoencoderKLWan": 4}
TEMPORAL_FACTORS = ("vae_scale_factor_temporal", "vae_temporal_compression_ratio", "vae_temporal_scale_factor")


def check_clip(pipe: Any, clip: np.ndarray, model: ModelMixin) -> None:
    """Raise a `VideoError` unless the pipeline takes a clip of this size.

    Args:
        pipe: A diffusers video pipeline.
        clip: (frames, height, width, 3), uint8.
        model: The pipeline's model, which may take several latent frames or pixels at a time.
    """
    patch_frames, patch_height, patch_width = patch_size(model)
    frames, height, width = clip.shape[:3]
    spatial = first_factor(pipe, (*SPATIAL_FACTORS, "vae_scale_factor"))
    rows, columns = spatial * patch_height, spatial * patch_width
    if height % rows or width % columns:
        raise VideoError(
            f"Height {height} must be a multiple of {rows} and width {width} of {columns}, because the VAE shrinks "
            f"pictures by {spatial} and the model takes latent pixels by patches; for instance "
            f"{max(1, height // rows) * rows} x {max(1, width // columns) * columns}."
        )
    factor = first_factor(pipe, TEMPORAL_FACTORS)
    alone = 1 if find_architecture(model).first_frame_alone else 0  # frames that make a latent frame of their own
    least, chunk = factor * patch_frames - (factor - 1) * alone, CHUNKS.get(type(pipe.vae).__name__, 1)
    step = math.lcm(factor * patch_frames, chunk)
    if (frames - least) % step or frames < least:
        below = frames - (frames - least) % step
        # A single frame, which some VAEs take, has no motion.
        fitting = [str(number) for number in (below, below + step) if number >= max(least, 2)]
        made = f"of the first and one of every {factor} that follow" if alone else f"of every {factor}"
        raise VideoError(
            f"{type(pipe).__name__} cannot take {frames_in_words(frames)}, because its VAE makes one latent frame "
            + made
            + (f", and its model takes {patch_frames} latent frames at a time" if patch_frames > 1 else "")
            + (f", and it encodes {chunk} frames at a time" if step > factor * patch_frames else "")
            + f"; use {' or '.join(fitting)}."
        )
    if not getattr(pipe, "free_noise_enabled", False):  # FreeNoise covers a long clip with windows
        find_architecture(model).check_frames(model, frames)


@torch.no_grad()
def encode_frames(pipe: Any, frames: np.ndarray, chunk_size: int = 8) -> Tensor:
    """Encode a clip to the latents that the model sees.

    Args:
        pipe: The pipeline whose VAE is used.
        frames: (frames, height, width, 3), uint8.
        chunk_size: Number of frames per pass of a VAE that sees single frames.

    Returns:
        Scaled latents, (1, channels, frames, height, width), in the VAE's dtype.

    Raises:
        NotFiniteError: If the VAE produces infinite numbers or NaN.
    """
    vae = pipe.vae
    latents = encode_pixels(vae, torch.from_numpy(frames).to(device_of(pipe, vae)), chunk_size)
    mean, factor = _statistics(vae, latents)
    latents = (latents - mean) * factor
    check_finite(latents, f"{type(vae).__name__} in {vae.dtype}")
    return latents


@torch.no_grad()
def encode_pixels(vae: Any, frames: Tensor, chunk_size: int = 8) -> Tensor:
    """What a VAE makes of a clip, not scaled.

    Args:
        vae: The VAE, on the device of the frames.
        frames: (frames, height, width, 3), uint8.
        chunk_size: Number of frames per pass of a VAE that sees single frames.

    Returns:
        (1, channels, frames, height, width).
    """
    pixels = frames.permute(0, 3, 1, 2).to(vae.dtype) / 127.5 - 1
    if sees_clips(vae.encoder):
        return _mean(vae.encode(pixels.transpose(0, 1)[None]))
    means = [_mean(vae.encode(chunk)) for chunk in pixels.split(chunk_size)]
    return torch.cat(means).transpose(0, 1)[None]


def sees_clips(coder: nn.Module) -> bool:
    """Whether the encoder or decoder of a VAE takes clips rather than single frames."""
    return any(isinstance(module, nn.Conv3d) for module in coder.modules())


def restore_statistics(vae: nn.Module, latents: Tensor) -> Tensor:
    """Undo the scaling of latents, (batch, channels, frames, height, width), to get what the VAE itself makes."""
    mean, factor = _statistics(vae, latents)
    return latents / factor + mean


def check_finite(latents: Tensor, maker: str) -> None:
    """Raise a `NotFiniteError` if `latents` hold an infinite number or NaN.

    Args:
        latents: Latents of any shape.
        maker: What made them, for the message.
    """
    if not latents.isfinite().all():
        raise NotFiniteError(
            f"{maker} made infinite numbers or NaN of the clip. Half precision overflows easily: use float32 or "
            "bfloat16 instead, for the VAE alone with pipe.vae.to(torch.float32)."
        )


def _mean(encoded: Any) -> Tensor:
    return encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latent


def _statistics(vae: nn.Module, latents: Tensor) -> tuple[Tensor | float, Tensor | float]:
    """What pipelines subtract from the VAE's latents, and the factor that they apply afterwards."""
    mean, std = (_statistic(vae, name, latents) for name in ("latents_mean", "latents_std"))
    scaling_factor = getattr(vae.config, "scaling_factor", None) or 1.0
    return 0.0 if mean is None else mean, scaling_factor if std is None else scaling_factor / std


def _statistic(vae: nn.Module, name: str, latents: Tensor) -> Tensor | None:
    """A statistic of every channel. Some VAEs hold it in their settings, others as a buffer."""
    value = getattr(vae.config, name, None)
    value = dict(vae.named_buffers(recurse=False)).get(name) if value is None else value
    return None if value is None else torch.as_tensor(value).to(latents).view(1, -1, 1, 1, 1)


def first_factor(pipe: Any, names: tuple[str, ...]) -> int:
    """The first of the named factors that the pipeline has; 1 if it has none."""
    return next((int(getattr(pipe, name)) for name in names if getattr(pipe, name, None)), 1)
