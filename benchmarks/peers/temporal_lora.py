"""A plain LoRA on the attention layers that mix frames, trained with the denoising loss.

AnimateDiff's motion LoRAs (arXiv 2307.04725, section 4.3) are such, trained there on many clips of one motion; here on
one clip, as all methods.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.generation import generator_of
from benchmarks.peers.lora import add_temporal_lora, without_loras
from benchmarks.peers.method import Reference, Transfer
from benchmarks.peers.training import acting, denoiser, motion_attentions, num_bytes, restored, train, within
from diffusers_motion_embed.training import TrainingConfig


@dataclass(frozen=True)
class TemporalLora:
    """A `Method`.

    Args:
        config: Of the training; the steps come from the budget.
        rank: Of the LoRA.
        timing: Part of the noise schedule in which it acts.
    """

    config: TrainingConfig
    rank: int = 8
    timing: tuple[float, float] = (0.0, 1.0)

    @contextlib.contextmanager
    def learn(self, pipe: Any, reference: Reference, num_samples: int, seed: int) -> Iterator[Transfer]:
        """See `Method`."""
        _, model = denoiser(pipe)
        with without_loras(pipe, model):
            parameters = add_temporal_lora(model, motion_attentions(model), self.rank)
            with restored(parameters) as plain:
                train(pipe, reference, parameters, within(self.config, num_samples, seed))
                with acting(model, parameters, plain, *self.timing):
                    yield Transfer(generator_of(pipe), num_bytes(parameters))
