"""What is known of diffusers' models and pipelines: model classes, layouts, schedules, and how pipelines are asked."""

from diffusers_motion_embed.architectures.components import (
    base_name,
    component_name,
    noise_levels,
    supported_models,
)
from diffusers_motion_embed.architectures.table import (
    ARCHITECTURES,
    LARGE_WIDTH,
    UNSUPPORTED,
    Architecture,
    find_architecture,
    patch_size,
)


__all__ = [
    "ARCHITECTURES",
    "LARGE_WIDTH",
    "UNSUPPORTED",
    "Architecture",
    "base_name",
    "component_name",
    "find_architecture",
    "noise_levels",
    "patch_size",
    "supported_models",
]
