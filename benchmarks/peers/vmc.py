"""VMC (arXiv 2312.00845): the temporal attention layers themselves are fine-tuned, by how successive frames differ.

The loss is one minus the cosine between the differences of successive frames in prediction and target (its section
4.1). Simplified: the model is one, where the paper tunes the keyframe model of a cascade; the prompt is the
reference's own, where the paper leaves the background out of it; and the noise is blended as for all methods, where
the paper begins with the inverted noise itself.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.peers.generation import NoisePrior, generator_of, inverted_noise
from benchmarks.peers.method import Reference, Transfer
from benchmarks.peers.training import acting, denoiser, motion_attentions, num_bytes, restored, train, within
from diffusers_motion_embed.training import TrainingConfig


@dataclass(frozen=True)
class VideoMotionCustomization:
    """A `Method`.

    Args:
        config: Of the training; the steps come from the budget.
        timing: Part of the noise schedule in which the tuned weights act.
        prior: Of the initial noise; None begins with fresh noise.
    """

    config: TrainingConfig
    timing: tuple[float, float] = (0.0, 1.0)
    prior: NoisePrior | None = None

    @contextlib.contextmanager
    def learn(self, pipe: Any, reference: Reference, num_samples: int, seed: int) -> Iterator[Transfer]:
        """See `Method`."""
        _, model = denoiser(pipe)
        config = within(replace(self.config, loss="motion_distillation"), num_samples, seed)
        inverted = inverted_noise(pipe, reference) if self.prior else None
        parameters = {
            f"{path}.{name}": parameter
            for path in motion_attentions(model)
            for name, parameter in model.get_submodule(path).named_parameters()
        }
        with restored(parameters) as plain:
            train(pipe, reference, parameters, config)
            with acting(model, parameters, plain, *self.timing):
                yield Transfer(generator_of(pipe, inverted, self.prior), num_bytes(parameters))
