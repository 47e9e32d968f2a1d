"""A report of clips that any pipeline made, by metrics that need to know nothing of what they show."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from diffusers_motion_embed.metrics import (
    ClipFeatures,
    Tracks,
    appearance_leakage,
    temporal_consistency,
    text_similarity,
    track,
    track_fidelity,
)
from examples.report.figures import curve, scatter
from examples.report.page import Page
from examples.report.tables import Interval, interval, table


PLAIN = "without"
FIDELITY = "motion fidelity ({})"
LEAKAGE = "leakage ({})"
# Of clips in contact sheets, in pixels; and of how many prompts they show clips.
SHEET_WIDTH, SHEET_PROMPTS = 112, 2

EXPLANATION = """\
Motion fidelity compares the tracks of points with those in the reference, by the named tracker; 1 is the same, and
chance is not 0: compare with the clips without. Leakage is how much more a clip looks like the reference than the clip
without motion embedding of the same prompt and seed does, by the named features. Means with 95 % intervals over
clips."""


@dataclass(frozen=True)
class EvaluatedClip:
    """A clip's measures.

    Args:
        reference: Name of the reference video.
        scale: Of the motion embedding; None without.
        prompt: Of the clip.
        seed: Of its noise.
        measures: By name.
    """

    reference: str
    scale: float | None
    prompt: str
    seed: int
    measures: dict[str, float]


def label_of(scale: float | None) -> str:
    """How tables, plots and sheets call clips."""
    return PLAIN if scale is None else f"scale {scale:g}"


def measure(
    generated: np.ndarray,
    plain: np.ndarray,
    reference: np.ndarray,
    reference_tracks: Tracks,
    prompt: str,
    features: ClipFeatures | None = None,
) -> dict[str, float]:
    """All measures of a clip, by name.

    Args:
        generated: (frames, height, width, 3), uint8.
        plain: Of the same prompt and noise, without motion embedding.
        reference: Whose motion it should have.
        reference_tracks: `track(reference)`, which is the same for many clips.
        prompt: Of the clip.
        features: Of CLIP, for the measures that need it.
    """
    fidelity = track_fidelity(track(generated), reference_tracks)
    measures = {FIDELITY.format(fidelity.tracker): fidelity.score}
    for each in [None] if features is None else [None, features]:
        leakage = appearance_leakage(generated, plain, reference, each)
        measures[LEAKAGE.format(leakage.features)] = leakage.leakage
    if features is not None:
        measures["temporal consistency"] = temporal_consistency(generated, features)
        measures["text similarity"] = text_similarity(generated, prompt, features)
    return measures


def write_evaluation(
    clips: list[EvaluatedClip],
    sheets: dict[str, list[tuple[str, np.ndarray]]],
    embeddings: dict[str, str],
    folder: Path,
    title: str,
    command: str,
) -> Path:
    """Write the report.

    Args:
        clips: All that were measured, of at least one reference.
        sheets: Labels and clips of each reference's contact sheet.
        embeddings: Where each reference's embedding comes from.
        folder: Of the report.
        title: Of the page.
        command: With which it is made.

    Returns:
        The page.
    """
    page = Page(title, command)
    page.add(EXPLANATION)
    fidelity, leakage, *_ = clips[0].measures
    groups = _by_label(clips)
    page.add(_table(groups))
    page.plot(
        scatter(
            {label: (_mean(each, leakage), _mean(each, fidelity)) for label, each in groups.items()}, leakage, fidelity
        ),
        "fidelity_and_leakage",
        f"{fidelity} against {leakage}",
    )
    scales = {each[0].scale: each for each in groups.values() if each[0].scale is not None}
    if len(scales) > 1:
        lines = {name: {scale: _mean(each, name) for scale, each in scales.items()} for name in (fidelity, leakage)}
        page.plot(
            curve(lines, "motion scale", "measure"), "fidelity_and_scale", f"{fidelity} against the motion scale"
        )
    for reference, source in embeddings.items():
        page.add(f"## {reference}\n\nEmbedding: `{source}`")
        page.add(_table(_by_label(clip for clip in clips if clip.reference == reference)))
        rows = [(label, _shrunk(frames)) for label, frames in sheets[reference]]
        page.sheet(rows, reference, f"The reference {reference}, and clips without and with its motion")
    return page.write(folder)


def _by_label(clips: Iterable[EvaluatedClip]) -> dict[str, list[EvaluatedClip]]:
    groups: dict[str, list[EvaluatedClip]] = {}
    for clip in clips:
        groups.setdefault(label_of(clip.scale), []).append(clip)
    return groups


def _mean(clips: list[EvaluatedClip], measure: str) -> Interval:
    return interval(clip.measures[measure] for clip in clips)


def _table(groups: dict[str, list[EvaluatedClip]]) -> str:
    names = list(next(iter(groups.values()))[0].measures)
    rows = [(label, str(len(each)), *(_mean(each, name).text(3) for name in names)) for label, each in groups.items()]
    return table(("", "clips", *names), rows)


def _shrunk(frames: np.ndarray) -> np.ndarray:
    """Not wider than a contact sheet has room for."""
    height, width = frames.shape[1:3]
    if width <= SHEET_WIDTH:
        return frames
    size = (SHEET_WIDTH, max(1, round(height * SHEET_WIDTH / width)))
    return np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames])
