"""Train the tiny world's `AutoencoderKL` on single rendered frames.

    python -m benchmarks.tiny_world.train_vae --output_dir outputs/tiny-t2v/vae

`train_unet.py` takes it from there; `vae_training.py` tells the rest.
"""

import numpy as np
import torch
from diffusers import AutoencoderKL

from benchmarks.tiny_world.latents import HINT_CHANNELS, LATENT_CHANNELS, scene_hints, scene_latents
from benchmarks.tiny_world.scene import FRAME_SIZE, NUM_FRAMES
from benchmarks.tiny_world.training_clips import random_scene, seen_otherwise
from benchmarks.tiny_world.vae_training import Autoencoder, Example, fix_spread, parse_options, train


def make_vae() -> AutoencoderKL:
    vae = AutoencoderKL(
        sample_size=FRAME_SIZE,
        latent_channels=LATENT_CHANNELS,
        block_out_channels=(16, 32, 48, 80),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("AttnUpDecoderBlock2D", *("UpDecoderBlock2D",) * 3),  # all that is as large as latents attends
        norm_num_groups=8,
    )
    fix_spread(vae.quant_conv, LATENT_CHANNELS)
    vae.register_to_config(scaling_factor=1.0)
    return vae


def draw_frame(rng: np.random.Generator) -> Example:
    """One frame of a random clip, (3, size, size), its latents, (20, 8, 8), and its hints, (12, 8, 8)."""
    index = int(rng.integers(NUM_FRAMES))
    scene, frame = seen_otherwise(rng, random_scene(rng)), slice(index, index + 1)
    pixels = torch.from_numpy(scene.render(frame)[0]).permute(2, 0, 1) * 2 - 1
    return pixels, scene_latents(scene, frame)[0], scene_hints(scene, frame)[0]


FRAME_VAE = Autoencoder(make_vae=make_vae, draw=draw_frame, as_frames=lambda pixels: pixels, num_hints=HINT_CHANNELS)


def main() -> None:
    train(FRAME_VAE, parse_options(__doc__, max_train_steps=2000, train_batch_size=16))


if __name__ == "__main__":
    main()
