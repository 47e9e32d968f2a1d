"""New embeddings from stored ones: a motion reversed, and motions one after the other.

All functions compute with what an embedding adds to the model after debiasing. docs/motion_arithmetic.md shows why,
and what else was tried. Position parts are paths, which are added, reversed and joined as such. Weighted sums need no
new embedding: `set_motion_embeddings` adds up what is loaded.
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Unpack

from torch import Tensor

from diffusers_motion_embed.architectures import ARCHITECTURES
from diffusers_motion_embed.config import MotionEmbeddingConfig, ValueGrid
from diffusers_motion_embed.errors import IncompatibleEmbeddingError
from diffusers_motion_embed.functional import (
    combine,
    combine_paths,
    concatenate,
    concatenate_paths,
    debiased,
    resample_grid,
    reverse_path,
)
from diffusers_motion_embed.storage.embedding import Embedding, EmbeddingTensors
from diffusers_motion_embed.storage.files import read_embedding, write_embedding
from diffusers_motion_embed.storage.hub import HubArguments, fetch_embedding


# Models with VAEs that keep no first frame alone.
WHOLE_GROUPS = {entry.model_class for entry in ARCHITECTURES if not entry.first_frame_alone}

CombinationType = Literal["linear", "cat"]
Combine = Callable[[list[Tensor], list[float], int], Tensor]

# How each type combines the parts of layers, position parts, and lengths.
COMBINATIONS: dict[str, tuple[Combine, Combine, Callable[[Iterable[int]], int]]] = {
    "linear": (combine, combine_paths, max),
    "cat": (concatenate, concatenate_paths, sum),
}


def reverse_motion_embedding(
    source: str | Path, save_directory: str | Path, **hub_arguments: Unpack[HubArguments]
) -> Path:
    """Save the reversed motion as a new embedding.

    Args:
        source: Folder of an embedding, path of its safetensors file, or id of its repository on the Hub.
        save_directory: Folder to write; an embedding that is there already is replaced.
        **hub_arguments: Further location of the embedding, as in `load_motion_embedding`.

    Returns:
        The folder, for `load_motion_embedding`. Its debiasing is "identity", because it holds what is added.

    Raises:
        EmbeddingNotFoundError: If there is no such folder, repository, revision or file.
        EmbeddingAccessError: If the Hub refuses it.
        EmbeddingDownloadError: If the Hub cannot be reached.
        EmbeddingFileError: If it is not a sound motion embedding.
    """
    embedding = read_embedding(fetch_embedding(source, **hub_arguments))
    return write_embedding(save_directory, reversed_embedding(embedding))


def concatenate_motion_embeddings(
    sources: list[str | Path], save_directory: str | Path, **hub_arguments: Unpack[HubArguments]
) -> Path:
    """Save motions one after the other, as one embedding for clips with as many frames as all of them together.

    At fewer frames, it is compressed in time like any other embedding, and everything moves faster.

    Sizes, base model, component and settings of generation are the first one's, and so are settings that this version
    does not know. Its settings of training are a list of all.

    Args:
        sources: Each as in `reverse_motion_embedding`.
        save_directory: Folder to write; an embedding that is there already is replaced.
        **hub_arguments: The same for all sources, as in `load_motion_embedding`.

    Returns:
        The folder, for `load_motion_embedding`. Its debiasing is "identity", because it holds what is added.

    Raises:
        MotionEmbeddingError: If one cannot be read. The kinds are those of `reverse_motion_embedding`.
        IncompatibleEmbeddingError: If model class, timing, frame policy, layers, parts, widths or grids differ.
        ValueError: If `sources` is empty, or is one path instead of a list.
    """
    if isinstance(sources, str | Path):
        raise ValueError(f"sources must be a list of embeddings, got {str(sources)!r} alone.")
    embeddings = [read_embedding(fetch_embedding(source, **hub_arguments)) for source in sources]
    return write_embedding(save_directory, concatenated_embedding(embeddings))


def reversed_embedding(embedding: Embedding) -> Embedding:
    """`reverse_motion_embedding` in memory. The embedding itself does not change."""
    config = embedding.config
    training = {**config.training, "reversed": not config.training.get("reversed", False)}
    flipped = {
        path: {part: reverse_path(tensor) if part == "p" else tensor.flip(-2) for part, tensor in parts.items()}
        for path, parts in _added(embedding).items()
    }
    return Embedding(config.changed(debias="identity", training=training), flipped)


def concatenated_embedding(embeddings: list[Embedding]) -> Embedding:
    """`concatenate_motion_embeddings` in memory. The embeddings themselves do not change.

    Raises:
        IncompatibleEmbeddingError: If model class, timing, frame policy, layers, parts, widths or grids differ.
        ValueError: If `embeddings` is empty.
    """
    for embedding in embeddings[1:]:
        _check_settings(embeddings[0].config, embedding.config)  # first: they explain why layers differ
        _check_layers(embeddings[0].tensors, embedding.tensors)
    joined = combined_embedding(embeddings, [1.0] * len(embeddings), "cat")
    training = {"combination": "cat", "embeddings": [embedding.config.training for embedding in embeddings]}
    return Embedding(joined.config.changed(training=training), joined.tensors)


def combined_embedding(
    embeddings: list[Embedding], weights: list[float], combination_type: CombinationType = "linear"
) -> Embedding:
    """One embedding that adds what several add, each debiased at its own length, as in a pipeline.

    Missing layers and parts count as zeros, but a missing path has no say in time. Value grids are stretched to the
    finest.

    All other settings are the first one's: sizes, base model, component, those of generation and training, and those
    that this version does not know.

    Args:
        embeddings: The embeddings to combine; they do not change.
        weights: One for each.
        combination_type: "linear" is the weighted sum: all motions at once, with shorter ones stretched to the
            longest. Weights that sum to one give something between the motions. "cat" puts them one after the other in
            time.

    Returns:
        The combined embedding. Its debiasing is "identity", because it holds what is added.

    Raises:
        IncompatibleEmbeddingError: If they differ in model class, timing, frame policy, or the width of a layer.
        ValueError: If there are no embeddings, not one finite weight for each, or no such `combination_type`.
    """
    if combination_type not in COMBINATIONS:
        raise ValueError(f'combination_type must be "linear" or "cat", got {combination_type!r}.')
    if not embeddings:
        raise ValueError("There are no embeddings to combine.")
    if len(weights) != len(embeddings) or not all(map(math.isfinite, weights)):
        raise ValueError(f"A finite weight is needed for each of {len(embeddings)} embeddings, got {weights}.")
    configs = [embedding.config for embedding in embeddings]
    for config in configs[1:]:
        _check_settings(configs[0], config)
    added, lengths = [_added(embedding) for embedding in embeddings], [config.num_latent_frames for config in configs]
    function, function_of_paths, total = COMBINATIONS[combination_type]
    num_latent_frames = total(lengths)
    paths = list(dict.fromkeys(path for tensors in added for path in tensors))
    config = configs[0].changed(
        num_frames=_frames_shown(num_latent_frames, max(configs, key=lambda config: config.num_latent_frames)),
        num_latent_frames=num_latent_frames,
        value_grid=_finest([config.value_grid for config in configs]),
        position_grid=_finest([config.position_grid for config in configs]),
        parts=tuple({part for config in configs for part in config.parts}),
        target_modules=paths,
        debias="identity",
    )
    config.source = None  # whence numbers would be read that are not those of the sum
    combined = {
        path: {
            part: (function_of_paths if part == "p" else function)(pieces, its_weights, num_latent_frames)
            for part, (pieces, its_weights) in _pieces(
                path, config, added, lengths, weights, fill=combination_type == "cat"
            ).items()
        }
        for path in paths
    }
    return Embedding(config, combined)


def _frames_shown(num_latent_frames: int, like: MotionEmbeddingConfig) -> int:
    """How many frames so many latent frames show, if they show as many each as those of another embedding."""
    rest, groups = like.num_frames - 1, like.num_latent_frames - 1
    if groups and rest % groups == 0 and like.model_class not in WHOLE_GROUPS:
        return 1 + rest // groups * (num_latent_frames - 1)
    return round(like.num_frames / like.num_latent_frames * num_latent_frames)


def _added(embedding: Embedding) -> EmbeddingTensors:
    """What the embedding adds to the inputs of the projections."""
    debias = embedding.config.debias

    def added(part: str, tensor: Tensor) -> Tensor:
        return debiased(tensor, debias) if part == "v" else tensor

    return {
        path: {part: added(part, tensor) for part, tensor in parts.items()}
        for path, parts in embedding.tensors.items()
    }


def _pieces(
    path: str,
    config: MotionEmbeddingConfig,
    added: list[EmbeddingTensors],
    lengths: list[int],
    weights: list[float],
    *,
    fill: bool,
) -> dict[str, tuple[list[Tensor], list[float]]]:
    """The parts that embeddings have at one layer, all on one grid, and their weights.

    An embedding without a part has zeros there with `fill`, or where no other has it either. Otherwise it is left out:
    to a path of zeros, time would run at its full pace, and that would have a weight in the sum.
    """
    here = [tensors.get(path, {}) for tensors in added]
    present = [tensor for parts_here in here for tensor in parts_here.values()]
    widths = sorted({tensor.shape[-1] for tensor in present})
    if len(widths) > 1:
        raise IncompatibleEmbeddingError(f"Embeddings to combine must not differ in the width of {path}: {widths}.")
    height, width = map(max, zip((1, 1), *(tensor.shape[:2] for tensor in present if tensor.ndim == 4), strict=True))

    def piece(part: str, tensor: Tensor | None, num_frames: int) -> Tensor:
        if tensor is None:
            return present[0].new_zeros(*(() if part == "qk" else (height, width)), num_frames, *widths)
        return tensor if part == "qk" else resample_grid(tensor, (height, width))

    def pieces_of(part: str) -> tuple[list[Tensor], list[float]]:
        fills = fill or not any(part in parts for parts in here)
        chosen = [number for number, parts in enumerate(here) if fills or part in parts]
        pieces = [piece(part, here[number].get(part), lengths[number]) for number in chosen]
        return pieces, [weights[number] for number in chosen]

    parts = ("p",) if any("p" in parts_here for parts_here in here) else config.layer_parts
    return {part: pieces_of(part) for part in parts}


def _finest(grids: list[ValueGrid]) -> Any:
    """The `value_grid` or `position_grid` setting of grids that are stretched to the finest."""
    if all(grid == grids[0] for grid in grids):
        return grids[0]
    known = [grid for grid in grids if isinstance(grid, tuple)]
    if len(known) < len(grids):
        return "full"
    height, width = map(max, zip(*known, strict=True))
    return height, width


def _check_settings(first: MotionEmbeddingConfig, other: MotionEmbeddingConfig) -> None:
    for name in ("model_class", "timing", "frame_policy"):
        _check_alike(name.replace("_", " "), getattr(first, name), getattr(other, name))


def _check_layers(first: EmbeddingTensors, other: EmbeddingTensors) -> None:
    """Numbers of frames may differ, and nothing else."""
    if different := sorted(first.keys() ^ other.keys()):
        raise IncompatibleEmbeddingError(
            f"Embeddings to combine must not differ in layers: only one of them has {different[0]}."
        )
    for path in first:
        _check_alike(f"the parts of {path}", sorted(first[path]), sorted(other[path]))
        for part, tensor in first[path].items():
            _check_alike(f"the width of {path}", tensor.shape[-1], other[path][part].shape[-1])
            grids = (tuple(each.shape[:-2]) for each in (tensor, other[path][part]))
            _check_alike(f"the {'position' if part == 'p' else 'value'} grid of {path}", *grids)


def _check_alike(what: str, first: object, other: object) -> None:
    if first != other:
        raise IncompatibleEmbeddingError(f"Embeddings to combine must not differ in {what}: {first} and {other}.")
