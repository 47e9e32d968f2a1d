"""Training recipes by name."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """What differs from the defaults.

    Args:
        training: Options of `TrainingConfig`.
        embedding: Settings of `MotionEmbeddingConfig`.
    """

    training: dict[str, Any] = field(default_factory=dict)
    embedding: dict[str, Any] = field(default_factory=dict)


RECIPES = {
    "default": Recipe(),
    # more of the prompt's look for a little of the motion: it learns more slowly, and less of outlines
    "gentle": Recipe({"learning_rate": 0.1}, {"value_grid": (3, 3)}),
    # where all tokens attend to each other: there, how bright the reference is would be learned instead of its motion
    "full_attention": Recipe(
        {"learning_rate": 0.1, "color_negative": True}, {"value_grid": (3, 3), "timing": (0.0, 0.4)}
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
