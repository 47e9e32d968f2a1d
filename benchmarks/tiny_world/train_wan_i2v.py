"""Teach the tiny world's `WanTransformer3DModel` to begin with a given picture: a `WanImageToVideoPipeline` folder.

    python -m benchmarks.tiny_world.train_wan_i2v --vae examples/tiny-wan/vae --initial_weights examples/tiny-wan \
        --output_dir outputs/tiny-wan-i2v

As in Wan 2.2, the transformer gets further channels: which frames are given, and their latents. `base_training.py`
tells the rest.
"""

import torch
from diffusers import AutoencoderKLWan, WanImageToVideoPipeline

from benchmarks.tiny_world import train_wan
from benchmarks.tiny_world.base_training import BaseModel, make_parser, train
from benchmarks.tiny_world.latents import pair_frames


FIRST_WEIGHT = 8.0  # of the loss on the given frame, which is nearly known, so that errors that show are small there
WIDE_SPREAD = 2.5  # of noise levels: the last ones, which are otherwise seldom drawn, decide small errors
MASK_CHANNELS = 2  # one for each of the frames that a latent shows


def make_pipeline(vae: AutoencoderKLWan) -> WanImageToVideoPipeline:
    text_to_video = train_wan.make_pipeline(vae, given_channels=MASK_CHANNELS + vae.config.z_dim)
    return WanImageToVideoPipeline(**text_to_video.components)


def first_frame(frames: torch.Tensor) -> torch.Tensor:
    """What the pipeline gives of a first frame: a mask, and the latents of a clip that is gray after it.

    Args:
        frames: Latents of frames, (clips, channels, frames, height, width).

    Returns:
        (clips, 2 + channels of the VAE, latent frames, height, width).
    """
    known = torch.zeros_like(frames)
    known[:, :, :1] = frames[:, :, :1]
    latents = pair_frames(known)
    mask = torch.zeros_like(latents[:, :MASK_CHANNELS])
    mask[:, :, 0] = 1
    return torch.cat([mask, latents], dim=1)


def image_to_video_loss(pipe: WanImageToVideoPipeline, frames: torch.Tensor, prompts: list[str]) -> torch.Tensor:
    """That of `train_wan`, with the clips' own first frames given, which count more, at more levels of noise."""
    return train_wan.flow_matching_loss(pipe, frames, prompts, first_frame(frames), FIRST_WEIGHT, WIDE_SPREAD)


TINY_WAN_I2V = BaseModel(
    vae_class=AutoencoderKLWan,
    make_pipeline=make_pipeline,
    denoiser="transformer",
    loss=image_to_video_loss,
    num_frames=train_wan.NUM_FRAMES,
    stills_per_clip=train_wan.TINY_WAN.stills_per_clip,
    phases_in_places=train_wan.TINY_WAN.phases_in_places,
)


def main() -> None:
    parser = make_parser(__doc__, max_train_steps=1500, train_batch_size=8, learning_rate=1e-3, lr_decay_steps=700)
    parser.set_defaults(stills_every=0)
    train(TINY_WAN_I2V, parser.parse_args())


if __name__ == "__main__":
    main()
