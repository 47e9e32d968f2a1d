"""Train the tiny world's `AutoencoderKLWan` on rendered clips.

    python -m examples.tiny_world.train_wan_vae --output_dir outputs/tiny-wan/vae

`train_wan.py` takes it from there; `vae_training.py` tells the rest.
"""

import numpy as np
import torch
from diffusers import AutoencoderKLWan

from examples.tiny_world.latents import LATENT_CHANNELS, SCALING_FACTOR, pair_frames, thumbnail_latents
from examples.tiny_world.scene import random_scene
from examples.tiny_world.train_wan import NUM_FRAMES
from examples.tiny_world.vae_training import Autoencoder, fix_spread, parse_options, train


Z_DIM = 2 * LATENT_CHANNELS  # a latent shows two frames


def make_vae() -> AutoencoderKLWan:
    vae = AutoencoderKLWan(
        base_dim=12,
        z_dim=Z_DIM,
        dim_mult=[1, 2, 3, 4],
        num_res_blocks=1,
        temperal_downsample=[False, True, False],  # where frames have the size of thumbnails
        latents_mean=[0.0] * Z_DIM,
        latents_std=[1 / SCALING_FACTOR] * Z_DIM,
        scale_factor_temporal=2,
        scale_factor_spatial=8,
    )
    fix_spread(vae.quant_conv, Z_DIM)
    return vae


def draw_clip(rng: np.random.Generator) -> torch.Tensor:
    """A random clip, (3, frames, size, size)."""
    return torch.from_numpy(random_scene(rng, NUM_FRAMES).render()).permute(3, 0, 1, 2) * 2 - 1


def as_frames(pixels: torch.Tensor) -> torch.Tensor:
    """The frames of clips (clips, 3, frames, size, size), clip after clip."""
    return pixels.transpose(1, 2).flatten(0, 1)


def clip_latents(pixels: torch.Tensor) -> torch.Tensor:
    """The unscaled latents of clips (clips, 3, frames, size, size): (clips, 24, latent frames, 8, 8)."""
    thumbnails = thumbnail_latents(as_frames(pixels)).unflatten(0, (len(pixels), -1)).transpose(1, 2)
    return pair_frames(thumbnails)


CLIP_VAE = Autoencoder(make_vae=make_vae, draw_pixels=draw_clip, latents=clip_latents, as_frames=as_frames)


def main() -> None:
    train(CLIP_VAE, parse_options(__doc__, max_train_steps=1200, train_batch_size=2))


if __name__ == "__main__":
    main()
