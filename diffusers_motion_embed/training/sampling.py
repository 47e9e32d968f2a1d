"""What one training step draws: noise, noise levels, frames.

Every sample is drawn from its own seed, made of the run's seed and the sample's number. A run therefore needs no
random state to go on, and several processes that share the samples draw what one would draw.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffusers_motion_embed.training.config import TrainingConfig


@dataclass(frozen=True)
class Samples:
    """A batch of what is drawn. It is on the CPU, so that a seed means the same everywhere.

    Args:
        clips: Numbers of the reference clips, (batch,), int64.
        noise: (batch, channels, frames, height, width), float32.
        levels: Noise levels within 0 and 1, evenly drawn or not, (batch,), float64.
        frames: Numbers of frames, (batch,), int64.
    """

    clips: Tensor
    noise: Tensor
    levels: Tensor
    frames: Tensor


def draw_samples(
    config: TrainingConfig, first: int, num_samples: int, num_clips: int, shape: tuple[int, ...]
) -> Samples:
    """The samples with the given numbers.

    Args:
        config: Options of the run. Its seed, noise levels and `antithetic_noise` are used.
        first: Number of the first sample, from 0, counted over all steps and processes.
        num_samples: How many samples to draw.
        num_clips: Number of reference clips, which take turns.
        shape: Shape of one clip's latents, (channels, frames, height, width).
    """
    low, high = config.timestep_range
    numbers = range(first, first + num_samples)
    noise, levels, frames = [], [], []
    for number in numbers:
        odd = number % 2 if config.antithetic_noise else 0
        drawn = torch.randn(shape, generator=_generator(config.seed, number - odd, 0))
        noise.append(-drawn if odd else drawn)
        generator = _generator(config.seed, number, 1)
        uniform = torch.rand((), generator=generator, dtype=torch.float64)
        levels.append(low + (high - low) * uniform ** (1 / config.timestep_power))
        frames.append(torch.randint(shape[1], (), generator=generator))
    clips = torch.tensor([number % num_clips for number in numbers])
    return Samples(clips, torch.stack(noise), torch.stack(levels), torch.stack(frames))


def _generator(*seed: int) -> torch.Generator:
    state = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)  # torch takes 63 bits
