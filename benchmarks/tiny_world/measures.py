"""Exact measures of clips of the tiny world: where the object is, what it looks like, how object and camera move.

Nothing here is learned. Objects are saturated and backgrounds are not, so chroma separates them; what is found is
compared with what the renderer draws. Lengths are in half frame widths, colours in CIELAB.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from skimage.color import rgb2lab
from skimage.measure import label, regionprops

from benchmarks.tiny_world.scene import (
    BACKGROUND_COLORS,
    OBJECT_COLORS,
    PATTERNS,
    SHAPES,
    Appearance,
    Motion,
    pixel_grid,
    render,
    shape_distance,
)


OBJECT_CHROMA = 31.0  # halfway between the dullest object colour (41) and the brightest background (22)
MIN_AREA = 0.01  # of the frame; the smallest object that the renderer draws covers 0.03
UNKNOWN = np.full(3, np.nan)
QUANTILES = np.linspace(0.02, 0.98, 33)


@dataclass(frozen=True)
class ClipMeasures:
    """What can be seen in a clip.

    Args:
        present: Whether there is an object, (frames,).
        center: Centroid of the object, (frames, 2), x then y; NaN where there is none.
        lab: Mean colour of the object's inside, CIELAB, (3,); NaN if it is nowhere.
        background_lab: Mean colour of the background, CIELAB, (3,); NaN if the object is nowhere, or fills a frame.
        appearance: The nearest appearance that the renderer knows; None if the object is nowhere, or fills a frame.
    """

    present: np.ndarray
    center: np.ndarray
    lab: np.ndarray
    background_lab: np.ndarray
    appearance: Appearance | None

    def color_error(self, prompted: Appearance) -> float:
        """Distance of the object's colour from the prompted one, CIELAB."""
        return float(np.linalg.norm(self.lab - lab_of(OBJECT_COLORS[prompted.color])))


def lab_of(rgb: tuple[int, int, int]) -> np.ndarray:
    """CIELAB of an 8-bit sRGB colour."""
    return rgb2lab(np.array(rgb) / 255)


def object_mask(lab: np.ndarray) -> np.ndarray:
    """The largest saturated region of a frame, or an empty mask.

    Args:
        lab: A frame in CIELAB, (size, size, 3).
    """
    regions = label(np.hypot(lab[..., 1], lab[..., 2]) > OBJECT_CHROMA)
    largest = max(regionprops(regions), key=lambda region: region.area, default=None)
    if largest is None or largest.area < MIN_AREA * regions.size:
        return np.zeros(regions.shape, bool)
    return regions == largest.label


