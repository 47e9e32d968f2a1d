"""What the compact form of the file costs: the same embedding stored whole and in it, used on the same noise.

Factors of low rank are there for comparison: in float16, and as many as fit into 3 bits for each number.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.fidelity.learned import Prepare
from benchmarks.peers.motion_embedding import NAME
from benchmarks.peers.training import denoiser
from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.registry import embedding_tensors, registry_of
from diffusers_motion_embed.functional import debiased
from diffusers_motion_embed.storage.embedding import Embedding, EmbeddingTensors
from diffusers_motion_embed.storage.files import WEIGHTS_NAME, read_embedding, write_embedding


def stored(max_error: float | None) -> Prepare:
    """Uses the embedding as its file says it, with the file's size and error as figures.

    Args:
        max_error: The bound of the compact form; None stores it whole.
    """

    def prepare(pipe: Any) -> Mapping[str, float]:
        _, model = denoiser(pipe)
        embedding = Embedding(registry_of(model).loaded[NAME].config, embedding_tensors(model, NAME))
        with tempfile.TemporaryDirectory() as folder:
            whole, form = Path(folder, "whole"), Path(folder, "form")
            write_embedding(whole, embedding)
            write_embedding(form, embedding, max_error=max_error)
            share = Path(form, WEIGHTS_NAME).stat().st_size / Path(whole, WEIGHTS_NAME).stat().st_size
            pipe.load_motion_embedding(form, f"stored within {max_error}")
            config, tensors = read_embedding(whole)
            error = relative_error(config, tensors, read_embedding(form)[1])
        return {"file_share": share, "value_error": error, "low_rank_error": low_rank_error(config, tensors)}

    return prepare


def relative_error(config: MotionEmbeddingConfig, whole: EmbeddingTensors, compact: EmbeddingTensors) -> float:
    """Norm of the error of all debiased value parts, as a share of theirs."""

    def size(values: list[Tensor]) -> Tensor:
        return sum(debiased(value, config.debias).square().sum() for value in values).sqrt()

    error = size([compact[path]["v"] - parts["v"] for path, parts in whole.items()])
    return float(error / size([parts["v"] for parts in whole.values()]))


def low_rank_error(config: MotionEmbeddingConfig, whole: EmbeddingTensors) -> float:
    """As `relative_error`, of the best factors (positions and frames, channels), 3 bits for each number."""
    lost, total = 0.0, 0.0
    for parts in whole.values():
        matrix = debiased(parts["v"], config.debias).flatten(0, 2)
        rank = int(3 * matrix.numel() / (16 * sum(matrix.shape)))
        energies = torch.linalg.svdvals(matrix).square()
        lost, total = lost + float(energies[rank:].sum()), total + float(energies.sum())
    return (lost / total) ** 0.5
