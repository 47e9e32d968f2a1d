"""Generating with a method, from fresh noise or from noise that remembers the reference."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.method import Generate, Reference
from benchmarks.tiny_world.pipelines import generate, training_arguments
from diffusers_motion_embed import invert_clip, mix_noise
from diffusers_motion_embed.noise import NoiseMix


@dataclass(frozen=True)
class NoisePrior:
    """How the reference's inverted noise and fresh noise make the initial noise.

    Args:
        mix: As of `mix_noise`.
        share: Of the variance that comes from the inverted noise.
    """

    mix: NoiseMix = "blend"
    share: float = 0.5

    def latents(self, inverted: Tensor, seeds: list[int]) -> Tensor:
        """One clip for each seed, (clips, channels, frames, height, width)."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        mixed = [mix_noise(inverted, self.mix, share=self.share, generator=each) for each in generators]
        return torch.cat(mixed)


def inverted_noise(pipe: Any, reference: Reference) -> Tensor:
    """As in the paper: 50 steps, no prompt, no guidance; (1, channels, frames, height, width)."""
    return invert_clip(pipe, reference.frames, call_arguments=training_arguments(pipe), progress_bar=False)


def generator_of(pipe: Any, inverted: Tensor | None = None, prior: NoisePrior | None = None) -> Generate:
    """What generates on the pipeline as it is when called.

    Args:
        pipe: A tiny pipeline.
        inverted: The reference's noise; only used with a prior.
        prior: None begins with fresh noise.
    """

    def generate_clips(prompts: list[str], seeds: list[int], pictures: np.ndarray | None = None) -> np.ndarray:
        latents = prior.latents(inverted, seeds) if prior else None
        return generate(pipe, prompts, seeds, latents=latents, pictures=pictures)

    return generate_clips
