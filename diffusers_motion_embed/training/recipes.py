"""Training recipes by name, and which one a model gets by default."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from torch import nn

from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.training.config import TrainingConfig


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


# What all frames share is look, not motion: it is left out of the loss, the query-key part and the value part.
_CENTERED = {"loss": "centered", "center_qk": True}
# Where all tokens attend to each other, how bright the reference is would be learned instead of its motion.
_FULL_ATTENTION = {"color_negative": True, "timestep_sampling": (0.65, 1.0)}

RECIPES = {
    # it acts at lower noise levels than it is trained at, since slow motions waver without it
    "default": Recipe({**_CENTERED, "v_learning_rate": 0.12}, {"timing": (0.0, 0.8)}),
    # where positions are rotary: places move nothing, but have time run at half its pace
    "rotary": Recipe(
        {**_CENTERED, **_FULL_ATTENTION, "learning_rate": 0.03, "p_learning_rate": 0.0},
        {"parts": ("qk", "v", "p"), "value_grid": (3, 3), "debias": "centered", "timing": (0.0, 0.6)},
    ),
    "full_attention": Recipe(
        {**_CENTERED, **_FULL_ATTENTION, "learning_rate": 0.05},
        {"value_grid": (3, 3), "debias": "centered", "timing": (0.0, 0.6)},
    ),
    # what moves a whole picture: the mean of a zoom over all frames is motion too
    "camera": Recipe(embedding={"timing": (0.0, 0.8)}),
    # where positions are rotary: places go where the camera takes them, from the first step on, and one vector for
    # each frame says what else is the same all over it
    "tracked_camera": Recipe(
        {**_FULL_ATTENTION, "learning_rate": 0.3, "center_qk": True, "tracked_start": True},
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
    """A recipe's options of training or settings of an embedding, without those of other parts.

    A position part that is alone is learned, whatever the recipe says of one beside others.
    """
    other = {name for part, names in OF_PARTS.items() if part not in parts for name in names}
    if set(parts) == {"p"} and options.get("p_learning_rate") == 0:
        other.add("p_learning_rate")
    return {name: value for name, value in options.items() if name not in other}


def default_recipe(model: nn.Module, motion: Motion = "object") -> str:
    """Name of the recipe that a model is trained by if nothing else is asked for: what the table says of its class.

    A model whose class has rotary positions only by one of its settings, and which has none, gets "full_attention".

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
    if motion == "camera":
        return "tracked_camera" if takes_positions else "camera"
    return "full_attention" if architecture.recipe == "rotary" and not takes_positions else architecture.recipe
