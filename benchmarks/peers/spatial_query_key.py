"""The paper's ablation: motion embeddings whose query-key part has a spatial axis too (arXiv 2403.20193, section 4.2).

It then has one vector for each position of the layer, as the paper's value part, and may learn outlines.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.generation import generator_of
from benchmarks.peers.method import Reference, Transfer
from benchmarks.peers.training import TIMING, denoiser, num_bytes, only_trained, train, within
from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.layer import LayerEmbedding
from diffusers_motion_embed.adapter.registry import add_embedding, registry_of, remove_embedding
from diffusers_motion_embed.adapter.selection import embedding_shapes, select_layers
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.architectures.encoding import encode_frames
from diffusers_motion_embed.functional import fit_frames, resample_grid
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.training import TrainingConfig


NAME = "spatial query-key"


class SpatialQueryKey(LayerEmbedding):
    """A layer's embedding with a query-key part (h, w, f, c)."""

    def offset(self, part: str, num_frames: int, grid: tuple[int, int], device: torch.device) -> Tensor | None:
        """See `LayerEmbedding`."""
        if part == "v":
            return super().offset(part, num_frames, grid, device)
        strength = self.scales[part] * self.state.timing.gate
        fitted = strength * fit_frames(self.tensors[part], num_frames, self.state.config.frame_policy)
        return resample_grid(fitted, grid).flatten(0, 1)


@dataclass(frozen=True)
class SpatialQueryKeyEmbedding:
    """A `Method`, of models with attention layers of their own for frames.

    Args:
        config: Of the training; the steps come from the budget.
    """

    config: TrainingConfig = field(default_factory=TrainingConfig)

    @contextlib.contextmanager
    def learn(self, pipe: Any, reference: Reference, num_samples: int, seed: int) -> Iterator[Transfer]:
        """See `Method`."""
        _, model = denoiser(pipe)
        config = within(self.config, num_samples, seed)
        latents = encode_frames(pipe, reference.frames)
        settings = MotionEmbeddingConfig(
            num_frames=len(reference.frames),
            num_latent_frames=latents.shape[2],
            latent_height=latents.shape[3],
            latent_width=latents.shape[4],
            value_grid="full",
        )
        coarse = find_architecture(model).value_grid
        tensors = {}
        for path, shape in embedding_shapes(model, settings, select_layers(model, settings)).items():
            tail = (shape.num_frames, shape.channels)
            grid = tuple(min(each) for each in zip(coarse, shape.grid, strict=True))
            tensors[path] = {
                "qk": torch.zeros(*shape.grid, *tail, requires_grad=True),
                "v": torch.zeros(*grid, *tail, requires_grad=True),
            }
        add_embedding(model, NAME, Embedding(settings, tensors))
        try:
            registry = registry_of(model)
            for path, layer in registry.layers.items():
                layer.embeddings[NAME] = SpatialQueryKey(tensors[path], registry.loaded[NAME])
            parameters = {f"{path}.{part}": parts[part] for path, parts in tensors.items() for part in parts}
            with only_trained(model, parameters):
                train(pipe, reference, parameters, config)
            registry.update([NAME], timing=TIMING)
            yield Transfer(generator_of(pipe), num_bytes(parameters))
        finally:
            remove_embedding(model, NAME)
