"""The PEFT method: config, layer, tuner model, and what puts layers on a model."""

from diffusers_motion_embed.adapter.config import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.layer import MotionEmbeddingLayer
from diffusers_motion_embed.adapter.model import MotionEmbeddingModel
from diffusers_motion_embed.adapter.registration import register_motion_embedding


__all__ = ["MotionEmbeddingConfig", "MotionEmbeddingLayer", "MotionEmbeddingModel", "register_motion_embedding"]
