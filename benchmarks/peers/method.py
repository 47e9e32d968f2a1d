"""What a method of motion transfer is: it learns one clip's motion on a pipeline, and then generates other prompts."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


# Clips for prompts and seeds, one of each for a clip: (clips, frames, height, width, 3), uint8. Where the pipeline
# begins with pictures, these are a third argument, (clips, height, width, 3), uint8.
Generate = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Reference:
    """What is learned from.

    Args:
        frames: The clip, (frames, height, width, 3), uint8.
        prompt: What it shows.
    """

    frames: np.ndarray
    prompt: str


@dataclass(frozen=True)
class Transfer:
    """A motion that was learned, while it is on the pipeline.

    Args:
        generate: Generates with it. A seed gives the same initial noise as without any method, unless the method
            chooses the noise itself.
        num_bytes: Of what has to be stored to use it again, with float32 numbers.
    """

    generate: Generate
    num_bytes: int


class Method(Protocol):
    """A method with its settings."""

    def learn(self, pipe: Any, reference: Reference, num_samples: int, seed: int) -> AbstractContextManager[Transfer]:
        """Learn a motion.

        Args:
            pipe: A text-to-video pipeline; when the context ends, it computes again what it computed before.
            reference: The clip.
            num_samples: Training samples, each a forward and a backward pass of one clip; the budget that all methods
                share. A method without training ignores it.
            seed: Of all that is drawn in training.
        """
        ...
