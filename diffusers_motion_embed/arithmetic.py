"""New embeddings from stored ones: a motion backwards, and motions one after the other.

Both calculate with what an embedding adds to the model, after its debiasing; docs/motion_arithmetic.md shows why, and
what else was tried. Weighted sums need no new embedding: `set_motion_embeddings` makes them as it loads.
"""

from dataclasses import replace

import torch
from torch import Tensor

from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import IncompatibleEmbeddingError
from diffusers_motion_embed.files import EmbeddingTensors
from diffusers_motion_embed.functional import VALUE_DEBIAS, concatenate


Embedding = tuple[MotionEmbeddingConfig, EmbeddingTensors]


def reverse_motion_embedding(config: MotionEmbeddingConfig, tensors: EmbeddingTensors) -> Embedding:
    """The same motion backwards.

    Args:
        config: As of `files.read_embedding`.
        tensors: By path and part; they are left as they are.

    Returns:
        Config and tensors, for `files.write_embedding`. They hold what is added, so their debiasing is "identity".
    """
    was_reversed = config.training.get("reversed", False)
    training = {**config.training, "reversed": not was_reversed}
    flipped = {
        path: {part: tensor.flip(-2) for part, tensor in parts.items()}
        for path, parts in _added(config, tensors).items()
    }
    return replace(config, debias="identity", training=training), flipped


def concatenate_motion_embeddings(embeddings: list[Embedding]) -> Embedding:
    """One motion after the other, for clips with as many frames as all of them together.

    Used at fewer frames, it is squeezed into them like any other embedding, and everything moves faster.

    Args:
        embeddings: Configs and tensors, as of `files.read_embedding`; they are left as they are.

    Returns:
        Config and tensors, for `files.write_embedding`. They hold what is added, so their debiasing is "identity".

    Raises:
        IncompatibleEmbeddingError: If they differ in model class, timing, layers, widths or value grids.
        ValueError: If there are none.
    """
    if not embeddings:
        raise ValueError("There are no embeddings to concatenate.")
    configs = [config for config, _ in embeddings]
    added = [_added(*embedding) for embedding in embeddings]
    for config, tensors in zip(configs[1:], added[1:], strict=True):
        _check_alike("model class", configs[0].model_class, config.model_class)
        _check_alike("timing", configs[0].timing, config.timing)
        _check_alike("layers, widths or value grids", _shapes(added[0]), _shapes(tensors))
    num_latent_frames = sum(config.num_latent_frames for config in configs)
    joined = {
        path: {
            part: concatenate([tensors[path][part] for tensors in added], [1.0] * len(added), num_latent_frames)
            for part in parts
        }
        for path, parts in added[0].items()
    }
    config = replace(
        configs[0],
        num_frames=sum(config.num_frames for config in configs),
        num_latent_frames=num_latent_frames,
        debias="identity",
        training={"combination": "cat", "embeddings": [config.training for config in configs]},
    )
    return config, joined


def _added(config: MotionEmbeddingConfig, tensors: EmbeddingTensors) -> EmbeddingTensors:
    """What the embedding adds to the inputs of the projections."""
    debias = VALUE_DEBIAS[config.debias] or torch.zeros_like

    def added(part: str, tensor: Tensor) -> Tensor:
        return debias(tensor) if part == "v" else tensor

    return {path: {part: added(part, tensor) for part, tensor in parts.items()} for path, parts in tensors.items()}


def _shapes(tensors: EmbeddingTensors) -> dict[tuple[str, str], tuple[int, ...]]:
    """Without the number of frames, in which embeddings may differ."""
    return {
        (path, part): (*tensor.shape[:-2], tensor.shape[-1])
        for path, parts in tensors.items()
        for part, tensor in parts.items()
    }


def _check_alike(what: str, first: object, other: object) -> None:
    if first != other:
        shown = "" if isinstance(first, dict) else f": {first} and {other}"
        raise IncompatibleEmbeddingError(f"Embeddings to concatenate must not differ in {what}{shown}.")
