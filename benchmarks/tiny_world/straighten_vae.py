"""Teach a tiny decoder to draw straight patterns from latents whose phases waver from place to place.

    python -m benchmarks.tiny_world.straighten_vae --vae outputs/vae --output_dir outputs/straight-vae

A denoiser says of a frame as a whole where its pattern is, and of each place a little more or less. The layers at the
size of latents see the whole frame. They learn to give for wavering latents what they gave for straight ones. Nothing
is drawn, so that a step takes a fraction of a second. Half of the frames are of random scenes, the other half of clips
that pipelines make (`--pipelines`), straightened by the zoom and roll that they tell.
Restarting continues from the last checkpoint in the output folder.
"""

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderKLWan, ModelMixin
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor
from tqdm import tqdm

from benchmarks.tiny_world.checkpoints import load_checkpoint, save_checkpoint
from benchmarks.tiny_world.latents import BACKGROUND_GAINS, LATENT_CHANNELS, PATTERN_WAVES, places_of, scene_latents
from benchmarks.tiny_world.muon import Muon
from benchmarks.tiny_world.pipelines import call_arguments, load_tiny_pipeline
from benchmarks.tiny_world.scene import NUM_FRAMES
from benchmarks.tiny_world.training_clips import random_appearance, random_scene, seen_otherwise
from benchmarks.tiny_world.vae_training import LATENT_NOISE


KIND, ZOOM, ROLL, PHASES = 3, 4, 5, slice(6, 10)  # of the latents' channels
WAVERING = 1.5  # radians, at most
FADING = 0.8  # share of a wave's size that is lost, at most, all over and once more in places
TOLD_ERROR = 0.02  # of the logarithm of the zoom, and of the roll in radians
FAINT = 0.5  # size of a pattern, as a share of a whole one, below which there is none
NEARBY = np.linspace(-0.15, 0.15, 11)  # differences from the zoom and roll that are told
NEARER = 0.5  # what the square of such a difference costs, in shares of a pattern's agreement
POOL = 4096  # frames that are drawn once for so many steps
POOL_STEPS = 250


def as_complex(phases: Tensor) -> Tensor:
    """Cosines and then sines of two waves, (n, 4, ...), as (n, 2, ...)."""
    return torch.complex(*phases.chunk(2, 1))


def as_real(waves: Tensor) -> Tensor:
    """The inverse of `as_complex`."""
    return torch.cat([waves.real, waves.imag], 1)


def smooth_fields(num: int, channels: int) -> Tensor:
    """Random numbers of variance 1 that change slowly over the places, (num, channels, 8, 8)."""
    coarse = torch.randn(num, channels, 3, 3)
    fine = F.interpolate(coarse, size=(8, 8), mode="bicubic", align_corners=True)
    return fine / fine.square().mean((2, 3), keepdim=True).sqrt()


def waver(straight: Tensor) -> tuple[Tensor, Tensor]:
    """Latents that waver as a denoiser's do, and what they mean.

    Args:
        straight: Latents of frames, (frames, 20, 8, 8).
    """
    num = len(straight)
    straight, wavering = straight.clone(), straight.clone()
    turned = torch.polar(torch.ones(num, 2, 8, 8), WAVERING * torch.rand(num, 1, 1, 1) * smooth_fields(num, 2))
    mean = turned.mean((2, 3), keepdim=True)
    waves = as_complex(straight[:, PHASES])
    straight[:, PHASES] = as_real(waves * mean / mean.abs().clamp(min=1e-6))
    size = 1 - FADING * torch.rand(num, 2, 1, 1)  # a denoiser may be sure of one wave alone
    size = size * (1 - FADING * torch.rand(num, 2, 1, 1) * torch.sigmoid(2 * smooth_fields(num, 2)))
    wavering[:, PHASES] = as_real(waves * turned * size)
    wavering[:, KIND] *= 1 - 0.5 * torch.rand(num, 1, 1)
    wavering[:, ZOOM : ROLL + 1] += TOLD_ERROR * BACKGROUND_GAINS[ZOOM] * torch.randn(num, 2, 1, 1)
    plain = straight[:, KIND].abs().mean((1, 2)) < 0.5 * BACKGROUND_GAINS[KIND]
    others = wavering[torch.randperm(num)]
    faint = FAINT * torch.rand(num, 1, 1, 1) * (torch.rand(num, 1, 1, 1) < 0.7)
    wavering[plain, KIND : KIND + 1] = (faint * others[:, KIND : KIND + 1])[plain]
    wavering[plain, PHASES] = (faint * others[:, PHASES])[plain]
    return wavering + LATENT_NOISE * torch.rand(num, 1, 1, 1) * torch.randn_like(wavering), straight


