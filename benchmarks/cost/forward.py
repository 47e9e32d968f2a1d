"""A denoising forward with an embedding over one without, and one temporal block alone."""

from collections.abc import Callable

import torch
from diffusers.models.transformers.transformer_temporal import TransformerTemporalModel
from torch import nn

from benchmarks.cost.models import Size, Subject, embed, twin
from benchmarks.cost.timing import Figure, alternate, ratio
from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.attachment import attach
from diffusers_motion_embed.adapter.layer import LayerEmbedding, MotionEmbeddingLayer
from diffusers_motion_embed.adapter.state import EmbeddingState
from diffusers_motion_embed.architectures.layouts import Layout


FORWARD_GOAL, BLOCK_GOAL = 1.01, 1.03

# A temporal transformer as wide as ZeroScope's second level.
BLOCK = Size((640,), 24, 10, 18, head_dim=64)


def measure_forward(subject: Subject, rounds: int, parts: tuple[str, ...] = ("qk", "v")) -> list[Figure]:
    """A whole model, batch 1, with an embedding of these parts on the layers that are adapted by default."""
    plain = subject.build()
    adapted = twin(plain)
    embed(adapted, subject.size, parts=parts)
    inputs = subject.inputs()
    return _compare(
        f"forward, {subject}, parts {' '.join(parts)}",
        plain,
        adapted,
        lambda model: model(**inputs),
        rounds,
        FORWARD_GOAL,
    )


def measure_block(size: Size, rounds: int) -> list[Figure]:
    """A temporal transformer with embeddings on both attentions, with value grids of 4 x 4 as by default, and full."""
    (channels,) = size.channels
    torch.manual_seed(0)
    plain = TransformerTemporalModel(channels // size.head_dim, size.head_dim, channels, norm_num_groups=size.groups)
    plain = plain.eval().requires_grad_(False)
    hidden_states = torch.randn(size.num_frames, channels, size.height, size.width)

    def run(block: nn.Module) -> object:
        return block(hidden_states, num_frames=size.num_frames)

    config = MotionEmbeddingConfig(num_frames=size.num_frames)
    figures = []
    for grid in ((4, 4), (size.height, size.width)):
        adapted = twin(plain)
        for attention in (adapted.transformer_blocks[0].attn1, adapted.transformer_blocks[0].attn2):
            layer, state = MotionEmbeddingLayer(Layout("rows", "nchw")), EmbeddingState(config)
            qk, v = torch.randn(size.num_frames, channels), torch.randn(*grid, size.num_frames, channels)
            layer.embeddings["motion"] = LayerEmbedding({"qk": 0.1 * qk, "v": 0.1 * v}, state)
            attach(attention, adapted, layer)
        name = f"temporal block, {size}, value grid {grid[0]} x {grid[1]}"
        figures += _compare(name, plain, adapted, run, rounds, BLOCK_GOAL)
    return figures


def _compare(
    name: str,
    plain: nn.Module,
    adapted: nn.Module,
    run: Callable[[nn.Module], object],
    rounds: int,
    goal: float,
) -> list[Figure]:
    again = twin(plain)
    with torch.no_grad():
        runs = {"with": lambda: run(adapted), "without": lambda: run(plain), "again": lambda: run(again)}
        seconds = alternate(runs, rounds, name)
    return [
        ratio(f"{name}, with over without", seconds["with"], seconds["without"], goal),
        ratio(f"{name}, without over without", seconds["again"], seconds["without"]),
    ]
