"""How like a reference's motion a clip's motion is: of its objects, and of the background that a camera sees."""

import cv2
import numpy as np

from benchmarks.tiny_world.measures.clip import ClipMeasures
from benchmarks.tiny_world.measures.objects import saturated
from benchmarks.tiny_world.measures.patterns import camera_of
from benchmarks.tiny_world.measures.pictures import dilated, labs_of
from benchmarks.tiny_world.scene import Motion


def displacement_cosine(generated: np.ndarray, reference: np.ndarray) -> float:
    """Σ|r|·cos(d, r) / Σ|r| over frame-to-frame displacements d and r: 1 for the same directions, 0 for chance.

    Args:
        generated: Displacements, (..., 2); a NaN or a standstill counts as no agreement.
        reference: Displacements of the same shape.
    """
    lengths = np.linalg.norm(generated, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        along = np.nan_to_num((generated * reference).sum(-1) / lengths, nan=0.0, posinf=0.0, neginf=0.0)
    return float(along.sum() / np.linalg.norm(reference, axis=-1).sum())


def center_distance(generated: np.ndarray, reference: np.ndarray) -> float:
    """Mean distance of two paths over the frames where both are known.

    Args:
        generated: Centroids, (..., 2).
        reference: Centroids, (..., 2).
    """
    return float(np.nanmean(np.linalg.norm(generated - reference, axis=-1)))


def object_fidelity(seen: ClipMeasures, motion: Motion) -> tuple[float, float]:
    """Displacement cosine and mean centroid distance of a generated clip to the objects' reference motion."""
    reference = np.stack(motion.screen_centers)
    centers = np.stack([each.center for each in seen.objects[: len(reference)]])
    reference = reference[: len(centers)]
    cosine = displacement_cosine(np.diff(centers, axis=1), np.diff(reference, axis=1))
    distance = center_distance(centers, reference) if np.isfinite(centers).any() else 2.0
    return cosine, distance


def camera_points() -> np.ndarray:
    """Places in the frame at which the motion of the background is compared, (points, 2)."""
    axis = np.linspace(-0.75, 0.75, 4)
    return np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)


def background_displacement(frames: np.ndarray, seen: ClipMeasures) -> np.ndarray:
    """How the background moves at `camera_points()`, as the pattern tells, or where it is broken, by alignment.

    Args:
        frames: (frames, size, size, 3), uint8 or floats from 0 to 1, with a patterned background.
        seen: What was measured of them.

    Returns:
        (frames - 1, points, 2); zero where a pair of frames cannot be aligned.
    """
    path = seen.camera
    steps = camera_of(path).background_displacement(camera_points())
    unknown = np.flatnonzero(~np.isfinite(steps).all((1, 2)))
    if len(unknown):
        steps[unknown] = aligned_displacement(frames, unknown)
    return steps


def aligned_displacement(frames: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The same by aligning frames with the ones after them (OpenCV's ECC, affine), at these steps alone."""
    size = frames.shape[1]
    labs = labs_of(frames)
    gray = labs[..., 0] / 100
    backgrounds = ~dilated(saturated(labs), 5)
    pixels = (camera_points() + 1) * size / 2 - 0.5
    warp = np.eye(2, 3, dtype=np.float32)
    found = []
    for step in steps:
        warp = _align(gray[step], gray[step + 1], backgrounds[step], warp)
        found.append((pixels @ warp[:, :2].T + warp[:, 2] - pixels) * 2 / size)
    return np.array(found)


def _align(before: np.ndarray, after: np.ndarray, mask: np.ndarray, last_warp: np.ndarray) -> np.ndarray:
    """The affine map (2, 3) that best aligns two pictures, searched from rest and from the last one."""
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
    found = [(0.0, np.eye(2, 3, dtype=np.float32))]
    for start in (np.eye(2, 3, dtype=np.float32), last_warp.copy()):
        try:
            found.append(
                cv2.findTransformECC(before, after, start, cv2.MOTION_AFFINE, criteria, mask.astype(np.uint8), 3)
            )
        except cv2.error:
            continue  # no texture, or nothing alike
    return max(found, key=lambda result: result[0])[1]
