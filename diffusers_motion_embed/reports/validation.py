"""Clips of validation prompts, without and with a motion, and what they measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffusers_motion_embed.metrics import Tracks, appearance_leakage, as_clip, track, track_fidelity


@dataclass(frozen=True)
class Validation:
    """One prompt.

    Args:
        prompt: What the clips show.
        plain: The clip without the motion, (frames, height, width, 3), uint8.
        moved: The clip of the same noise with the motion.
    """

    prompt: str
    plain: np.ndarray
    moved: np.ndarray


@dataclass(frozen=True)
class Measures:
    """What one prompt's clips measure, see docs/metrics.md.

    Args:
        fidelity_without: Motion fidelity of the plain clip to the reference; NaN if nothing moves in either.
        fidelity_with: The same of the clip with the motion.
        leakage: How much more it looks like the reference than the plain clip does.
    """

    fidelity_without: float
    fidelity_with: float
    leakage: float


def validate(pipe: Any, prompts: Sequence[str], make_clip: Callable[[str], Any]) -> list[Validation]:
    """Clips of every prompt, without the pipeline's active motions and with them.

    Args:
        pipe: A pipeline with the methods of motion embeddings.
        prompts: What the clips show.
        make_clip: Makes a clip of a prompt by the pipeline, from the same noise every time; see `metrics.as_clip`.

    Raises:
        ValueError: If `prompts` is one text instead of a list.
    """
    if isinstance(prompts, str):
        raise ValueError(f"prompts must be a list of texts, got {prompts!r} alone.")
    pipe.disable_motion_embedding_layers()
    try:
        plain = [as_clip(make_clip(prompt)) for prompt in prompts]
    finally:
        pipe.enable_motion_embedding_layers()
    moved = [as_clip(make_clip(prompt)) for prompt in prompts]
    return [Validation(*parts) for parts in zip(prompts, plain, moved, strict=True)]


def measure(validation: Validation, reference: np.ndarray, tracks: Tracks | None = None) -> Measures:
    """What one prompt's clips measure.

    Args:
        validation: The clips.
        reference: (frames, height, width, 3), uint8, with as many frames.
        tracks: `track(reference)`, if it is known.
    """
    tracks = tracks or track(reference)
    without, with_motion = (track_fidelity(track(clip), tracks) for clip in (validation.plain, validation.moved))
    leakage = appearance_leakage(validation.moved, validation.plain, reference)
    return Measures(without.score, with_motion.score, leakage.leakage)


def measure_all(validations: Sequence[Validation], reference: np.ndarray) -> list[Measures]:
    """What each prompt's clips measure; the reference, (frames, height, width, 3), uint8, is tracked once."""
    tracks = track(reference)
    return [measure(each, reference, tracks) for each in validations]


def mean_figures(measures: Sequence[Measures]) -> dict[str, Any]:
    """What several prompts' clips measure, as a model card shows it; NaN counts as no fidelity.

    Args:
        measures: At least one.
    """
    table = np.nan_to_num([[each.fidelity_without, each.fidelity_with, each.leakage] for each in measures])
    names = ("motion_fidelity_without", "motion_fidelity", "appearance_leakage")
    return {"prompts": len(measures)} | {
        name: round(float(mean), 3) for name, mean in zip(names, table.mean(0), strict=True)
    }
