"""Objects as they are seen in each frame: where they are, of which colour, and how far their outline is right.

Objects are saturated and backgrounds are not, so chroma separates them. Two objects are told apart by their colours.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.tiny_world.measures.fitting import fit
from benchmarks.tiny_world.measures.pictures import coverage, dilated, eroded, halved, lab_of, places, softened
from benchmarks.tiny_world.scene import OBJECT_COLORS, Thing, pixel_grid, shape_distance, turned


OBJECT_CHROMA = 31.0  # halfway between the dullest object colour (41) and the brightest background (22)
MIN_AREA = 0.01  # of the frame; the smallest object that the renderer draws covers 0.03
TILTING = ("bar", "pillar")  # shapes that do not look the same when turned
SOFTNESS = 0.08  # width of the edges that are drawn, in half frame widths
STEPS = np.array([0.01, 0.01, 0.03, 0.03])  # of x and y, logarithm of the radius, and tilt
SOFT_SIGMA = 2.0  # pixels: what is smaller does not count


@dataclass(frozen=True)
class Seen:
    """An object in the frames of a clip.

    Args:
        mask: Its largest saturated region, (frames, size, size); empty where there is none.
        lab: Its median colour, CIELAB, (frames, 3); NaN where there is none.
        color_share: Share of its inside that is nearer to the asked colour than to any other, (frames,).
        placed: Where the shape that fits best is: x, y, logarithm of the radius, tilt, (frames, 4).
        deviation: Largest difference from that shape anywhere, 1 for a whole missing patch, (frames,).
    """

    mask: np.ndarray
    lab: np.ndarray
    color_share: np.ndarray
    placed: np.ndarray
    deviation: np.ndarray

    @property
    def present(self) -> np.ndarray:
        """Whether it is there, (frames,)."""
        return self.mask.any((1, 2))

    @property
    def center(self) -> np.ndarray:
        """Centroid, (frames, 2), x then y; NaN where it is not."""
        x, y = pixel_grid(self.mask.shape[1])
        return np.array([(x[m].mean(), y[m].mean()) if m.any() else (np.nan, np.nan) for m in self.mask])


def saturated(labs: np.ndarray) -> np.ndarray:
    """Where frames in CIELAB show objects, (frames, height, width)."""
    return np.hypot(labs[..., 1], labs[..., 2]) > OBJECT_CHROMA


def see_objects(things: tuple[Thing, ...], labs: np.ndarray) -> list[Seen]:
    """Every object that is asked for, in the frames of a clip.

    Args:
        things: One takes all that is saturated; of two, each takes what is nearer to its colour.
        labs: Frames in CIELAB, (frames, size, size, 3).
    """
    inside = saturated(labs)
    asked = np.stack([lab_of(OBJECT_COLORS[thing.color])[1:] for thing in things])
    owner = np.linalg.norm(labs[..., None, 1:] - asked, axis=-1).argmin(-1)
    background = _background_chroma(labs, inside)
    return [
        _see(thing, labs, inside & (owner == number), dilated(inside & (owner != number), 5), background)
        for number, thing in enumerate(things)
    ]


def _background_chroma(labs: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Median a and b of what no object is near, (frames, 2)."""
    around = ~dilated(inside, 7)
    return np.stack(
        [np.median(lab[seen][:, 1:], 0) if seen.any() else np.zeros(2) for lab, seen in zip(labs, around, strict=True)]
    )


