"""Metrics of videos: motion fidelity, consistency, fit to the prompt, leakage of the reference's look.

Not imported by the package root. Needs the extra `metrics` (OpenCV), and for CLIP the user's own weights.
"""

try:
    import cv2  # noqa: F401
except ImportError as error:
    raise ImportError('The metrics need OpenCV: pip install "diffusers_motion_embed[metrics]".') from error

from diffusers_motion_embed.metrics.appearance import AppearanceLeakage, ColorShift, appearance_leakage, color_shift
from diffusers_motion_embed.metrics.clips import Video, as_clip
from diffusers_motion_embed.metrics.consistency import temporal_consistency, text_similarity
from diffusers_motion_embed.metrics.cotracker import CoTracker
from diffusers_motion_embed.metrics.features import ClipFeatures, ColorHistogram, FrameFeatures
from diffusers_motion_embed.metrics.motion import MotionFidelity, motion_fidelity, track_fidelity
from diffusers_motion_embed.metrics.together import measure_clip
from diffusers_motion_embed.metrics.tracking import LucasKanadeTracker, Tracker, Tracks, track


__all__ = [
    "AppearanceLeakage",
    "ClipFeatures",
    "CoTracker",
    "ColorHistogram",
    "ColorShift",
    "FrameFeatures",
    "LucasKanadeTracker",
    "MotionFidelity",
    "Tracker",
    "Tracks",
    "Video",
    "appearance_leakage",
    "as_clip",
    "color_shift",
    "measure_clip",
    "motion_fidelity",
    "temporal_consistency",
    "text_similarity",
    "track",
    "track_fidelity",
]
