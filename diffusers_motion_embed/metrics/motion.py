"""Motion fidelity: do things in two clips move in the same directions at the same times, wherever they are?

The formula is that of "Space-Time Diffusion Features for Zero-Shot Text-Driven Motion Transfer" (DMT, arXiv
2311.17009, section 5.1). docs/metrics.md says where this differs from the script that was published with it.
"""

from dataclasses import dataclass

import numpy as np

from diffusers_motion_embed.errors import VideoError
from diffusers_motion_embed.metrics.clips import Video, as_clip
from diffusers_motion_embed.metrics.tracking import Tracker, Tracks, track


# Shares of the frame's diagonal. A step shorter than the first has only the direction of the tracker's noise. A track
# that stays within the second has not moved.
STANDING_STEP = 0.0005
STATIC_EXTENT = 0.01
# A track that is seen for a smaller share of the clip says too little to match another.
MIN_SEEN = 0.5


@dataclass(frozen=True)
class MotionFidelity:
    """How alike two clips move, from -1 (in opposite directions) to 1 (the same).

    Args:
        score: Mean of the two directions; NaN if nothing moves in either clip, 0 if nothing moves in one.
        of_generated: Mean over the generated clip's tracks of their best match in the reference. It is low if things
            move unlike anything in the reference.
        of_reference: Mean over the reference's tracks of their best match in the generated clip. It is low if motion
            of the reference is missing.
        num_generated_tracks: Number of moving tracks in the generated clip.
        num_reference_tracks: Number of moving tracks in the reference.
        tracker: Name of the tracker. It belongs to the score, because scores of different trackers are not comparable.
    """

    score: float
    of_generated: float
    of_reference: float
    num_generated_tracks: int
    num_reference_tracks: int
    tracker: str


def motion_fidelity(generated: Video, reference: Video, tracker: Tracker | None = None) -> MotionFidelity:
    """How alike two videos move. They may differ in size.

    Args:
        generated: See `as_clip`.
        reference: See `as_clip`; it must have as many frames.
        tracker: `LucasKanadeTracker()` by default.

    Raises:
        VideoError: If an argument is not a video, or the two differ in length.
        ValueError: If the tracker returns something other than tracks.
    """
    clips = as_clip(generated), as_clip(reference)
    _check_lengths(*map(len, clips))
    return track_fidelity(*(track(clip, tracker) for clip in clips))


def track_fidelity(generated: Tracks, reference: Tracks) -> MotionFidelity:
    """`motion_fidelity` for tracks. A reference of many clips then has to be followed only once.

    Raises:
        VideoError: If they differ in length.
        ValueError: If they come from different trackers.
    """
    _check_lengths(generated.points.shape[1], reference.points.shape[1])
    if generated.tracker != reference.tracker:
        raise ValueError(f"Tracks of {generated.tracker!r} and of {reference.tracker!r} do not compare.")
    directions = [moving_tracks(tracks) for tracks in (generated, reference)]
    num_generated, num_reference = map(len, directions)
    if num_generated and num_reference:
        correlations = correlate(*directions)
        of_generated, of_reference = (float(correlations.max(axis).mean()) for axis in (1, 0))
    else:
        of_generated = of_reference = 0.0 if num_generated or num_reference else float("nan")
    score = (of_generated + of_reference) / 2
    return MotionFidelity(score, of_generated, of_reference, num_generated, num_reference, generated.tracker)


@dataclass(frozen=True)
class Directions:
    """Where tracks go, whatever their speed.

    Args:
        units: Unit displacements, zero where a track stands or is not seen, (tracks, steps, 2), float32.
        known: Whether a track is seen before and after a step, (tracks, steps).
    """

    units: np.ndarray
    known: np.ndarray

    def __len__(self) -> int:
        return len(self.units)


def correlate(first: Directions, second: Directions) -> np.ndarray:
    """Mean cosine of the steps of each of the first tracks with those of each of the second.

    The mean is over the steps in which both are seen and at least one moves. Standing still together is not a
    disagreement, and not an agreement on a direction either. Tracks that are seen together in less than `MIN_SEEN` of
    the steps prove less, and their correlation is reduced in that proportion.

    Args:
        first: Directions of n tracks.
        second: Directions of m tracks over as many steps.

    Returns:
        (n, m), from -1 to 1; 0 for tracks that never move while both are seen.
    """
    known = [entry.known.astype(np.float32) for entry in (first, second)]
    standing = [(entry.known & ~entry.units.any(-1)).astype(np.float32) for entry in (first, second)]
    seen = known[0] @ known[1].T
    moving = np.maximum(seen - standing[0] @ standing[1].T, 1)
    trust = np.minimum(seen / (MIN_SEEN * first.known.shape[1]), 1)
    return np.tensordot(first.units, second.units, axes=((1, 2), (1, 2))) / moving * trust


def moving_tracks(tracks: Tracks) -> Directions:
    """Directions of those tracks that are seen for long enough and move."""
    diagonal = np.hypot(*tracks.frame_size)
    known = tracks.visible[:, 1:] & tracks.visible[:, :-1]
    steps = np.where(known[..., None], np.diff(tracks.points, axis=1), 0.0)
    lengths = np.linalg.norm(steps, axis=-1, keepdims=True)
    moves = lengths >= STANDING_STEP * diagonal
    units = np.where(moves, steps / np.maximum(lengths, 1e-12), 0.0).astype(np.float32)

    shown = tracks.visible[..., None]
    highest = np.where(shown, tracks.points, -np.inf).max(1)
    lowest = np.where(shown, tracks.points, np.inf).min(1)
    has_moved = np.linalg.norm(highest - lowest, axis=-1) >= STATIC_EXTENT * diagonal
    kept = (known.mean(1) >= MIN_SEEN) & units.any((1, 2)) & has_moved
    return Directions(units[kept], known[kept])


def _check_lengths(generated: int, reference: int) -> None:
    if generated != reference:
        raise VideoError(
            f"The clips have {generated} and {reference} frames, and motions are compared frame by frame. Take "
            f"as many of both: clip[np.linspace(0, len(clip) - 1, {min(generated, reference)}).round().astype(int)]."
        )
