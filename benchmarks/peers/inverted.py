"""Inverted noise of the reference as initial noise, and nothing learned (DDIM inversion, arXiv 2010.02502)."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.generation import NoisePrior, generator_of, inverted_noise
from benchmarks.peers.method import Reference, Transfer


@dataclass(frozen=True)
class InvertedNoise:
    """A `Method` without training.

    Args:
        prior: Of the initial noise.
    """

    prior: NoisePrior

    @contextlib.contextmanager
    def learn(self, pipe: Any, reference: Reference, num_samples: int, seed: int) -> Iterator[Transfer]:
        """See `Method`."""
        inverted = inverted_noise(pipe, reference)
        yield Transfer(generator_of(pipe, inverted, self.prior), 4 * inverted.numel())
