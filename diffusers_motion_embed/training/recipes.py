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
    config: TrainingConfig | None,
    embedding_config: MotionEmbeddingConfig | None,
    motion: Motion = "object",
) -> tuple[TrainingConfig, MotionEmbeddingConfig]:
    """The settings that are given, or those of the model's own recipe for what moves.

    Raises:
        ValueError: If `motion` is unknown, or asks for the recipe for cameras beside settings that would replace it.
    """
    if motion == "camera" and (config is not None or embedding_config is not None):
        raise ValueError(
            'motion="camera" chooses a recipe, which config and embedding_config replace. Leave motion out, and make '
            'both from the recipe: RECIPES[default_recipe(model, "camera")] has its training and embedding settings.'
        )
    recipe = RECIPES[default_recipe(model, motion)]
    embedding_config = embedding_config or MotionEmbeddingConfig(**recipe.embedding)
    return config or TrainingConfig(**for_parts(recipe.training, embedding_config.parts)), embedding_config


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
