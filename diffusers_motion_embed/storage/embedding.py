"""`Embedding`: a motion embedding outside of any model, as one value."""

from typing import NamedTuple

from torch import Tensor

from diffusers_motion_embed.config import MotionEmbeddingConfig


# Path of the attention layer, or of the module of the position part -> part -> tensor.
EmbeddingTensors = dict[str, dict[str, Tensor]]


class Embedding(NamedTuple):
    """What a motion embedding consists of.

    Args:
        config: Its settings.
        tensors: Its numbers by path and part, "qk" (f, c), "v" (h, w, f, c) and "p" (h, w, f, 3).
    """

    config: MotionEmbeddingConfig
    tensors: EmbeddingTensors

    @property
    def num_layers(self) -> int:
        """Number of attention layers that it adapts."""
        return sum("p" not in parts for parts in self.tensors.values())
