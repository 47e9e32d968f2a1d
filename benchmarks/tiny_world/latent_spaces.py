"""Which latents a VAE of the tiny world knows: thumbnails, or what each place shows."""

from collections.abc import Callable

import torch
from diffusers import ModelMixin

from benchmarks.tiny_world.latents import LATENT_CHANNELS, scene_latents
from benchmarks.tiny_world.scene import Scene
from benchmarks.tiny_world.thumbnails import THUMBNAIL_CHANNELS, scene_thumbnails


LatentsOf = Callable[[Scene, slice], torch.Tensor]  # of chosen frames, (frames, channels, height, width)
SPACES: dict[int, LatentsOf] = {THUMBNAIL_CHANNELS: scene_thumbnails, LATENT_CHANNELS: scene_latents}


def latents_of(vae: ModelMixin) -> LatentsOf:
    """How the latents of frames are made that a VAE knows.

    Raises:
        ValueError: It has another number of channels than any VAE of the tiny world.
    """
    paired = "z_dim" in vae.config  # a latent shows two frames
    channels = vae.config["z_dim"] / 2 if paired else vae.config["latent_channels"]
    if channels not in SPACES:
        known = " or ".join(map(str, SPACES))
        raise ValueError(
            f"The VAE has {channels:g} latent channels for a frame; those of the tiny world have {known}."
        )
    return SPACES[channels]
