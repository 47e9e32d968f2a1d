"""All metrics of one clip."""

import numpy as np

from diffusers_motion_embed.metrics.appearance import appearance_leakage
from diffusers_motion_embed.metrics.consistency import temporal_consistency, text_similarity
from diffusers_motion_embed.metrics.features import ClipFeatures
from diffusers_motion_embed.metrics.motion import track_fidelity
from diffusers_motion_embed.metrics.tracking import Tracks, track


def measure_clip(
    generated: np.ndarray,
    reference: np.ndarray,
    plain: np.ndarray,
    prompt: str,
    features: ClipFeatures | None = None,
    reference_tracks: Tracks | None = None,
) -> dict[str, float]:
    """All metrics of a clip, by name.

    Args:
        generated: (frames, height, width, 3), uint8.
        reference: The clip whose motion it should have.
        plain: The clip of the same prompt and noise without a motion embedding.
        prompt: The clip's prompt.
        features: Features of CLIP, for consistency, fit to the prompt, and leakage by these features too.
        reference_tracks: `track(reference)`, if it is known: it is the same for many clips.

    Returns:
        Motion fidelity and leakage, with the tracker and the features in their names. With CLIP's features also
        temporal consistency and text similarity.
    """
    fidelity = track_fidelity(track(generated), reference_tracks or track(reference))
    measures = {f"motion fidelity ({fidelity.tracker})": fidelity.score}
    for each in dict.fromkeys((None, features)):
        leakage = appearance_leakage(generated, plain, reference, each)
        measures[f"leakage ({leakage.features})"] = leakage.leakage
    if features is not None:
        measures["temporal consistency"] = temporal_consistency(generated, features)
        measures["text similarity"] = text_similarity(generated, prompt, features)
    return measures
