"""Motion embeddings by this package (after arXiv 2403.20193), as a method among the others."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.peers.generation import NoisePrior, generator_of, inverted_noise
from benchmarks.peers.method import Reference, Transfer
from benchmarks.peers.training import denoiser, within
from benchmarks.tiny_world.pipelines import training_arguments
from diffusers_motion_embed import MotionEmbeddingConfig, enable_motion_embedding
from diffusers_motion_embed.adapter.registry import embedding_tensors, registry_of
from diffusers_motion_embed.adapter.scales import Scale
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import parse_embedding, to_state_dict
from diffusers_motion_embed.training import CheckpointConfig, TrainingConfig, TrainingProgress, train_motion_embedding
from diffusers_motion_embed.training.recipes import Motion, settings_for


NAME = "motion"


def name_at(step: int) -> str:
    """The name under which the embedding is loaded as it was after this step."""
    return f"{NAME} after {step} steps"


@dataclass(frozen=True)
class MotionEmbedding:
    """A `Method`.

    Args:
        config: Options of the training; the steps come from the budget. None for that of the model's own recipe.
        embedding: Layers, parts, value grid, debiasing. None for those of the model's own recipe.
        motion: What moves, for which the model may have a recipe of its own.
        scale: Of the embedding.
        prior: Of the initial noise; None begins with fresh noise.
        max_error: Of the compact form, in which it is then stored and read again.
        at_steps: Steps after which the embedding is kept too; it is loaded under `name_at(step)`, and inactive.
    """

    config: TrainingConfig | None = None
    embedding: MotionEmbeddingConfig | None = None
    motion: Motion = "object"
    scale: Scale = 1.0
    prior: NoisePrior | None = None
    max_error: float | None = None
    at_steps: tuple[int, ...] = field(default=(), repr=False)  # what is measured then has names of its own

    @contextlib.contextmanager
    def learn(self, pipe: Any, reference: Reference, num_samples: int, seed: int) -> Iterator[Transfer]:
        """See `Method`."""
        enable_motion_embedding(pipe)
        inverted = inverted_noise(pipe, reference) if self.prior else None
        try:
            with tempfile.TemporaryDirectory() as folder:
                config, embedding = settings_for(denoiser(pipe)[1], self.config, self.embedding, self.motion)
                self._train(pipe, reference, within(config, num_samples, seed), embedding, Path(folder))
                for step in self.at_steps:
                    pipe.load_motion_embedding(Path(folder, f"checkpoint-{step}"), name_at(step))
            pipe.set_motion_embeddings(NAME)
            pipe.set_motion_scale(self.scale, NAME)
            _, model = denoiser(pipe)
            config, tensors = registry_of(model).loaded[NAME].config, embedding_tensors(model, NAME)
            stored = to_state_dict(Embedding(config, tensors), max_error=self.max_error)
            if self.max_error is not None:
                _, read = parse_embedding(stored, config, "the compact form")
                for path, parts in read.items():
                    for part, tensor in parts.items():
                        tensors[path][part].copy_(tensor)
            size = sum(tensor.nbytes for tensor in stored.values())
            yield Transfer(generator_of(pipe, inverted, self.prior), size)
        finally:
            pipe.unload_motion_embedding()

    def _train(
        self, pipe: Any, reference: Reference, config: TrainingConfig, embedding: MotionEmbeddingConfig, folder: Path
    ) -> None:
        """Train, and save checkpoints at the steps to keep."""

        def keep(progress: TrainingProgress) -> None:
            if progress.step in self.at_steps:
                progress.save_checkpoint()

        train_motion_embedding(
            pipe,
            reference.frames,
            reference.prompt,
            config,
            embedding_config=replace(embedding),
            adapter_name=NAME,
            call_arguments=training_arguments(pipe),
            checkpoints=CheckpointConfig(output_dir=folder) if self.at_steps else None,
            callback=keep,
        )
