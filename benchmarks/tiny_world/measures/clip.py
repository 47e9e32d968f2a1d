"""What a clip shows, judged frame by frame as a person would, against what was asked for."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks.tiny_world.measures.cameras import camera_path
from benchmarks.tiny_world.measures.objects import TILTING, Seen, saturated, see_objects
from benchmarks.tiny_world.measures.patterns import Backgrounds, see_background, tones_of
from benchmarks.tiny_world.measures.pictures import dilated, halved, lab_of, labs_of, softened
from benchmarks.tiny_world.scene import BACKGROUND_COLORS, OBJECT_COLORS, Appearance, Thing


KINDS = ("present", "color", "shape", "background", "pattern")  # of what is judged in each frame
# Bounds of what passes; rendered clips pass them with the edges that the autoencoders give them.
MIN_COLOR_SHARE = 0.85  # of an object's inside that has to have its colour
MAX_SHAPE_DEVIATION = {"circle": 0.2, "ring": 0.25, "bar": 0.34, "pillar": 0.34}
MIN_RADIUS = 0.14  # half frame widths; the renderer's smallest object, seen from far, has 0.16
MAX_TILT = np.deg2rad(47)  # of a bar or pillar; beyond it is the other one
MAX_PATTERN_DEVIATION = {"plain": 0.2, "checkered": 0.42, "dotted": 0.42}
MAX_TONE_ERROR = 12.0  # CIELAB
UNKNOWN = np.full(3, np.nan)


@dataclass(frozen=True)
class ClipMeasures:
    """What can be seen in a clip of which it is known what it should show.

    Args:
        asked: What it should show.
        objects: The asked objects, in the order of the prompt.
        backgrounds: The background, frame by frame.
        present: Whether all objects are there, (frames,).
        color: Whether all have their colours, (frames,).
        shape: Whether all have their whole outlines, and nothing else looks like an object, (frames,).
        background: Whether the background has its colour, (frames,).
        pattern: Whether the background has its pattern, unbroken, (frames,).
        background_lab: Mean colour of the background, CIELAB, (3,); NaN if no object is seen, or a frame is full.
        flicker: Mean change of the background that no camera explains, CIELAB.
    """

    asked: Appearance
    objects: list[Seen]
    backgrounds: Backgrounds
    present: np.ndarray
    color: np.ndarray
    shape: np.ndarray
    background: np.ndarray
    pattern: np.ndarray
    background_lab: np.ndarray
    flicker: float

    @property
    def right(self) -> np.ndarray:
        """Whether everything is right, (frames,)."""
        return np.all([getattr(self, kind) for kind in KINDS], 0)

    @property
    def center(self) -> np.ndarray:
        """Centroid of the first object, (frames, 2), x then y; NaN where it is not."""
        return self.objects[0].center

    @property
    def lab(self) -> np.ndarray:
        """Mean colour of the first object's inside, CIELAB, (3,); NaN if it is nowhere."""
        labs = self.objects[0].lab[self.objects[0].present]
        return labs.mean(0) if len(labs) else UNKNOWN

    @property
    def color_error(self) -> float:
        """Distance of the first object's colour from the asked one, CIELAB."""
        return float(np.linalg.norm(self.lab - lab_of(OBJECT_COLORS[self.asked.color])))

    @property
    def camera(self) -> np.ndarray:
        """The camera's path, (frames, 4): x, y, logarithm of the zoom, roll; NaN where the pattern does not tell."""
        return camera_path(self.asked.pattern, self.backgrounds.pose, self.pattern)


def measure_clip(frames: np.ndarray, asked: Appearance) -> ClipMeasures:
    """Measure a clip.

    Args:
        frames: (frames, size, size, 3), uint8 or floats from 0 to 1.
        asked: What it should show.
    """
    labs = labs_of(frames)
    objects = see_objects(asked.things, labs)
    around = ~dilated(saturated(labs), 7)
    weights = (halved(around.astype(np.float32)) == 1).astype(np.float32)
    small = np.stack([halved(labs[..., channel]) for channel in range(3)], -1)
    seen = see_background(asked.background, asked.pattern, small, weights)
    present = np.all([each.present for each in objects], 0)
    return ClipMeasures(
        asked,
        objects,
        seen,
        present,
        present & np.all([each.color_share >= MIN_COLOR_SHARE for each in objects], 0),
        present & np.all([_has_shape(thing, each) for thing, each in zip(asked.things, objects, strict=True)], 0),
        _has_tones(asked, seen),
        seen.deviation <= MAX_PATTERN_DEVIATION[asked.pattern],
        _mean_background(labs, around, objects[0]),
        flicker_of(small, weights, seen),
    )


def _has_shape(thing: Thing, seen: Seen) -> np.ndarray:
    whole = (seen.deviation <= MAX_SHAPE_DEVIATION[thing.shape]) & (seen.placed[:, 2] >= np.log(MIN_RADIUS))
    return whole & (np.abs(seen.placed[:, 3]) <= MAX_TILT) if thing.shape in TILTING else whole


def _has_tones(asked: Appearance, seen: Backgrounds) -> np.ndarray:
    """Whether both tones are near those that were asked for, and nearer than to any others."""
    kinds = slice(0, 1) if asked.pattern == "plain" else slice(0, 2)
    distances = {
        name: np.linalg.norm(seen.tones[:, kinds] - tones_of(name)[kinds], axis=-1).max(-1)
        for name in BACKGROUND_COLORS
    }
    nearest = np.min(list(distances.values()), 0)
    return (distances[asked.background] <= nearest) & (nearest <= MAX_TONE_ERROR)


def _mean_background(labs: np.ndarray, around: np.ndarray, first: Seen) -> np.ndarray:
    if not first.present.any() or not around.any((1, 2)).all():
        return UNKNOWN
    return np.mean([lab[seen].mean(0) for lab, seen in zip(labs, around, strict=True)], 0)


def flicker_of(labs: np.ndarray, weights: np.ndarray, seen: Backgrounds) -> float:
    """Mean change of the background from frame to frame that no camera explains, CIELAB.

    Args:
        labs: Frames of half the size in CIELAB, (frames, size, size, 3).
        weights: 1 where the background is seen, 0 elsewhere, (frames, size, size).
        seen: What is seen there; what differs from the pattern is compared, or the pictures as they are if that is
            less.
    """
    tones = np.median(seen.tones, 0)
    explained = labs - (tones[0] + seen.drawn[..., None] * (tones[1] - tones[0]))
    both = weights[1:] * weights[:-1]

    def change(pictures: np.ndarray) -> np.ndarray:
        soft = np.stack([softened(pictures[..., channel], weights, 1.0) for channel in range(3)], -1)
        power = (np.diff(soft, axis=0) ** 2).sum(-1)
        return np.sqrt((power * both).sum((1, 2)) / np.maximum(both.sum((1, 2)), 1))

    changes = np.minimum(change(labs), change(explained))
    return float(changes.mean()) if len(changes) else 0.0


def text_fidelity(measures: list[ClipMeasures]) -> dict[str, float]:
    """Share of the frames that are right, of each kind and in all; share of the clips whose every frame is right."""
    frames = {kind: np.concatenate([getattr(seen, kind) for seen in measures]).mean() for kind in (*KINDS, "right")}
    return {
        **{kind: float(share) for kind, share in frames.items()},
        "every_frame": float(np.mean([seen.right.all() for seen in measures])),
        "flicker": float(np.mean([seen.flicker for seen in measures])),
        "color_error": mean_of_known(seen.color_error for seen in measures),
    }


def mean_of_known(values: Iterable[float]) -> float:
    """The mean without NaN; NaN if there is nothing else."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
