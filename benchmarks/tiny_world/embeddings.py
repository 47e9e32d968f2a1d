"""Embeddings of the tiny world's references, trained once with the default recipe and kept in a folder."""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tiny_world.references import OBJECT_REFERENCES
from benchmarks.tiny_world.scene import FRAME_SIZE, NUM_FRAMES
from diffusers_motion_embed import read_video
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding


ASSETS = Path(__file__).parents[2] / "examples/assets"


def reference_frames(name: str) -> np.ndarray:
    """The video file of a reference, (frames, size, size, 3), uint8."""
    return read_video(ASSETS / f"{name}.mp4", NUM_FRAMES, height=FRAME_SIZE, width=FRAME_SIZE)


def trained_embedding(pipe: Any, name: str, folder: Path) -> Path:
    """The folder of a reference's embedding, which is trained if it is not there yet.

    Args:
        pipe: With the methods of motion embeddings; none is loaded afterwards.
        name: Of one of the references of objects.
        folder: Where embeddings are kept, each in a folder of its reference's name.
    """
    path = folder / name
    if not path.is_dir():
        prompt = OBJECT_REFERENCES[name].appearance.prompt
        train_motion_embedding(pipe, reference_frames(name), prompt, TrainingConfig(), adapter_name=name)
        pipe.save_motion_embedding(path, name)
        pipe.unload_motion_embedding()
    return path
