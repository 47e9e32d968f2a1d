"""Training motion embeddings. Not imported by the package root, so that those who only load never pay for it."""

from diffusers_motion_embed.training.config import TIMESTEP_SAMPLING, TrainingConfig
from diffusers_motion_embed.training.losses import base_loss, debiased_temporal_loss
from diffusers_motion_embed.training.trainer import TrainingDivergedError, train_motion_embedding


__all__ = [
    "TIMESTEP_SAMPLING",
    "TrainingConfig",
    "TrainingDivergedError",
    "base_loss",
    "debiased_temporal_loss",
    "train_motion_embedding",
]
