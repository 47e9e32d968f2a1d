"""Exact measures of clips of the tiny world, as a person sees them.

Nothing here is learned: what is found is compared, frame by frame, with what the renderer would draw. `clip` says what
is right of a clip, `motion` how it moves beside a reference, `cameras` what its camera does. Lengths are in half frame
widths, colours in CIELAB.
"""

from benchmarks.tiny_world.measures.cameras import CameraExtent, camera_extent, camera_path, path_of
from benchmarks.tiny_world.measures.clip import KINDS, ClipMeasures, mean_of_known, measure_clip, text_fidelity
from benchmarks.tiny_world.measures.motion import (
    background_displacement,
    camera_points,
    center_distance,
    displacement_cosine,
    object_fidelity,
)
from benchmarks.tiny_world.measures.pictures import lab_of


__all__ = [
    "KINDS",
    "CameraExtent",
    "ClipMeasures",
    "background_displacement",
    "camera_extent",
    "camera_path",
    "camera_points",
    "center_distance",
    "displacement_cosine",
    "lab_of",
    "mean_of_known",
    "measure_clip",
    "object_fidelity",
    "path_of",
    "text_fidelity",
]
