"""The state of one embedding on a model: its settings, its strength, and whether and when it acts."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from diffusers_motion_embed.adapter.scales import LayerScales, Scale
from diffusers_motion_embed.adapter.timing import Timing
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.functional import debias_weights


def _identity() -> Tensor:
    with torch.inference_mode(False):  # never an inference tensor, which could not be changed later
        return debias_weights("identity")


@dataclass(eq=False)
class EmbeddingState:
    """The only owner of an adapter's settings. Its layers read them here, and saving stores its config.

    Args:
        config: The current settings. Assign them with `configure`.
        scale: The scale as the user gave it.
        factors: The scale worked out for every layer and part.
        active: Whether the adapter is active.
        timing: When it acts, with the gate of the current forward pass.
        region: Where in the picture it acts, from 0 to 1, (t, y, x) of any size; None for everywhere. It belongs to
            the clip that is made, so saving does not store it.
        debias_weights: Weights for debiasing the value part, see `functional.debias`. Like the tensors of `timing`,
            this stays the same tensor for the whole life of the state, so that other numbers do not recompile a
            compiled model.
    """

    config: MotionEmbeddingConfig
    scale: Scale = 1.0
    factors: LayerScales = field(default_factory=dict)
    active: bool = True
    timing: Timing = field(default_factory=Timing, init=False)
    region: Tensor | None = field(default=None, init=False)
    debias_weights: Tensor = field(default_factory=_identity, init=False)
    _debias: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.configure(self.config)

    def configure(self, config: MotionEmbeddingConfig) -> None:
        """Make `config` the settings."""
        self.config = config
        self.timing.set(*(config.timing or (0.0, 1.0)))
        self.debias_weights.copy_(debias_weights(config.debias))
        self._debias = config.debias

    def follow(self) -> None:
        """Notice a debiasing mode that was set in the config itself, as users of PEFT set it.

        Raises:
            ValueError: If there is no such mode.
        """
        if self.config.debias != self._debias:
            self.configure(self.config)