def pattern_waves(zoom: Tensor, roll: Tensor, in_places: bool) -> Tensor:
    """The two waves of a pattern that was not shifted, (n, 2, 8, 8), complex.

    Args:
        zoom: Logarithms of the zoom, (n,).
        roll: Radians, (n,).
        in_places: As in `scene_latents`.
    """
    places = torch.from_numpy(places_of(1)[0].copy()).float()  # (8, 8, 2)
    cosine, sine = torch.cos(roll)[:, None, None], torch.sin(roll)[:, None, None]
    x, y = places.unbind(-1)
    seen = torch.stack([cosine * x + sine * y, cosine * y - sine * x], -1) / torch.exp(zoom)[:, None, None, None]
    moved = seen if in_places else seen - places
    phases = (moved @ torch.from_numpy(PATTERN_WAVES.T).float()).permute(0, 3, 1, 2)
    return torch.polar(torch.ones_like(phases), phases)


def best_camera(waves: Tensor, zoom: Tensor, roll: Tensor, in_places: bool) -> tuple[Tensor, Tensor]:
    """Zoom and roll near those that are told, under which a pattern agrees most with the waves, (n,) each.

    Args:
        waves: Of frames, (n, 2, 8, 8), complex.
        zoom: As told, logarithms, (n,).
        roll: As told, radians, (n,).
        in_places: As in `scene_latents`.
    """
    best = (zoom, roll)
    score = torch.full_like(zoom, -1.0)
    size = waves.abs().mean((1, 2, 3)).clamp(min=1e-6)
    for change in itertools.product(NEARBY, NEARBY):
        camera = (zoom + change[0], roll + change[1])
        agreeing = (waves * pattern_waves(*camera, in_places).conj()).mean((2, 3)).abs().mean(1) / size
        agreeing = agreeing - NEARER * (change[0] ** 2 + change[1] ** 2)
        wins = agreeing > score
        best = tuple(torch.where(wins, one, other) for one, other in zip(camera, best, strict=True))
        score = torch.where(wins, agreeing, score)
    return best


def straightened(made: Tensor, in_places: bool) -> Tensor:
    """Latents with the straight pattern that they tell, turned by their mean phases.

    Zoom and roll are told by channels of their own, and by how phases change from place to place.

    Args:
        made: Latents of frames that a denoiser made, (frames, 20, 8, 8).
        in_places: As in `scene_latents`.
    """
    straight = made.clone()
    kind = made[:, KIND].mean((1, 2)) / BACKGROUND_GAINS[KIND]
    patterned = kind.abs() > FAINT
    waves = as_complex(made[:, PHASES])
    told = (made[:, ZOOM : ROLL + 1].mean((2, 3)) / BACKGROUND_GAINS[ZOOM]).unbind(1)
    camera = torch.stack(best_camera(waves, *told, in_places), 1)
    straight[:, KIND] = (kind.sign() * patterned)[:, None, None] * BACKGROUND_GAINS[KIND]
    straight[:, ZOOM : ROLL + 1] = (camera * patterned[:, None])[:, :, None, None] * BACKGROUND_GAINS[ZOOM]
    pattern = pattern_waves(*camera.unbind(1), in_places)
    mean = (waves * pattern.conj()).mean((2, 3), keepdim=True)
    pattern = pattern * mean / mean.abs().clamp(min=1e-6)
    straight[:, PHASES] = as_real(pattern) * patterned[:, None, None, None] * BACKGROUND_GAINS[PHASES.start]
    return straight


def early_layers(vae: ModelMixin) -> list[torch.nn.Module]:
    """The decoder's layers at the size of latents, in their order."""
    decoder = vae.decoder
    block = decoder.up_blocks[0]
    layers = [decoder.conv_in, decoder.mid_block]
    if isinstance(vae, AutoencoderKL):
        return [*layers, *(each for pair in zip(block.resnets, block.attentions, strict=True) for each in pair)]
    return [*layers, *block.resnets]


def features(vae: ModelMixin, latents: Tensor) -> Tensor:
    """What the early layers make of latents of frames, or of pairs of frames, (n, channels, 8, 8)."""
    if isinstance(vae, AutoencoderKLWan):
        latents = latents[:, :, None]
    x = vae.post_quant_conv(latents)
    for layer in early_layers(vae):
        x = layer(x, None) if isinstance(layer, ResnetBlock2D) else layer(x)
    return x


def scene_frames(rng: np.random.Generator, number: int, per_latent: int, in_places: bool) -> Tensor:
    """Latents of neighbouring frames of random scenes, (number, frames of a latent, 20, 8, 8)."""
    drawn = []
    for _ in range(number):
        start = int(rng.integers(NUM_FRAMES - per_latent + 1))
        scene = seen_otherwise(rng, random_scene(rng))
        drawn.append(scene_latents(scene, slice(start, start + per_latent), in_places=in_places))
    return torch.stack(drawn)