def _see(thing: Thing, labs: np.ndarray, inside: np.ndarray, hidden: np.ndarray, background: np.ndarray) -> Seen:
    masks = np.stack([_largest(each) for each in inside])
    present = masks.any((1, 2))
    lab, color_share = np.full((len(labs), 3), np.nan), np.zeros(len(labs))
    for frame in np.flatnonzero(present):
        pixels = labs[frame][eroded(masks[frame]) if eroded(masks[frame]).any() else masks[frame]]
        lab[frame], color_share[frame] = np.median(pixels, 0), (_nearest_colors(pixels) == thing.color).mean()
    opacity = _opacity(labs, lab, background)
    placed, deviation = np.full((len(labs), 4), np.nan), np.full(len(labs), np.inf)
    if present.any():
        placed[present], deviation[present] = fit_shape(
            thing.shape, masks[present], opacity[present], (~hidden[present]).astype(np.float32)
        )
    return Seen(masks, lab, color_share, placed, deviation)


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected region of a mask, (size, size), or nothing if that is too small."""
    _, regions, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = statistics[1:, cv2.CC_STAT_AREA]
    if not len(areas) or areas.max() < MIN_AREA * mask.size:
        return np.zeros_like(mask)
    return regions == 1 + areas.argmax()


def _nearest_colors(pixels: np.ndarray) -> np.ndarray:
    """Names of the object colours that are nearest to pixels in CIELAB, (pixels, 3)."""
    known = np.stack([lab_of(color) for color in OBJECT_COLORS.values()])
    return np.array(list(OBJECT_COLORS))[np.linalg.norm(pixels[:, None] - known, axis=-1).argmin(1)]


def _opacity(labs: np.ndarray, lab: np.ndarray, background: np.ndarray) -> np.ndarray:
    """How far each pixel is from the background's chroma to the object's, from 0 to 1, (frames, size, size)."""
    way = np.nan_to_num(lab[:, 1:]) - background
    along = ((labs[..., 1:] - background[:, None, None]) * way[:, None, None]).sum(-1)
    return np.clip(along / np.maximum((way**2).sum(-1), 1.0)[:, None, None], 0.0, 1.0)


def draw_shape(shape: str, placed: np.ndarray, size: int, softness: float = SOFTNESS) -> np.ndarray:
    """A shape's opacity, (frames, size, size).

    Args:
        shape: Its name.
        placed: x, y, logarithm of the radius, tilt, (frames, 4).
        size: Height and width of the pictures, in pixels.
        softness: Width of the edges, in half frame widths.
    """
    radius = np.exp(placed[:, 2, None, None])
    away = (places(size) - placed[:, None, None, :2]) / radius[..., None]
    away = turned(away, -placed[:, 3, None, None])
    return coverage(shape_distance(shape, away[..., 0], away[..., 1]) * radius, softness)


def fit_shape(
    shape: str, masks: np.ndarray, opacity: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where the shape fits best, and `deviation` as in `Seen`.

    Args:
        shape: Its name.
        masks: Roughly where it is, (frames, size, size), none empty.
        opacity: What is seen of it, of the same shape.
        weights: 0 where something hides it, 1 elsewhere, of the same shape.
    """
    start = np.stack([_roughly(shape, mask) for mask in masks])
    steps = STEPS if shape in TILTING else STEPS[:3]

    def draw(placed: np.ndarray) -> np.ndarray:
        whole = placed if shape in TILTING else np.pad(placed, ((0, 0), (0, 1)))
        return draw_shape(shape, whole, opacity.shape[1] // 2)

    found, _ = fit(draw, start[:, : len(steps)], halved(opacity), halved(weights), steps)
    placed = np.pad(found, ((0, 0), (0, 4 - len(steps))))
    drawn = draw_shape(shape, placed, opacity.shape[1])
    difference = np.abs(softened(opacity - drawn, weights, SOFT_SIGMA)) * (weights > 0)
    return placed, difference.max((1, 2))


def _roughly(shape: str, mask: np.ndarray) -> np.ndarray:
    """A shape's place by the moments of a mask: x, y, logarithm of the radius, tilt."""
    x, y = (axis[mask] for axis in pixel_grid(len(mask)))
    radius = np.sqrt(mask.mean() * 4 / _area(shape))
    spread = np.cov(np.stack([x, y])) if len(x) > 2 else np.eye(2)
    tilt = 0.5 * np.arctan2(2 * spread[0, 1], spread[0, 0] - spread[1, 1])  # of the longest axis, from the x axis
    if shape == "pillar":
        tilt += np.pi / 2 if tilt < 0 else -np.pi / 2
    return np.array([x.mean(), y.mean(), np.log(radius), tilt if shape in TILTING else 0.0])


def _area(shape: str) -> float:
    """Area of a shape of unit radius."""
    x, y = (2 * axis for axis in pixel_grid(256))
    return float((shape_distance(shape, x, y) < 0).mean() * 16)
