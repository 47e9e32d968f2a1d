"""Training motion embeddings. The package root does not import it, so those who only load never pay for it."""

from diffusers_motion_embed.errors import CheckpointError, FeaturesError, TrainingDivergedError
from diffusers_motion_embed.training.checkpoints import CheckpointConfig
from diffusers_motion_embed.training.config import TIMESTEP_SAMPLING, TrainingConfig
from diffusers_motion_embed.training.losses import (
    base_loss,
    centered_loss,
    debiased_temporal_loss,
    motion_distillation_loss,
)
from diffusers_motion_embed.training.recipes import RECIPES, Recipe, default_recipe
from diffusers_motion_embed.training.tracked import track_motion_embedding
from diffusers_motion_embed.training.trainer import TrainingProgress, train_motion_embedding


__all__ = [
    "RECIPES",
    "TIMESTEP_SAMPLING",
    "CheckpointConfig",
    "CheckpointError",
    "FeaturesError",
    "Recipe",
    "TrainingConfig",
    "TrainingDivergedError",
    "TrainingProgress",
    "base_loss",
    "centered_loss",
    "debiased_temporal_loss",
    "default_recipe",
    "motion_distillation_loss",
    "track_motion_embedding",
    "train_motion_embedding",
]
