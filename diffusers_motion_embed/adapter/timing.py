"""Motion embeddings that act in a part of the denoising only."""

import numbers
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


def _one() -> Tensor:
    with torch.inference_mode(False):
        return torch.ones(())


@dataclass(eq=False)
class Timing:
    """The part of the noise schedule in which an embedding acts.

    The denoiser's own timestep decides, so that it holds under any pipeline: with or without step callbacks, in every
    pass of FreeInit, and for two denoisers that share the schedule.

    Args:
        start: Share of the schedule after which it acts; 0 is pure noise.
        end: Share of the schedule before which it acts; 1 is the finished clip.
        gate: 1 where it acts and 0 where not, 0-dim float32, of the forward pass that is under way.
        acted: The largest gate since somebody set it to 0.
    """

    start: float = 0.0
    end: float = 1.0
    gate: Tensor = field(default_factory=_one)
    acted: Tensor = field(default_factory=_one)

    def __post_init__(self) -> None:
        if not all(_is_number(value) for value in (self.start, self.end)) or not 0 <= self.start < self.end <= 1:
            raise ValueError(
                f"start and end are shares of the noise schedule, 0 <= start < end <= 1; got {self.start!r} and "
                f"{self.end!r}."
            )

    @property
    def is_whole(self) -> bool:
        """Whether it acts all the time."""
        return self.start == 0 and self.end == 1

    def observe(self, done: Tensor | None) -> None:
        """Set the gate for the forward pass that is about to begin.

        Args:
            done: Share of the noise schedule that is done, a 0-dim tensor: 0 is pure noise, 1 the finished clip. None
                if that cannot be told; the gate then stays open.
        """
        if self.is_whole or done is None:
            return
        until = done <= 1 if self.end == 1 else done < self.end
        self.gate = ((done >= self.start) & until).to(torch.float32)
        self.acted = torch.maximum(self.acted.to(self.gate.device), self.gate)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
