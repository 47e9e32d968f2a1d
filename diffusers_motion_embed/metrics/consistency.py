"""How alike neighbouring frames are, and how well frames fit a prompt."""

import numpy as np

from diffusers_motion_embed.metrics.clips import Video
from diffusers_motion_embed.metrics.features import ClipFeatures, FrameFeatures


def temporal_consistency(video: Video, features: FrameFeatures) -> float:
    """Mean over t of cos(f[t], f[t + 1]), f the features of frame t: 1 for a still picture.

    Args:
        video: See `as_clip`.
        features: `ClipFeatures` for figures that compare with those of papers.

    Raises:
        VideoError: If `video` is not a video.
    """
    vectors = features(video)
    return float(np.mean(np.sum(vectors[:-1] * vectors[1:], axis=-1)))


def text_similarity(video: Video, prompt: str, features: ClipFeatures) -> float:
    """Mean over t of cos(f[t], p), f the features of frame t and p those of the prompt; not times 100.

    Args:
        video: See `as_clip`.
        prompt: What the video should show.
        features: Features of a CLIP model.

    Raises:
        VideoError: If `video` is not a video.
    """
    return float(np.mean(features(video) @ features.of_text(prompt)))
