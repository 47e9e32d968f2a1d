"""Appearance leakage: how much of the reference's look, rather than its motion, is in clips made with its motion.

Both measures compare a generated clip with the plain one: same prompt, same initial noise, no motion embedding. What
prompt and chance have in common with the reference therefore cancels.
"""

from dataclasses import dataclass

import numpy as np

from diffusers_motion_embed.metrics.clips import Video
from diffusers_motion_embed.metrics.features import ColorHistogram, FrameFeatures


# CIELAB. Closer colours, about as close as the eye can tell apart, show no direction from one to the other.
SAME_COLOR = 2.3


@dataclass(frozen=True)
class AppearanceLeakage:
    """How much more a clip's frames resemble the reference than the plain clip's frames do.

    Args:
        leakage: `generated - plain`; 0 if the look is the plain clip's.
        generated: Mean similarity over all pairs of a frame of the generated clip and a frame of the reference.
        plain: The same for the plain clip.
        features: Name of the features that were compared. Scores of different features are not comparable.
    """

    leakage: float
    generated: float
    plain: float
    features: str


@dataclass(frozen=True)
class ColorShift:
    """How far colours moved towards the reference's, over all pairs of a generated and a plain clip.

    Args:
        distance: Mean distance along the straight line from the plain clip's colour to the reference's, in CIELAB.
        share: The same as a share of the whole way, by least squares over the pairs: 0 is no shift, 1 the reference's
            colour.
        num_clips: Number of pairs that count. The others have the reference's colour anyway, or an unknown colour.
    """

    distance: float
    share: float
    num_clips: int


def appearance_leakage(
    generated: Video, plain: Video, reference: Video, features: FrameFeatures | None = None
) -> AppearanceLeakage:
    """How much more a generated clip looks like the reference than the plain clip does.

    The clips may differ in length and size, because every frame is compared with every other.

    Args:
        generated: The clip with the motion embedding; see `as_clip`.
        plain: The clip of the same prompt and initial noise without the motion embedding.
        reference: The clip that the motion comes from.
        features: `ColorHistogram()` by default, which needs no weights; `ClipFeatures` sees more.

    Raises:
        VideoError: If an argument is not a video.
    """
    if features is None:
        features = ColorHistogram()
    # The mean of all pairs' products is the product of the means.
    means = [features(video).mean(0) for video in (generated, plain, reference)]
    of_generated, of_plain = (float(mean @ means[2]) for mean in means[:2])
    return AppearanceLeakage(of_generated - of_plain, of_generated, of_plain, features.name)


def color_shift(generated: np.ndarray, plain: np.ndarray, reference: np.ndarray) -> ColorShift:
    """How far colours of one thing moved towards the reference's.

    For each pair, the distance is (g - p)·(r - p) / |r - p|.

    Args:
        generated: Colours in the generated clips, CIELAB, (clips, 3); NaN where unknown.
        plain: Colours in the paired clips, (clips, 3).
        reference: Colour of the same thing in the reference, (3,) or (clips, 3).

    Raises:
        ValueError: If shapes do not fit together.
    """
    if generated.ndim != 2 or generated.shape[1] != 3 or plain.shape != generated.shape:
        raise ValueError(f"Colours of pairs must be two times (clips, 3), got {generated.shape} and {plain.shape}.")
    whole = reference - plain
    lengths = np.linalg.norm(whole, axis=-1)
    ways = ((generated - plain) * whole).sum(-1) / np.maximum(lengths, 1e-12)
    counted = np.isfinite(ways) & (lengths >= SAME_COLOR)
    if not counted.any():
        return ColorShift(float("nan"), float("nan"), 0)
    ways, lengths = ways[counted], lengths[counted]
    return ColorShift(float(ways.mean()), float(ways @ lengths / (lengths @ lengths)), int(counted.sum()))