@torch.no_grad()
def made_frames(folder: Path, num_clips: int, per_latent: int, seed: int) -> Tensor:
    """Latents of the frames of clips that a pipeline makes, (latents, frames of a latent, 20, 8, 8)."""
    pipe = load_tiny_pipeline(folder)
    rng, made = np.random.default_rng(seed), []
    for number in tqdm(range(num_clips), desc=f"clips of {folder.name}", mininterval=5):
        prompt = random_appearance(rng, two_objects=number % 4 == 0).prompt
        generator = torch.Generator().manual_seed(seed + number)
        made.append(pipe(prompt, generator=generator, output_type="latent", **call_arguments(pipe)).frames)
    latents = torch.cat(made)  # (clips, channels, frames, 8, 8)
    return latents.movedim(2, 1).flatten(0, 1).unflatten(1, (per_latent, LATENT_CHANNELS))


@dataclass(frozen=True)
class Made:
    """Latents of the clips that a pipeline makes, and what they mean.

    Args:
        wavering: (latents, frames of a latent, 20, 8, 8).
        straight: Of the same shape.
        chances: How often each latent is drawn, (latents,): the more the two differ, the more often.
    """

    wavering: Tensor
    straight: Tensor
    chances: Tensor

    @classmethod
    def of(cls, folder: Path, num_clips: int, per_latent: int, straighten: Callable[[Tensor], Tensor]) -> "Made":
        """The latents of `made_frames` of a pipeline's folder, and what `straighten` makes of them."""
        wavering = made_frames(folder, num_clips, per_latent, 10_000)
        straight = straighten(wavering.flatten(0, 1)).unflatten(0, (-1, per_latent))
        difference = (wavering - straight)[:, :, PHASES].square().mean((1, 2, 3, 4))
        return cls(wavering, straight, difference + difference.mean())

    def draw(self, number: int) -> tuple[Tensor, Tensor]:
        """As many latents, and what they mean."""
        chosen = torch.multinomial(self.chances, number, replacement=True)
        return self.wavering[chosen], self.straight[chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vae", type=Path, required=True, help="Folder of the autoencoder to start from.")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--pipelines", type=Path, nargs="*", default=[], help="Whose clips are learned from too.")
    parser.add_argument("--num_clips", type=int, default=96, help="Of each pipeline.")
    parser.add_argument("--max_train_steps", type=int, default=3000)
    parser.add_argument("--train_batch_size", type=int, default=64, help="Latents per step.")
    parser.add_argument("--learning_rate", type=float, default=2e-3, help="Peak; cosine to 0.")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)

    is_wan = (options.vae / "config.json").read_text().find("AutoencoderKLWan") >= 0
    vae_class, per_latent, in_places = (AutoencoderKLWan, 2, True) if is_wan else (AutoencoderKL, 1, False)
    vae = vae_class.from_pretrained(options.vae)
    teacher = vae_class.from_pretrained(options.vae).requires_grad_(False)
    straighten = partial(straightened, in_places=in_places)
    made = [Made.of(each, options.num_clips, per_latent, straighten) for each in options.pipelines]
    parameters = [each for layer in early_layers(vae) for each in layer.parameters()]
    optimizers = [
        Muon([each for each in parameters if each.ndim >= 4], lr=options.learning_rate, weight_decay=0.0),
        torch.optim.AdamW([each for each in parameters if each.ndim < 4], lr=options.learning_rate, weight_decay=0.0),
    ]
    schedules = [
        torch.optim.lr_scheduler.OneCycleLR(
            each, options.learning_rate, total_steps=options.max_train_steps + 1, pct_start=0.05, cycle_momentum=False
        )
        for each in optimizers
    ]
    parts = {"vae": vae}
    for number, (optimizer, schedule) in enumerate(zip(optimizers, schedules, strict=True)):
        parts |= {f"optimizer_{number}": optimizer, f"schedule_{number}": schedule}
    checkpoint = options.output_dir / "checkpoint.pt"
    first_step = load_checkpoint(checkpoint, parts)

    def flat(latents: Tensor) -> Tensor:
        return latents.flatten(1, 2)

    pool = torch.empty(0)
    progress = tqdm(range(first_step, options.max_train_steps), desc="straightening", mininterval=5)
    for step in progress:
        if step % POOL_STEPS == 0 or not len(pool):
            pool = scene_frames(rng, POOL // 4, per_latent, in_places)
        from_made = options.train_batch_size // 2 if made else 0
        drawn = pool[torch.randint(len(pool), (options.train_batch_size - from_made,))]
        wavering, straight = (each.unflatten(0, (-1, per_latent)) for each in waver(drawn.flatten(0, 1)))
        if made:
            frames = made[step % len(made)].draw(from_made)
            wavering, straight = (torch.cat(both) for both in zip((wavering, straight), frames, strict=True))
        with torch.no_grad():
            target = features(teacher, flat(straight))
        loss = F.mse_loss(features(vae, flat(wavering)), target) / target.var()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        if step % 50 == 0:
            progress.set_postfix(loss=f"{loss.item():.4f}")
        if (step + 1) % 500 == 0 or step + 1 == options.max_train_steps:
            save_checkpoint(checkpoint, parts, step + 1)
            vae.save_pretrained(options.output_dir)


if __name__ == "__main__":
    main()
