"""MotionDirector (arXiv 2310.08465): a spatial LoRA soaks up how frames look, a temporal LoRA learns the motion.

The temporal LoRA is trained with the appearance-debiased loss (its section 3.3), the spatial LoRA in place, which is
left out when generating (section 3.4). Simplified: the two are trained one after the other rather than in turns, the
spatial one on as many single frames as the budget has clips, which are not counted, a frame being a small part of a
clip; and LoRAs are on attention alone, not on feed-forwards.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.peers.generation import generator_of
from benchmarks.peers.lora import TEMPORAL, add_temporal_lora, without_loras
from benchmarks.peers.method import Reference, Transfer
from benchmarks.peers.training import acting, denoiser, motion_attentions, num_bytes, restored, train, within
from diffusers_motion_embed.training import TrainingConfig
from diffusers_motion_embed.training.spatial_lora import NAME, add_spatial_lora


@dataclass(frozen=True)
class MotionDirector:
    """A `Method`.

    Args:
        config: Of the temporal LoRA's training; the steps come from the budget.
        rank: Of both LoRAs.
        timing: Part of the noise schedule in which the temporal LoRA acts.
        spatial_learning_rate: Of the spatial LoRA, trained at all noise levels.
    """

    config: TrainingConfig
    rank: int = 8
    timing: tuple[float, float] = (0.0, 1.0)
    spatial_learning_rate: float = 5e-4

    @contextlib.contextmanager
    def learn(self, pipe: Any, reference: Reference, num_samples: int, seed: int) -> Iterator[Transfer]:
        """See `Method`."""
        _, model = denoiser(pipe)
        config = within(replace(self.config, loss="debiased_temporal"), num_samples, seed)
        spatial_config = replace(
            config, loss="base", learning_rate=self.spatial_learning_rate, timestep_sampling="uniform"
        )
        with without_loras(pipe, model):
            spatial = add_spatial_lora(model, self.rank)
            train(pipe, reference, spatial, spatial_config, frames_apart=True)
            parameters = add_temporal_lora(model, motion_attentions(model), self.rank)
            model.set_adapter([NAME, TEMPORAL])
            with restored(parameters) as plain:
                train(pipe, reference, parameters, config)
                model.delete_adapters(NAME)
                with acting(model, parameters, plain, *self.timing):
                    yield Transfer(generator_of(pipe), num_bytes(parameters))
