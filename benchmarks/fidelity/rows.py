"""One row of figures for each clip."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.fidelity.lab import Clips, Lab, Outcome, Sides
from benchmarks.tiny_world.measures import (
    ClipMeasures,
    background_displacement,
    camera_points,
    center_distance,
    displacement_cosine,
    measure_clip,
    object_fidelity,
    text_fidelity,
)
from benchmarks.tiny_world.measures.clip import mean_of_known
from benchmarks.tiny_world.measures.objects import Seen
from benchmarks.tiny_world.scene import Appearance
from diffusers_motion_embed.metrics import appearance_leakage, track, track_fidelity


def rows_of(lab: Lab, reference: str, outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Every figure of every clip, of JSON's types, with None for what is not known."""
    original = None if outcome.reference is None else Original(lab, reference, outcome.reference)
    for clips in outcome.clips:
        for seed, of_seed in enumerate(clips.frames):
            for number, (look, clip) in enumerate(zip(clips.looks, of_seed, strict=True)):
                seen = measure_clip(clip, look)
                row = {"reference": reference, "use": clips.use, "prompt": look.prompt, "seed": seed}
                row |= {} if original is None else original.motion(clip, seen, look)
                row |= text_fidelity([seen])
                row |= {} if clips.plain is None else original.leakage(clip, seen, clips.plain[seed, number], look)
                row |= (
                    {} if clips.pictures is None else {"first_frame": first_frame_error(clip, clips.pictures[number])}
                )
                row |= {"center": seen.center.round(4), "targets": _targets(clips, seen)} if clips.targets else {}
                row |= {} if clips.sides is None else side_cosines(seen.objects, clips.sides)
                yield _without_nan(row | clips.figures)


def first_frame_error(clip: np.ndarray, picture: np.ndarray) -> float:
    """Mean distance of the first frame from the picture that was given, of 255.

    Args:
        clip: (frames, size, size, 3), uint8.
        picture: (size, size, 3), uint8.
    """
    return float(np.abs(clip[0].astype(float) - picture).mean())


class Original:
    """A reference, measured once, and how clips compare with it."""

    def __init__(self, lab: Lab, name: str, frames: np.ndarray) -> None:
        self.is_camera, self.scene = lab.references.is_camera(name), lab.scenes[name]
        self.frames, self.tracks = frames, track(frames)
        self.seen = measure_clip(frames, self.scene.appearance)

    def motion(self, clip: np.ndarray, seen: ClipMeasures, look: Appearance) -> dict[str, Any]:
        """How much a clip moves as the reference does."""
        fidelity = {"lk_fidelity": track_fidelity(track(clip), self.tracks).score}
        if self.is_camera:
            expected = self.scene.motion.background_displacement(camera_points())
            same = look.pattern == self.scene.appearance.pattern
            return {
                "cosine": displacement_cosine(background_displacement(clip, seen), expected),
                "same_pattern": same,
                **fidelity,
            }
        cosine, distance = object_fidelity(seen, self.scene.motion)
        return {"cosine": cosine, "distance": distance, **fidelity}

    def leakage(self, clip: np.ndarray, seen: ClipMeasures, plain: np.ndarray, look: Appearance) -> dict[str, Any]:
        """How much more a clip looks like the reference than the plain one, and the colours of all three."""
        looks = (seen, measure_clip(plain, look), self.seen)
        colors = {name: [getattr(each, name) for each in looks] for name in ("lab", "background_lab")}
        return {"leakage": appearance_leakage(clip, plain, self.frames).leakage, **colors}


def _targets(clips: Clips, seen: ClipMeasures) -> dict[str, dict[str, float]]:
    """Cosine, distance and gain by target; empty without an object."""
    if not seen.present.any():
        return {}
    return {
        name: {
            "cosine": displacement_cosine(np.diff(seen.center, axis=0), np.diff(target, axis=0)),
            "distance": center_distance(seen.center, target),
            "gain": gain(seen.center, target),
        }
        for name, target in clips.targets.items()
    }


def side_cosines(objects: list[Seen], sides: Sides) -> dict[str, float]:
    """How objects move on both sides of the picture; one is on the side where its mean place is.

    Args:
        objects: What is seen. Frames in which an object is not there count as no agreement.
        sides: The motion of each side.

    Returns:
        Mean displacement cosines: "own" with the motion that acts on the object's side, "other" with the one that acts
        on the other side; NaN if there is no such object.
    """
    found: dict[str, list[float]] = {"own": [], "other": []}
    for center in (each.center for each in objects if each.present.any()):
        side = int(mean_of_known(center[:, 0]) > 0)
        for name, path in (("own", sides[side]), ("other", sides[1 - side])):
            if path is not None:
                found[name].append(displacement_cosine(np.diff(center, axis=0), np.diff(path, axis=0)))
    return {name: mean_of_known(cosines) for name, cosines in found.items()}


def gain(center: np.ndarray, target: np.ndarray) -> float:
    """By how much the target's path, about its mean, has to be stretched to fit best: 1 the same, -1 mirrored."""
    known = np.isfinite(center).all(-1)
    centered, wanted = (path[known] - path[known].mean(0) for path in (center, target))
    return float((centered * wanted).sum() / (wanted**2).sum())


def _without_nan(value: Any) -> Any:
    """The same as JSON has it: lists for arrays, None for NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _without_nan(value.tolist())
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and np.isnan(value) else value
