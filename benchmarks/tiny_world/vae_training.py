"""How the tiny world's autoencoders are trained; `train_*vae.py` say what differs between them.

The latents are given: the encoder learns to make them, the decoder to draw the frames from them, and neither needs
the other. Layers on the way are asked for hints by heads that are then thrown away. The result is a diffusers model
folder. Restarting continues from the last checkpoint in the output folder.
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ModelMixin
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from benchmarks.tiny_world.checkpoints import load_checkpoint, save_checkpoint
from benchmarks.tiny_world.muon import Muon


LATENT_NOISE = 0.15  # generated latents are not quite those of a scene
PARTS = ("encoder", "decoder")
OBJECT_WEIGHT = 8.0  # the object covers a twentieth of the frame, and everybody looks at it


Example = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # pixels, latents, hints


@dataclass(frozen=True)
class Autoencoder:
    """What differs between the autoencoders.

    Args:
        make_vae: With random weights.
        draw: Random pixels, (3, ...), float32 from -1 to 1, their latents, and hints of the latents' height and width.
        as_frames: From a batch of pixels to its frames, (frames, 3, size, size).
        num_hints: Channels of the hints.
    """

    make_vae: Callable[[], ModelMixin]
    draw: Callable[[np.random.Generator], Example]
    as_frames: Callable[[torch.Tensor], torch.Tensor]
    num_hints: int


class Examples(IterableDataset):
    """Endless random pixels, their latents and hints."""

    def __init__(self, draw: Callable[[np.random.Generator], Example], seed: int):
        self.draw = draw
        self.seed = seed

    def __iter__(self):
        rng = np.random.default_rng(self.seed)
        while True:
            yield self.draw(rng)


def parse_options(description: str, **defaults: float) -> argparse.Namespace:
    """The command line of a training script, whose own defaults are given by name."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--max_train_steps", type=int)
    parser.add_argument("--train_batch_size", type=int, help="Frames or clips per step.")
    parser.add_argument("--learning_rate", type=float, default=2e-3, help="Peak; cosine to 0.")
    parser.add_argument("--initial_weights", type=Path, help="Folder of an autoencoder to start from.")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="What is trained.")
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(**defaults)
    return parser.parse_args()


def fix_spread(quant_conv: torch.nn.Module, latent_channels: int) -> None:
    """Set the posterior's spread, rather than learn it: standard deviation 0.01."""
    torch.nn.init.zeros_(quant_conv.weight[latent_channels:].data)
    torch.nn.init.constant_(quant_conv.bias[latent_channels:].data, 2 * math.log(0.01))


class HintHeads(torch.nn.Module):
    """What two layers of an autoencoder say of the hints: one in the encoder and one in the decoder.

    Both see the places of latents from edge to edge, and layers that can use what they say come after them.

    Args:
        vae: The autoencoder, whose layers are listened to from now on.
        num_hints: Number of hints at each place.
    """

    def __init__(self, vae: ModelMixin, num_hints: int):
        super().__init__()
        layers = {"encoder": vae.encoder.mid_block.resnets[0], "decoder": vae.decoder.up_blocks[0].resnets[0]}
        self.heads = torch.nn.ModuleDict()
        self.heard: dict[str, list[torch.Tensor]] = {name: [] for name in layers}
        for name, layer in layers.items():
            width = layer.conv2.weight.shape[0]
            self.heads[name] = torch.nn.Linear(width, num_hints)
            layer.register_forward_hook(partial(self._listen, name))

    def _listen(self, name: str, layer: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        self.heard[name].append(output)

    def error(self, hints: torch.Tensor) -> torch.Tensor:
        """Mean absolute error of what was said since the last call; clips may have come in several pieces of time."""
        errors = []
        for name, pieces in self.heard.items():
            if pieces:
                features = torch.cat(pieces, dim=2) if pieces[0].ndim == 5 else pieces[0]
                said = self.heads[name](features.float().movedim(1, -1)).movedim(-1, 1)
                errors.append(F.l1_loss(said, hints))
                pieces.clear()
        return torch.stack(errors).mean()


def relative_error(encoded: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
    """Squared error in units of each channel's size, linear where it is large, or channels that are rare stay at 0."""
    size = latents.square().mean([axis for axis in range(latents.ndim) if axis != 1], keepdim=True).sqrt()
    return 2 * F.huber_loss(encoded / size.clamp(min=0.05), latents / size.clamp(min=0.05))


def weighted_error(decoded: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Mean of absolute and squared error, with more weight on and around the object: the saturated pixels."""
    saturated = (pixels.amax(1, keepdim=True) - pixels.amin(1, keepdim=True) > 0.6).float()
    weight = 1 + (OBJECT_WEIGHT - 1) * F.max_pool2d(saturated, 5, stride=1, padding=2)
    error = (decoded - pixels).abs()
    return ((error + error**2) * weight).mean()


def train(autoencoder: Autoencoder, options: argparse.Namespace) -> None:
    """Train an autoencoder, write its folder and print its error; the options are those of `parse_options`."""
    torch.manual_seed(options.seed)
    vae = autoencoder.make_vae()
    if options.initial_weights:
        vae.load_state_dict(type(vae).from_pretrained(options.initial_weights).state_dict(), strict=False)
    kernels = [parameter for parameter in vae.parameters() if parameter.ndim >= 4]
    heads = HintHeads(vae, autoencoder.num_hints)
    rest = [parameter for parameter in [*vae.parameters(), *heads.parameters()] if parameter.ndim < 4]
    optimizers = [
        Muon(kernels, lr=options.learning_rate, weight_decay=0.0),
        torch.optim.AdamW(rest, lr=options.learning_rate, weight_decay=0.0),
    ]
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(
            each, options.learning_rate, total_steps=options.max_train_steps + 1, pct_start=0.05, cycle_momentum=False
        )
        for each in optimizers
    ]
    checkpoint = options.output_dir / "checkpoint.pt"
    parts = {"vae": vae, "heads": heads}
    for number, (optimizer, schedule) in enumerate(zip(optimizers, schedules, strict=True)):
        parts |= {f"optimizer_{number}": optimizer, f"schedule_{number}": schedule}
    first_step = load_checkpoint(checkpoint, parts)
    dataset = Examples(autoencoder.draw, options.seed + first_step)
    loader = iter(DataLoader(dataset, batch_size=options.train_batch_size))

    progress = tqdm(range(first_step, options.max_train_steps), desc="VAE", mininterval=5)
    for step in progress:
        pixels, latents, hints = next(loader)
        losses = {}
        if "encoder" in options.parts:
            losses["encoder"] = relative_error(vae.encode(pixels).latent_dist.mean, latents)
        if "decoder" in options.parts:
            decoded = vae.decode(latents + LATENT_NOISE * torch.randn_like(latents)).sample
            losses["decoder"] = weighted_error(autoencoder.as_frames(decoded), autoencoder.as_frames(pixels))
        losses["hints"] = heads.error(hints)
        loss = torch.stack(list(losses.values())).sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if step % 50 == 0:
            progress.set_postfix({name: f"{each.item():.4f}" for name, each in losses.items()})
        if (step + 1) % 500 == 0 or step + 1 == options.max_train_steps:
            save_checkpoint(checkpoint, parts, step + 1)

    pixels = torch.cat([next(loader)[0] for _ in range(32)])
    with torch.no_grad():
        error = F.l1_loss(vae.decode(vae.encode(pixels).latent_dist.mean).sample, pixels)
    vae.save_pretrained(options.output_dir)
    print(f"mean absolute error {error.item() / 2 * 255:.2f} of 255")
