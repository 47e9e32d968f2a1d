"""Which layers of a model an embedding is for, and the shapes of its parts there."""

import copy
import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from peft.tuners.tuners_utils import check_target_module_exists
from torch import nn

from diffusers_motion_embed.adapter.attachment import embed_dim
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.config import LAYER_PARTS, MotionEmbeddingConfig
from diffusers_motion_embed.errors import IncompatibleEmbeddingError, TargetModulesError
from diffusers_motion_embed.functional import PATH_WIDTH
from diffusers_motion_embed.storage.embedding import Embedding, EmbeddingTensors
from diffusers_motion_embed.storage.files import MAX_NUMBERS


@dataclass(frozen=True)
class EmbeddingShape:
    """Sizes of the parts of one layer, or of the position part.

    Args:
        num_frames: Number of frames.
        channels: Number of channels; 3 for the position part.
        grid: Height and width of the parts that have positions.
        parts: Names of the parts.
    """

    num_frames: int
    channels: int
    grid: tuple[int, int]
    parts: tuple[str, ...] = LAYER_PARTS

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes by part: "qk" (f, c), the others (h, w, f, c)."""
        vector = (self.num_frames, self.channels)
        return {part: vector if part == "qk" else (*self.grid, *vector) for part in self.parts}


def select_layers(model: nn.Module, config: MotionEmbeddingConfig) -> list[str]:
    """Paths of the attention layers that `config` asks for, in the model's order, and of the position part.

    Raises:
        UnsupportedModelError: If the model's class has no table entry.
        TargetModulesError: If `config` asks for none of the layers that mix frames, or for a position part in a model
            without rotary positions.
    """
    positions = _position_paths(model, config)
    if not config.layer_parts:
        if config.target_modules not in (None, positions):
            raise TargetModulesError(
                f"target_modules={config.target_modules!r} names layers, and parts={config.parts} has nothing for "
                'them. Leave target_modules out, or add "qk" or "v".'
            )
        return positions
    architecture = find_architecture(model)
    paths = architecture.attention_paths(model)
    wanted = copy.copy(config)
    if wanted.target_modules is None:
        widths = [embed_dim(model.get_submodule(path)) for path in paths]
        wanted.target_modules = architecture.default_targets(paths, widths)
    chosen = [path for path in paths if check_target_module_exists(wanted, path)]
    names = config.target_modules if isinstance(config.target_modules, list) else []
    found = [*paths, *positions]
    without_match = [name for name in names if not any(f".{path}".endswith(f".{name}") for path in found)]
    if without_match or not chosen:
        raise TargetModulesError(
            f"target_modules={without_match or config.target_modules!r} with "
            f"exclude_modules={config.exclude_modules!r} matches none of the {len(paths)} layers of "
            f"{type(model).__name__} that mix frames. They are: {', '.join(paths)}."
        )
    return [*positions, *chosen]


def _position_paths(model: nn.Module, config: MotionEmbeddingConfig) -> list[str]:
    """The path of the position part, if `config` asks for one."""
    rotary = find_architecture(model).find_rotary(model)
    if "p" not in config.parts:
        return []
    if isinstance(rotary, str):
        raise TargetModulesError(
            f'{type(model).__name__} takes no position part: {rotary}. Leave "p" out of parts={config.parts}.'
        )
    return [rotary.path]


def embedding_shapes(model: ModelMixin, config: MotionEmbeddingConfig, paths: list[str]) -> dict[str, EmbeddingShape]:
    """The shapes of a new embedding of `paths`.

    A value grid finer than a layer's own would hold numbers that are only ever averaged, so it is cut to the layer's.

    Raises:
        ValueError: If the config lacks the size of a clip where it is needed, or the embedding would be too large.
    """
    wanted, frames = config.value_grid or find_architecture(model).value_grid, config.num_latent_frames
    own = {} if wanted == (1, 1) or "v" not in config.parts else layer_grids(model, config)

    def shape(path: str) -> EmbeddingShape:
        if path == find_architecture(model).rotary_path:
            return EmbeddingShape(frames, PATH_WIDTH, config.position_grid, ("p",))
        channels, grid = embed_dim(model.get_submodule(path)), own.get(path, (1, 1))
        if not isinstance(wanted, str):
            grid = min(wanted[0], grid[0]), min(wanted[1], grid[1])
        return EmbeddingShape(frames, channels, grid, config.layer_parts)

    shapes = {path: shape(path) for path in paths}
    size = sum(math.prod(size) for shape in shapes.values() for size in shape.tensor_shapes().values())
    if size > MAX_NUMBERS:
        raise ValueError(
            f"value_grid={config.value_grid!r} on {len(paths)} layers makes an embedding of {size / 1e6:.0f} million "
            f"numbers, {size * 4 / 2**30:.1f} GiB; at most {MAX_NUMBERS / 1e6:.0f} million are accepted. Use a "
            "coarser value_grid, for instance (1, 1), which is one vector per frame."
        )
    return shapes


def stored_shapes(tensors: EmbeddingTensors) -> dict[str, EmbeddingShape]:
    """The shapes of an existing embedding."""
    shapes = {}
    for path, parts in tensors.items():
        num_frames, channels = next(iter(parts.values())).shape[-2:]
        height, width = next((tensor.shape[:2] for tensor in parts.values() if tensor.ndim == 4), (1, 1))
        shapes[path] = EmbeddingShape(num_frames, channels, (height, width), tuple(parts))
    return shapes


def layer_grids(model: ModelMixin, config: MotionEmbeddingConfig) -> dict[str, tuple[int, int]]:
    """Height and width, in positions, of each layer that mixes frames, at the clip size of `config`.

    Layers that see several sizes are measured by a forward pass without numbers (torch's meta device) through a
    weightless twin of the model. Nothing about up- and downsampling has to be known here.
    """
    architecture = find_architecture(model)
    height, width = latent_size(model, config)
    if not architecture.has_levels:
        _, patch_height, patch_width = architecture.layout(model).patch_size
        return dict.fromkeys(architecture.attention_paths(model), (height // patch_height, width // patch_width))
    model_class: Any = type(model)  # which mypy takes for one that cannot be hashed
    return dict(_measured_grids(model_class, model.to_json_string(), config.num_latent_frames, height, width))


@functools.lru_cache(maxsize=32)  # a pass takes a second, and the same model is asked again and again
def _measured_grids(
    model_class: Any, settings: str, num_latent_frames: int, height: int, width: int
) -> dict[str, tuple[int, int]]:
    """The grids of a model of this class and these settings, as JSON."""
    with torch.device("meta"):  # some tensors ignore this
        twin = model_class.from_config(json.loads(settings)).eval().to("meta")
    architecture = find_architecture(twin)
    layout = architecture.layout(twin)
    grids: dict[str, tuple[int, int]] = {}

    def note_grid(size_path: str) -> Callable[[nn.Module, tuple, dict], None]:
        def hook(module: nn.Module, args: tuple, kwargs: dict) -> None:
            size = layout.video_size(args, kwargs)
            grids[size_path] = (size.height, size.width)

        return hook

    paths = architecture.attention_paths(twin)
    for size_path in {architecture.size_module(path) for path in paths}:
        twin.get_submodule(size_path).register_forward_pre_hook(note_grid(size_path), with_kwargs=True)
    with torch.no_grad():
        twin(**architecture.dry_run_inputs(twin, num_latent_frames, height, width))
    return {path: grids[architecture.size_module(path)] for path in paths}


def latent_size(model: ModelMixin, config: MotionEmbeddingConfig) -> tuple[int, int]:
    """Height and width of the model's input: from the config, or else the model's own sample size.

    Raises:
        ValueError: If neither has one.
    """
    sample_size = getattr(model.config, "sample_size", None)
    height, width = sample_size if isinstance(sample_size, (list, tuple)) else (sample_size, sample_size)
    height, width = config.latent_height or height, config.latent_width or width
    if height is None or width is None:
        raise ValueError(
            f"latent_height and latent_width are needed for value_grid={config.value_grid!r}: a "
            f"{type(model).__name__} has no size of its own. Or use value_grid=(1, 1)."
        )
    return height, width


def check_fits(model: nn.Module, embedding: Embedding) -> None:
    """Check that the model has every layer of the embedding, at the embedding's width, and positions to move.

    Raises:
        IncompatibleEmbeddingError: If it does not.
    """
    config, tensors = embedding
    architecture = find_architecture(model)
    if config.model_class not in (None, architecture.model_class):
        raise IncompatibleEmbeddingError(
            f"The motion embedding belongs to a {config.model_class}, and the pipeline's model is a "
            f"{type(model).__name__}. Load it on a pipeline with {config.base_model_name_or_path or 'its own model'}."
        )
    rotary = architecture.find_rotary(model)
    if "p" in config.parts and isinstance(rotary, str):
        raise IncompatibleEmbeddingError(
            f"The motion embedding has a position part, and {type(model).__name__} takes none: {rotary}."
        )
    paths = {*architecture.attention_paths(model), *([] if isinstance(rotary, str) else [rotary.path])}
    unknown = [path for path in tensors if path not in paths]
    if unknown:
        raise IncompatibleEmbeddingError(
            f"The motion embedding has {len(unknown)} of {len(tensors)} layers that this {type(model).__name__} "
            f"lacks, for instance {unknown[0]}. It was trained on "
            f"{config.base_model_name_or_path or 'another base model'}."
        )
    for path, parts in tensors.items():
        expected = PATH_WIDTH if path == architecture.rotary_path else embed_dim(model.get_submodule(path))
        for part, tensor in parts.items():
            if tensor.shape[-1] != expected:
                raise IncompatibleEmbeddingError(
                    f"The {part} part of {path} is {tensor.shape[-1]} channels wide, and the model has {expected}. "
                    f"It was trained on {config.base_model_name_or_path or 'another base model'}."
                )
