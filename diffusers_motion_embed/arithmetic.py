"""New embeddings from stored ones: a motion backwards, and motions one after the other.

Both calculate with what an embedding adds to the model, after its debiasing; docs/motion_arithmetic.md shows why, and
what else was tried. Weighted sums need no new embedding: `set_motion_embeddings` adds up what is loaded.
"""

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from torch import Tensor

from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import IncompatibleEmbeddingError
from diffusers_motion_embed.functional import concatenate, debiased
from diffusers_motion_embed.storage.embedding import Embedding, EmbeddingTensors
from diffusers_motion_embed.storage.files import read_embedding, write_embedding
from diffusers_motion_embed.storage.hub import HubArguments, fetch_embedding


def reverse_motion_embedding(
    source: str | Path, save_directory: str | Path, **hub_arguments: Unpack[HubArguments]
) -> Path:
    """Save the same motion backwards, as an embedding of its own.

    Args:
        source: Folder of an embedding, path of its safetensors file, or id of its repository on the Hub.
        save_directory: Folder to write; an embedding that is there already is replaced.
        **hub_arguments: Where exactly it is, as in `load_motion_embedding`.

    Returns:
        The folder, for `load_motion_embedding`. Its debiasing is "identity", because it holds what is added.

    Raises:
        EmbeddingNotFoundError: If there is no such folder, repository, revision or file.
        EmbeddingAccessError: If the Hub refuses it.
        EmbeddingDownloadError: If the Hub cannot be reached.
        EmbeddingFileError: If it is no sound motion embedding.
    """
    embedding = read_embedding(fetch_embedding(source, **hub_arguments))
    return write_embedding(save_directory, reversed_embedding(embedding))


def concatenate_motion_embeddings(
    sources: list[str | Path], save_directory: str | Path, **hub_arguments: Unpack[HubArguments]
) -> Path:
    """Save motions one after the other, as one embedding for clips with as many frames as all of them together.

    Used at fewer frames, it is squeezed into them like any other embedding: everything has to move faster.

    Args:
        sources: Each as in `reverse_motion_embedding`.
        save_directory: Folder to write; an embedding that is there already is replaced.
        **hub_arguments: Of all sources, as in `load_motion_embedding`.

    Returns:
        The folder, for `load_motion_embedding`. Its debiasing is "identity", because it holds what is added.

    Raises:
        EmbeddingNotFoundError: If there is no such folder, repository, revision or file.
        EmbeddingAccessError: If the Hub refuses one.
        EmbeddingDownloadError: If the Hub cannot be reached.
        EmbeddingFileError: If one is no sound motion embedding.
        IncompatibleEmbeddingError: If they differ in model class, timing, layers, widths or value grids.
        ValueError: If there are none.
    """
    embeddings = [read_embedding(fetch_embedding(source, **hub_arguments)) for source in sources]
    return write_embedding(save_directory, concatenated_embedding(embeddings))


def reversed_embedding(embedding: Embedding) -> Embedding:
    """As `reverse_motion_embedding`, in memory; the embedding is left as it is."""
    config, tensors = embedding
    was_reversed = config.training.get("reversed", False)
    training = {**config.training, "reversed": not was_reversed}
    flipped = {
        path: {part: tensor.flip(-2) for part, tensor in parts.items()}
        for path, parts in _added(config, tensors).items()
    }
    return Embedding(replace(config, debias="identity", training=training), flipped)


def concatenated_embedding(embeddings: list[Embedding]) -> Embedding:
    """As `concatenate_motion_embeddings`, in memory; the embeddings are left as they are.

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
    return Embedding(config, joined)


def _added(config: MotionEmbeddingConfig, tensors: EmbeddingTensors) -> EmbeddingTensors:
    """What the embedding adds to the inputs of the projections."""

    def added(part: str, tensor: Tensor) -> Tensor:
        return debiased(tensor, config.debias) if part == "v" else tensor

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
