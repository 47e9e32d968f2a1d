"""Bytes of embeddings, from shapes alone: the models have no weights, and the embeddings random numbers.

Counted are the numbers of the file, without the few kilobytes of settings in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet3DConditionModel, UNetMotionModel
from torch import nn

from benchmarks.cost.timing import Figure
from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.selection import embedding_shapes, select_layers
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import to_state_dict


TINY_MODEL = Path(__file__).parents[2] / "examples/tiny-t2v/unet"


@dataclass(frozen=True)
class Target:
    """A real model, and the clip size that it is used at.

    Args:
        name: For people.
        build: Makes it, without weights.
        num_frames: Of the clip.
        latent_height: In latent pixels.
        latent_width: In latent pixels.
    """

    name: str
    build: Callable[[], nn.Module]
    num_frames: int
    latent_height: int
    latent_width: int


TARGETS = (
    Target(
        "tiny-t2v, 16 frames",
        lambda: UNet3DConditionModel.from_config(UNet3DConditionModel.load_config(TINY_MODEL)),
        num_frames=16,
        latent_height=8,
        latent_width=8,
    ),
    Target(  # whose settings are the class's own
        "ZeroScope, 24 frames of 320 x 576", UNet3DConditionModel, num_frames=24, latent_height=40, latent_width=72
    ),
    Target(
        "AnimateDiff on Stable Diffusion 1.5, 16 frames of 512 x 512",
        lambda: UNetMotionModel(cross_attention_dim=768, num_attention_heads=8),
        num_frames=16,
        latent_height=64,
        latent_width=64,
    ),
)

GRIDS = {"value grid 4 x 4": (4, 4), "full value grids": "full"}

# How `save_motion_embedding` stores them. Trained numbers take as many bits as the random ones here: 2 of them.
FORMS = {
    "float32": {},
    "float16": {"dtype": torch.float16},
    "compact": {"max_error": 0.4},
}


def measure_sizes() -> list[Figure]:
    """The layers that are adapted by default, at both kinds of value grids, in every form."""
    figures = []
    for target in TARGETS:
        with torch.device("meta"):
            model = target.build()
        for grid_name, grid in GRIDS.items():
            for form, options in FORMS.items():
                config = MotionEmbeddingConfig(
                    num_frames=target.num_frames,
                    latent_height=target.latent_height,
                    latent_width=target.latent_width,
                    value_grid=grid,
                )
                name = f"embedding, {target.name}, {grid_name}, {form}"
                figures.append(Figure(name, _bytes(model, config, options), "bytes"))
    return figures


def _bytes(model: nn.Module, config: MotionEmbeddingConfig, options: dict[str, Any]) -> int:
    tensors = {}
    for path, shape in embedding_shapes(model, config, select_layers(model, config)).items():
        qk, v = (shape.num_frames, shape.channels), (*shape.grid, shape.num_frames, shape.channels)
        tensors[path] = {"qk": torch.randn(qk), "v": torch.randn(v)}
    return sum(tensor.nbytes for tensor in to_state_dict(Embedding(config, tensors), **options).values())
