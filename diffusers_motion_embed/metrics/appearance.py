"""Appearance leakage: how much of the reference's look, not its motion, is in clips that were made with its motion.

Both measures compare a generated clip with the plain one: same prompt, same initial noise, no motion embedding. What
prompt and chance have in common with the reference so cancels.
"""

from dataclasses import dataclass

import numpy as np

from diffusers_motion_embed.metrics.clips import Video
from diffusers_motion_embed.metrics.features import ColorHistogram, FrameFeatures


# CIELAB. Below it, about a difference that can just be seen, two colours show no direction from one to the other.
SAME_COLOR = 2.3


@dataclass(frozen=True)
class AppearanceLeakage:
    """Similarity of a clip's frames to the reference's, beyond that of the plain clip's.

    Args:
        leakage: `generated - plain`; 0 if the look is the plain clip's.
        generated: Mean similarity of all pairs of a frame of the generated clip and a frame of the reference.
        plain: The same of the plain clip.
        features: Name of what was compared; scores of different features do not compare.
    """

    leakage: float
    generated: float
    plain: float
    features: str


@dataclass(frozen=True)
class ColorShift:
    """How far colours moved towards the reference's, over all pairs of a generated and a plain clip.

    Args:
        distance: Mean of the way along the straight line from the plain clip's colour to the reference's, CIELAB.
        share: The same as a share of the whole way, by least squares over the pairs: 0 nothing, 1 the reference's
            colour.
        num_clips: Pairs that count; the others have the reference's colour anyway, or no known colour.
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
        generated: With the motion embedding; see `as_clip`.
        plain: Of the same prompt and initial noise, without it.
        reference: Whose motion it is.
        features: `ColorHistogram()` by default, which needs no weights; `ClipFeatures` sees more.

    Raises:
        VideoError: If a video is none.
    """
    if features is None:
        features = ColorHistogram()
    # The mean of all pairs' products is the product of the means.
    means = [features(video).mean(0) for video in (generated, plain, reference)]
    of_generated, of_plain = (float(mean @ means[2]) for mean in means[:2])
    return AppearanceLeakage(of_generated - of_plain, of_generated, of_plain, features.name)


def color_shift(generated: np.ndarray, plain: np.ndarray, reference: np.ndarray) -> ColorShift:
    """How far colours of one thing moved towards the reference's.

    Of each pair, the way is (g - p)·(r - p) / |r - p|.

    Args:
        generated: Colours, CIELAB, (clips, 3); NaN where unknown.
        plain: Those in the paired clips, (clips, 3).
        reference: That of the same thing in the reference, (3,) or (clips, 3).

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
