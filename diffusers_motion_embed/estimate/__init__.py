"""What a base model will need on a device. The package root does not import it."""

from diffusers_motion_embed.estimate.memory import MemoryEstimate, estimate_memory, parse_memory


__all__ = ["MemoryEstimate", "estimate_memory", "parse_memory"]
