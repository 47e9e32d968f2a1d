"""Motion embeddings that act only in a part of the denoising."""

import math

import torch
from torch import Tensor


def _tensor(value: float) -> Tensor:
    # Never an inference tensor, which could not be changed later.
    with torch.inference_mode(False):
        return torch.tensor(value)


class Timing:
    """The part of the noise schedule in which an embedding acts.

    The denoiser's own timestep decides. The timing therefore holds under any pipeline: with or without step callbacks,
    in every pass of FreeInit, and for two denoisers that share the schedule. Everything that a forward pass reads is a
    tensor, so that another timing does not recompile a compiled model.

    Args:
        start: Share of the schedule after which it acts; 0 is pure noise.
        end: Share of the schedule before which it acts; 1 is the finished clip.

    Attributes:
        gate: 1 where the embedding acts in the current forward pass and 0 where it does not, 0-dim float32.
        acted: The largest gate since it was last set to 0; 1 after a forward pass whose progress is unknown.
    """

    def __init__(self, start: float = 0.0, end: float = 1.0) -> None:
        self.gate, self.acted = _tensor(1.0), _tensor(1.0)
        self._from, self._until = _tensor(0.0), _tensor(0.0)
        self.set(start, end)

    def set(self, start: float, end: float) -> None:
        """Set the part of the schedule in which the embedding acts."""
        self.start, self.end = start, end
        # The ends of the schedule belong to it, however their shares are rounded.
        self._from.fill_(start if start > 0 else -math.inf)
        self._until.fill_(end if end < 1 else math.inf)

    @property
    def is_whole(self) -> bool:
        """Whether it acts all the time."""
        return self.start == 0 and self.end == 1

    def observe(self, done: Tensor | None) -> None:
        """Set the gate for the forward pass that is about to begin.

        Args:
            done: Share of the noise schedule that is done, a 0-dim tensor: 0 is pure noise, 1 the finished clip. None
                if it is unknown; the gate then stays open.
        """
        if done is None:
            self.acted = torch.ones_like(self.acted)
            return
        self.gate = ((done >= self._from) & (done < self._until)).to(torch.float32)
        self.acted = torch.maximum(self.acted.to(self.gate.device), self.gate)
