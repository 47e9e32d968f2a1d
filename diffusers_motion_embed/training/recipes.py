"""Training recipes by name, and which one a model gets by default."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from torch import nn

from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.training.config import TrainingConfig


logger = logging.getLogger(__name__)

Motion = Literal["object", "camera"]  # what moves in a clip
# Whole settings, or those that differ from a recipe's, by name.
Options = TrainingConfig | Mapping[str, Any]
EmbeddingOptions = MotionEmbeddingConfig | Mapping[str, Any]
CAMERA_GRID = (4, 4)  # of positions, on which a camera can pan, zoom and roll


@dataclass(frozen=True)
class Recipe:
    """What differs from the defaults.

    Args:
        training: Options of `TrainingConfig`.
        embedding: Settings of `MotionEmbeddingConfig`.
    """

    training: dict[str, Any] = field(default_factory=dict)
    embedding: dict[str, Any] = field(default_factory=dict)


# Where positions are rotary: places say where things go, so nothing has to be said of what is there.
_BY_PLACES = {"learning_rate": 0.3, "color_negative": True, "center_qk": True, "timestep_sampling": (0.65, 1.0)}

RECIPES = {
    # it acts at lower noise levels than it is trained at, since slow motions waver without it
    "default": Recipe(embedding={"timing": (0.0, 0.8)}),
    # more of the prompt's look for a little of the motion: the part that learns of the reference's look learns less
    "gentle": Recipe({"v_learning_rate": 0.12}, {"timing": (0.0, 0.8)}),
    # where all tokens attend to each other: there, how bright the reference is would be learned instead of its motion
    "full_attention": Recipe(
        {"learning_rate": 0.15, "color_negative": True}, {"value_grid": (3, 3), "timing": (0.0, 0.4)}
    ),
    "position": Recipe(_BY_PLACES, {"parts": ("qk", "p"), "timing": (0.0, 0.6)}),
    # the same for what moves a whole picture: places go where a camera takes them, from the first step on, and one
    # vector for each frame says what else is the same all over it
    "camera": Recipe(
        {**_BY_PLACES, "tracked_start": True},
        {"parts": ("qk", "v", "p"), "value_grid": (1, 1), "position_grid": CAMERA_GRID, "timing": (0.0, 0.6)},
    ),
    # arXiv 2403.20193 and its code: all noise levels, the value part as it is and of full grids, acting always
    "paper": Recipe(
        {
            "max_train_steps": 400,
            "learning_rate": 0.02,
            "weight_decay": 0.01,
            "lr_scheduler": "constant",
            "timestep_sampling": "uniform",
            "antithetic_noise": False,
            "debias_in_training": False,
            "gradient_accumulation_steps": 1,
        },
        {"value_grid": "full", "timing": (0.0, 1.0)},
    ),
}

# Options and settings that say nothing to an embedding without that part.
OF_PARTS = {
    "qk": ("qk_learning_rate", "center_qk"),
    "v": ("v_learning_rate", "value_grid", "debias", "debias_in_training"),
    "p": ("p_learning_rate", "position_grid", "tracked_start"),
}


def settings_for(
    model: nn.Module,
    config: Options | None,
    embedding_config: EmbeddingOptions | None,
    motion: Motion = "object",
) -> tuple[TrainingConfig, MotionEmbeddingConfig]:
    """The settings that are given, and those of the model's own recipe for what moves where nothing is said.

    Args:
        model: A model that takes motion embeddings.
        config: Options of training, whole or what differs from the recipe.
        embedding_config: Settings of the embedding, whole or what differs from the recipe.
        motion: What moves in the clip.

    Raises:
        ValueError: If `motion` is unknown, or asks for the recipe for cameras beside settings that would replace it.
        TypeError: If there is no option or setting of a name.
    """
    given = {"config": config, "embedding_config": embedding_config}
    whole = [name for name, each in given.items() if not (each is None or isinstance(each, Mapping))]
    if motion == "camera" and whole:
        raise ValueError(
            f'motion="camera" chooses a recipe, which {" and ".join(whole)} would replace. Give what differs from the '
            'recipe as a dictionary, such as {"max_train_steps": 200}, or leave motion out.'
        )
    recipe = RECIPES[default_recipe(model, motion)]
    if not isinstance(embedding_config, MotionEmbeddingConfig):
        changed = embedding_config or {}
        parts = changed.get("parts", recipe.embedding.get("parts", MotionEmbeddingConfig.parts))
        embedding_config = MotionEmbeddingConfig(**{**for_parts(recipe.embedding, parts), **changed})
    on_a_grid = "p" in embedding_config.parts and embedding_config.position_grid != MotionEmbeddingConfig.position_grid
    if motion == "camera" and "position_grid" in recipe.embedding and not on_a_grid:
        raise ValueError(
            'motion="camera" moves places on a grid. Leave parts and position_grid out of embedding_config, or motion.'
        )
    if not isinstance(config, TrainingConfig):
        config = TrainingConfig(**{**for_parts(recipe.training, embedding_config.parts), **(config or {})})
    return config, embedding_config


def component_of(embedding_config: EmbeddingOptions | None) -> str | None:
    """Which model of a pipeline the settings ask for; None if they do not say."""
    if isinstance(embedding_config, MotionEmbeddingConfig):
        return embedding_config.component
    return (embedding_config or {}).get("component")


def for_parts(options: Mapping[str, Any], parts: Collection[str]) -> dict[str, Any]:
    """A recipe's options of training or settings of an embedding, without those of other parts."""
    other = {name for part, names in OF_PARTS.items() if part not in parts for name in names}
    return {name: value for name, value in options.items() if name not in other}


def default_recipe(model: nn.Module, motion: Motion = "object") -> str:
    """Name of the recipe that a model is trained by if nothing else is asked for: what the table says of its class.

    A model whose class has rotary positions only by one of its settings, and which has none, gets "full_attention".
    Models with rotary positions have a recipe of their own for cameras; of others, a warning says that they have none.

    Args:
        model: A model that takes motion embeddings.
        motion: What moves in the clip.

    Raises:
        UnsupportedModelError: If its class has no table entry.
        ValueError: If `motion` is unknown.
    """
    if motion not in get_args(Motion):
        raise ValueError(f"motion must be one of {', '.join(get_args(Motion))}; got {motion!r}.")
    architecture = find_architecture(model)
    takes_positions = not isinstance(architecture.find_rotary(model), str)
    if motion == "camera" and takes_positions:
        return "camera"
    name = "full_attention" if architecture.recipe == "position" and not takes_positions else architecture.recipe
    if motion == "camera":
        logger.warning("%s has one recipe, %r, for objects and cameras alike.", type(model).__name__, name)
    return name
