"""The path of what moves in the clip, without training (after RoPECraft, arXiv 2505.13344), among the others."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.peers.generation import generator_of
from benchmarks.peers.method import Reference, Transfer
from benchmarks.peers.motion_embedding import NAME
from benchmarks.peers.training import denoiser
from diffusers_motion_embed import MotionEmbeddingConfig, enable_motion_embedding
from diffusers_motion_embed.adapter.registry import embedding_tensors
from diffusers_motion_embed.training import track_motion_embedding
from diffusers_motion_embed.training.tracked import PARTS, TIMING


@dataclass(frozen=True)
class TrackedPath:
    """A `Method`.

    Args:
        timing: When it acts.
        scale: Size of the motion.
    """

    timing: tuple[float, float] = TIMING
    scale: float = 1.0

    @contextlib.contextmanager
    def learn(self, pipe: Any, reference: Reference, num_samples: int, seed: int) -> Iterator[Transfer]:
        """See `Method`."""
        enable_motion_embedding(pipe)
        config = MotionEmbeddingConfig(parts=PARTS, timing=self.timing)
        try:
            track_motion_embedding(pipe, reference.frames, embedding_config=config, adapter_name=NAME)
            pipe.set_motion_scale(self.scale, NAME)
            parts = embedding_tensors(denoiser(pipe)[1], NAME).values()
            yield Transfer(generator_of(pipe), sum(each["p"].nbytes for each in parts))
        finally:
            pipe.unload_motion_embedding()
