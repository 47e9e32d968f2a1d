"""Choosing among checkpoints and scales by what validation clips measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffusers_motion_embed.functional import scale_path
from diffusers_motion_embed.metrics import as_clip, track
from diffusers_motion_embed.reports.validation import Measures, Validation, measure
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import read_embedding, write_embedding
from diffusers_motion_embed.values import expanded


SCALES = (0.7, 1.0, 1.3)
CHECKPOINTS = "checkpoint-*"


@dataclass(frozen=True)
class Candidate:
    """A stored embedding at a scale, and how well it does.

    Args:
        folder: Where it is.
        scale: The motion scale.
        score: Mean motion fidelity of the prompts, less what leaks of the look.
    """

    folder: Path
    scale: float
    score: float

    def __str__(self) -> str:
        return f"{self.folder.name} at scale {self.scale}: {self.score:.2f}"


@dataclass(frozen=True)
class Selection:
    """What was tried, the best first."""

    candidates: list[Candidate]

    def __str__(self) -> str:
        first, *others = map(str, self.candidates)
        return "\n".join([f"Selected: {first}", *(f"  tried: {other}" for other in others)])


def select_best(
    pipe: Any,
    save_directory: Path,
    reference: np.ndarray,
    prompts: Sequence[str],
    make_clip: Callable[[str], Any],
    adapter_name: str = "default",
    scales: Sequence[float] = SCALES,
) -> Selection:
    """Try a run's embedding and its checkpoints at several scales; save the best as that embedding, and load it.

    Args:
        pipe: A pipeline with the methods of motion embeddings. Its embeddings are taken off.
        save_directory: Folder of the embedding, with those of the checkpoints in it.
        reference: (frames, height, width, 3), uint8.
        prompts: What is generated, at least one.
        make_clip: As in `validate`.
        adapter_name: Under which the best one is loaded.
        scales: Those that are tried, at least one.

    Returns:
        All that were tried.

    Raises:
        ValueError: If there is nothing to choose from.
    """
    if not (scales and prompts):
        raise ValueError("To select the best embedding, give at least one scale and one prompt.")
    save_directory, tracks, tried = expanded(save_directory), track(reference), []
    pipe.unload_motion_embedding()
    plain = [as_clip(make_clip(prompt)) for prompt in prompts]
    # The first of equal ones is taken: what the run gave, as it is.
    for folder in [save_directory, *sorted(save_directory.glob(CHECKPOINTS))]:
        pipe.load_motion_embedding(folder, adapter_name)
        for scale in sorted(scales, key=lambda scale: abs(scale - 1)):
            pipe.set_motion_scale(scale)
            moved = [as_clip(make_clip(prompt)) for prompt in prompts]
            clips = map(Validation, prompts, plain, moved)
            tried.append(Candidate(folder, scale, score_of([measure(each, reference, tracks) for each in clips])))
        pipe.unload_motion_embedding()
    tried.sort(key=lambda candidate: candidate.score, reverse=True)
    write_embedding(save_directory, scaled_embedding(read_embedding(tried[0].folder), tried[0].scale))
    pipe.load_motion_embedding(save_directory, adapter_name)
    return Selection(tried)


def score_of(measures: Sequence[Measures]) -> float:
    """Mean motion fidelity, where 0 counts if nothing moves, less mean leakage if there is any."""
    fidelity = np.nan_to_num([each.fidelity_with for each in measures]).mean()
    return float(fidelity - max(0.0, np.mean([each.leakage for each in measures])))


def scaled_embedding(embedding: Embedding, scale: float) -> Embedding:
    """The embedding that does at scale 1 what this one does at `scale`."""
    tensors = {
        path: {part: scale_path(tensor, scale) if part == "p" else scale * tensor for part, tensor in parts.items()}
        for path, parts in embedding.tensors.items()
    }
    training = {**embedding.config.training, "scale": scale}
    return Embedding(embedding.config.changed(training=training), tensors)