def measure_clip(frames: np.ndarray) -> ClipMeasures:
    """Measure a clip.

    Args:
        frames: (frames, size, size, 3), uint8 or floats from 0 to 1.
    """
    labs = rgb2lab(frames)
    masks = [object_mask(lab) for lab in labs]
    x, y = pixel_grid(frames.shape[1])
    present = np.array([mask.any() for mask in masks])
    center = np.array([(x[mask].mean(), y[mask].mean()) if mask.any() else (np.nan, np.nan) for mask in masks])
    if not present.any():
        return ClipMeasures(present, center, UNKNOWN, UNKNOWN, None)

    insides = [_eroded(mask) for mask in masks]
    lab = np.mean(
        [np.median(lab[inside], axis=0) for lab, inside in zip(labs, insides, strict=True) if inside.any()], 0
    )
    color = min(OBJECT_COLORS, key=lambda name: np.linalg.norm(lab - lab_of(OBJECT_COLORS[name])))
    overlaps = np.mean([[_overlap(mask, shape) for shape in SHAPES] for mask in masks if mask.any()], axis=0)
    backgrounds = [lab[~_dilated(mask)] for lab, mask in zip(labs, masks, strict=True)]
    if not all(map(len, backgrounds)):  # the whole frame is saturated: no object on a background any more
        return ClipMeasures(present, center, lab, UNKNOWN, None)
    profile = np.mean([_profile(pixels) for pixels in backgrounds], axis=0)
    background, pattern = min(_profiles(), key=lambda key: np.abs(profile - _profiles()[key]).mean())
    background_lab = np.mean([pixels.mean(0) for pixels in backgrounds], axis=0)
    appearance = Appearance(color, SHAPES[int(overlaps.argmax())], background, pattern)
    return ClipMeasures(present, center, lab, background_lab, appearance)


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
        generated: Centroids, (frames, 2).
        reference: Centroids, (frames, 2).
    """
    return float(np.nanmean(np.linalg.norm(generated - reference, axis=-1)))


def camera_points() -> np.ndarray:
    """Places in the frame at which the motion of the background is compared, (points, 2)."""
    axis = np.linspace(-0.75, 0.75, 4)
    return np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)


def background_displacement(frames: np.ndarray) -> np.ndarray:
    """How the background moves at `camera_points()`, by aligning successive frames (OpenCV's ECC, affine).

    Args:
        frames: (frames, size, size, 3), uint8 or floats from 0 to 1, with a patterned background.

    Returns:
        (frames - 1, points, 2); zero where a pair of frames cannot be aligned.
    """
    size = frames.shape[1]
    labs = rgb2lab(frames)
    gray = (labs[..., 0] / 100).astype(np.float32)
    backgrounds = [~_dilated(object_mask(lab), 5) for lab in labs]
    points = camera_points()
    pixels = (points + 1) * size / 2 - 0.5
    warp = np.eye(2, 3, dtype=np.float32)
    steps = []
    for before, after, mask in zip(gray[:-1], gray[1:], backgrounds[:-1], strict=True):
        warp = _align(before, after, mask, warp)
        steps.append((pixels @ warp[:, :2].T + warp[:, 2] - pixels) * 2 / size)
    return np.array(steps)


def text_fidelity(measures: list[ClipMeasures], prompted: list[Appearance]) -> dict[str, float]:
    """Shares of clips with the right colour, background and shape, and with the object in every frame."""
    pairs = list(zip(measures, prompted, strict=True))

    def share(names: tuple[str, ...]) -> float:
        right = [
            seen.appearance is not None
            and all(getattr(seen.appearance, name) == getattr(asked, name) for name in names)
            for seen, asked in pairs
        ]
        return float(np.mean(right))

    return {
        "color": share(("color",)),
        "background": share(("background", "pattern")),
        "shape": share(("shape",)),
        "present": float(np.mean([seen.present.all() for seen in measures])),
        "color_error": _mean_of_known([seen.color_error(asked) for seen, asked in pairs]),
    }


def _mean_of_known(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def object_fidelity(seen: ClipMeasures, motion: Motion) -> tuple[float, float]:
    """Displacement cosine and mean centroid distance of a generated clip to an object's reference motion."""
    reference = motion.screen_center
    cosine = displacement_cosine(np.diff(seen.center, axis=0), np.diff(reference, axis=0))
    distance = center_distance(seen.center, reference) if seen.present.any() else 2.0
    return cosine, distance


def camera_fidelity(frames: np.ndarray, motion: Motion) -> float:
    """Displacement cosine of the background to a camera's reference motion."""
    return displacement_cosine(background_displacement(frames), motion.background_displacement(camera_points()))


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


def _eroded(mask: np.ndarray) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), np.ones((3, 3))).astype(bool)


def _dilated(mask: np.ndarray, size: int = 7) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((size, size))).astype(bool)


def _profile(lab: np.ndarray) -> np.ndarray:
    """Colours of pixels in the order of lightness, at fixed quantiles: says which tones there are, and how much."""
    ordered = lab[np.argsort(lab[:, 0])]
    return ordered[(QUANTILES * (len(ordered) - 1)).astype(int)]


@functools.cache
def _profiles() -> dict[tuple[str, str], np.ndarray]:
    """Profiles of all backgrounds as the renderer draws them."""
    rng = np.random.default_rng(0)
    # The object is out of sight, and the camera looks at 16 places.
    away = Motion(np.full((16, 2), 9.0), rng.uniform(0, 1, (16, 2)), np.ones(16))
    return {
        (background, pattern): np.mean(
            [
                _profile(rgb2lab(frame).reshape(-1, 3))
                for frame in render(Appearance("red", "circle", background, pattern), away)
            ],
            axis=0,
        )
        for background in BACKGROUND_COLORS
        for pattern in PATTERNS
    }


@functools.cache
def _shape_geometry(shape: str) -> tuple[float, float, float]:
    """Area and centroid (x, y) of a shape of unit radius, summed on a fine grid."""
    x, y = (2 * axis for axis in pixel_grid(512))
    inside = shape_distance(shape, x, y) < 0
    return inside.mean() * 16, x[inside].mean(), y[inside].mean()


def _overlap(mask: np.ndarray, shape: str) -> float:
    """Intersection over union of a mask with a shape of the same area and centroid."""
    x, y = pixel_grid(len(mask))
    area, center_x, center_y = _shape_geometry(shape)
    radius = np.sqrt(mask.mean() * 4 / area)
    drawn = (
        shape_distance(shape, (x - x[mask].mean()) / radius + center_x, (y - y[mask].mean()) / radius + center_y) < 0
    )
    return float((drawn & mask).sum() / (drawn | mask).sum())
