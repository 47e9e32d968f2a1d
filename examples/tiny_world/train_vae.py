"""Train the tiny world's `AutoencoderKL` on single rendered frames.

    python -m examples.tiny_world.train_vae --output_dir outputs/tiny-t2v/vae

The result is a diffusers model folder; `train_unet.py` takes it from there. Restarting continues from the last
checkpoint in the output folder.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from examples.tiny_world.checkpoints import load_checkpoint, save_checkpoint
from examples.tiny_world.latents import LATENT_CHANNELS, SCALING_FACTOR, thumbnail_latents
from examples.tiny_world.scene import FRAME_SIZE, NUM_FRAMES, random_scene


LATENT_NOISE = 0.05  # generated latents are not quite thumbnails
OBJECT_WEIGHT = 8.0  # the object covers a twentieth of the frame, and everybody looks at it


class Frames(IterableDataset):
    """One frame each of endless random clips, (3, size, size), float32 from -1 to 1."""

    def __init__(self, seed: int):
        self.seed = seed

    def __iter__(self):
        rng = np.random.default_rng(self.seed)
        while True:
            index = int(rng.integers(NUM_FRAMES))
            frame = random_scene(rng).render(slice(index, index + 1))[0]
            yield torch.from_numpy(frame).permute(2, 0, 1) * 2 - 1


def make_vae() -> AutoencoderKL:
    vae = AutoencoderKL(
        sample_size=FRAME_SIZE,
        latent_channels=LATENT_CHANNELS,
        block_out_channels=(16, 32, 48, 80),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )
    # The posterior's spread is set, not learned: standard deviation 0.01.
    torch.nn.init.zeros_(vae.quant_conv.weight[LATENT_CHANNELS:].data)
    torch.nn.init.constant_(vae.quant_conv.bias[LATENT_CHANNELS:].data, 2 * math.log(0.01))
    vae.register_to_config(scaling_factor=SCALING_FACTOR)
    return vae


def weighted_error(decoded: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Mean of absolute and squared error, with more weight on and around the object: the saturated pixels."""
    saturated = (pixels.amax(1, keepdim=True) - pixels.amin(1, keepdim=True) > 0.6).float()
    weight = 1 + (OBJECT_WEIGHT - 1) * F.max_pool2d(saturated, 5, stride=1, padding=2)
    error = (decoded - pixels).abs()
    return ((error + error**2) * weight).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--max_train_steps", type=int, default=4000)
    parser.add_argument("--train_batch_size", type=int, default=16, help="Frames per step.")
    parser.add_argument("--learning_rate", type=float, default=2e-3, help="Peak; cosine to 0.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    vae = make_vae()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=options.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.learning_rate, total_steps=options.max_train_steps + 1, pct_start=0.05
    )
    checkpoint = options.output_dir / "checkpoint.pt"
    parts = {"vae": vae, "optimizer": optimizer, "schedule": schedule}
    first_step = load_checkpoint(checkpoint, parts)
    loader = iter(DataLoader(Frames(options.seed + first_step), batch_size=options.train_batch_size))

    progress = tqdm(range(first_step, options.max_train_steps), desc="VAE", mininterval=5)
    for step in progress:
        pixels = next(loader)
        thumbnails = thumbnail_latents(pixels)
        noisy_thumbnails = thumbnails + LATENT_NOISE * torch.randn_like(thumbnails)
        with torch.autocast("cpu", torch.bfloat16):
            encoded = vae.encode(pixels).latent_dist.mean.float()
            decoded = vae.decode(noisy_thumbnails).sample.float()
        encoding = F.l1_loss(encoded, thumbnails)
        decoding = weighted_error(decoded, pixels)
        loss = encoding + decoding
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            progress.set_postfix(encoding=f"{encoding.item():.4f}", decoding=f"{decoding.item():.4f}")
        if (step + 1) % 500 == 0 or step + 1 == options.max_train_steps:
            save_checkpoint(checkpoint, parts, step + 1)

    pixels = torch.cat([next(loader) for _ in range(32)])
    with torch.no_grad():
        error = F.l1_loss(vae.decode(vae.encode(pixels).latent_dist.mean).sample, pixels)
    vae.save_pretrained(options.output_dir)
    print(f"mean absolute error {error.item() / 2 * 255:.2f} of 255")


if __name__ == "__main__":
    main()
