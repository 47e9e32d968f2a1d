"""`Embedding`: a motion embedding outside of any model, as one value."""

from typing import NamedTuple

from torch import Tensor

from diffusers_motion_embed.config import MotionEmbeddingConfig


# Path of the attention layer -> part -> tensor.
EmbeddingTensors = dict[str, dict[str, Tensor]]


class Embedding(NamedTuple):
    """What a motion embedding consists of.

    Args:
        config: Its settings.
        tensors: Its numbers by path and part, "qk" (f, c) and "v" (h, w, f, c).
    """

    config: MotionEmbeddingConfig
    tensors: EmbeddingTensors
