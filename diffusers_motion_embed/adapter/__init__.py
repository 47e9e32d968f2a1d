"""The PEFT method: config, layer, tuner model, and what puts layers on a model."""

from diffusers_motion_embed.adapter.layer import MotionEmbeddingLayer
from diffusers_motion_embed.adapter.model import MotionEmbeddingModel
from diffusers_motion_embed.adapter.registration import register_motion_embedding
from diffusers_motion_embed.config import MotionEmbeddingConfig


__all__ = ["MotionEmbeddingConfig", "MotionEmbeddingLayer", "MotionEmbeddingModel", "register_motion_embedding"]
