"""Train the tiny world's `AutoencoderKLWan` on rendered clips.

    python -m benchmarks.tiny_world.train_wan_vae --output_dir outputs/tiny-wan/vae

Its convolutions learn to look at one latent frame at a time; `train_wan.py` takes it from there, and
`vae_training.py` tells the rest.
"""

from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d

from benchmarks.tiny_world.latents import HINT_CHANNELS, LATENT_CHANNELS, pair_frames, scene_hints, scene_latents
from benchmarks.tiny_world.training_clips import random_scene, seen_otherwise
from benchmarks.tiny_world.vae_training import Autoencoder, Example, fix_spread, parse_options, train


Z_DIM = 2 * LATENT_CHANNELS  # a latent shows two frames
NUM_FRAMES = 5  # the fewest beside 1 that the class encodes whole
FIRST_FRAME_SHARE = 1 / 10  # of clips that are gray after the first frame, as image-to-video pipelines encode them


def make_vae() -> AutoencoderKLWan:
    vae = AutoencoderKLWan(
        base_dim=16,
        decoder_base_dim=18,
        z_dim=Z_DIM,
        dim_mult=[1, 2, 3, 4],
        num_res_blocks=1,
        temperal_downsample=[False, False, True],  # frames share channels only where they have the size of latents
        latents_mean=[0.0] * Z_DIM,
        latents_std=[1.0] * Z_DIM,
        scale_factor_temporal=2,
        scale_factor_spatial=8,
    )
    fix_spread(vae.quant_conv, Z_DIM)
    for module in vae.modules():
        if isinstance(module, WanCausalConv3d) and module.stride == (1, 1, 1):
            torch.nn.init.zeros_(module.weight.data[:, :, :-1])
            module.forward = partial(convolve_frames, module)
    return vae


def convolve_frames(conv: WanCausalConv3d, x: torch.Tensor, cache_x: torch.Tensor | None = None) -> torch.Tensor:
    """What the convolution does when its kernels are 0 for the past, calculated in two dimensions.

    No gradient reaches what the kernels do with the past, so that it stays 0. All that a frame shows here is in its
    own latent, and training is several times as fast.

    Args:
        conv: Of stride 1.
        x: (batch, channels, frames, height, width).
        cache_x: Past frames, which are not looked at.
    """
    width, _, height, *_ = conv._padding
    frames = x.transpose(1, 2).flatten(0, 1)
    convolved = F.conv2d(frames, conv.weight[:, :, -1], conv.bias, padding=(height, width))
    return convolved.unflatten(0, (x.shape[0], x.shape[2])).transpose(1, 2)


def draw_clip(rng: np.random.Generator) -> Example:
    """A random clip, (3, frames, size, size), its latents, (40, latent frames, 8, 8), and its hints, (24, ...)."""
    scene = seen_otherwise(rng, random_scene(rng, NUM_FRAMES))
    pixels = torch.from_numpy(scene.render()).permute(3, 0, 1, 2) * 2 - 1
    frames = torch.cat([scene_latents(scene, in_places=True), scene_hints(scene)], dim=1).transpose(0, 1)
    if rng.uniform() < FIRST_FRAME_SHARE:
        pixels[:, 1:], frames[:, 1:] = 0.0, 0.0
    latents, hints = (pair_frames(each[None])[0] for each in frames.split([LATENT_CHANNELS, HINT_CHANNELS]))
    return pixels, latents, hints


def as_frames(pixels: torch.Tensor) -> torch.Tensor:
    """The frames of clips (clips, 3, frames, size, size), clip after clip."""
    return pixels.transpose(1, 2).flatten(0, 1)


CLIP_VAE = Autoencoder(make_vae=make_vae, draw=draw_clip, as_frames=as_frames, num_hints=2 * HINT_CHANNELS)


def main() -> None:
    train(CLIP_VAE, parse_options(__doc__, max_train_steps=2000, train_batch_size=6))


if __name__ == "__main__":
    main()
