"""Motion embeddings through PEFT: the tuner model and the adapter type."""

from diffusers_motion_embed.peft_tuner.model import MotionEmbeddingModel
from diffusers_motion_embed.peft_tuner.registration import register_motion_embedding


__all__ = ["MotionEmbeddingModel", "register_motion_embedding"]
