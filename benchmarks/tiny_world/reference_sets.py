"""References from a generator with a seed, and the prompts that each is tried on.

Half of the families of motions are for choosing (`references.CHOOSING`), the other half for reporting only
(`reporting.REPORTING`, which nothing but the runner's mode for reporting imports).
"""

import functools
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.tiny_world.motions import CAMERA_FAMILIES, OBJECT_FAMILIES, PAIR_FAMILIES, CameraFamily, PathFamily
from benchmarks.tiny_world.scene import (
    BACKGROUND_COLORS,
    MAX_EXTENT,
    OBJECT_COLORS,
    PATTERNS,
    SHAPES,
    Appearance,
    Motion,
    Scene,
    Thing,
)


SEED = 18
NUM_PROMPTS = 6
RADII = {1: 0.32, 2: 0.27}  # by the number of objects
# Pairs of object and background by their contrast in lightness: hardly any, dark on light, light on dark.
CONTRASTS = (
    (("purple", "gray"), ("red", "gray"), ("purple", "brown"), ("blue", "brown")),
    (("blue", "white"), ("purple", "beige"), ("red", "white"), ("green", "beige")),
    (("yellow", "black"), ("cyan", "navy"), ("green", "black"), ("yellow", "navy")),
)


@dataclass(frozen=True)
class ReferenceSet:
    """References and their prompts.

    Args:
        object_scenes: Makes the scenes before a camera at rest, by name, for a number of frames.
        camera_scenes: The same of scenes before a moving camera, on patterned backgrounds.
        named_looks: The prompts of a reference by its name; None where `prompts_for` says them.
    """

    object_scenes: Callable[[int], dict[str, Scene]]
    camera_scenes: Callable[[int], dict[str, Scene]]
    named_looks: Callable[[str], tuple[Appearance, ...] | None] = lambda name: None

    def scenes(self, num_frames: int) -> dict[str, Scene]:
        """All of them, by name."""
        return self.object_scenes(num_frames) | self.camera_scenes(num_frames)

    def is_camera(self, name: str) -> bool:
        """Whether a reference is of a camera's motion."""
        return name in self.camera_scenes(2)

    def looks_for(self, name: str) -> tuple[Appearance, ...]:
        """The prompts that a reference is tried on."""
        return self.named_looks(name) or prompts_for(name, self.scenes(2)[name].appearance, self.is_camera(name))


def generated(half: int) -> ReferenceSet:
    """One half, 0 or 1, of what the seed gives: seven motions of objects, one of them of two, and four of cameras."""
    rng = np.random.default_rng(SEED)
    objects, pairs, cameras = (
        [families[number] for number in rng.permutation(len(families))[half::2]]
        for families in (OBJECT_FAMILIES, PAIR_FAMILIES, CAMERA_FAMILIES)
    )
    return ReferenceSet(
        functools.partial(_object_scenes, (*objects, *pairs)), functools.partial(_camera_scenes, tuple(cameras))
    )


def _rng_of(name: str) -> np.random.Generator:
    return np.random.default_rng((SEED, zlib.crc32(name.encode())))


def _object_scenes(families: tuple[PathFamily, ...], num_frames: int) -> dict[str, Scene]:
    return {family.__name__: _object_scene(family, number, num_frames) for number, family in enumerate(families)}


def _object_scene(family: PathFamily, number: int, num_frames: int) -> Scene:
    rng = _rng_of(family.__name__)
    look = _look(rng, number, two_objects=family in PAIR_FAMILIES)
    radius = RADII[len(look.things)]
    path = family(rng, np.linspace(0, 1, num_frames)) * (1 - MAX_EXTENT * radius - 0.01)
    return Scene(look, Motion.of_object(path[:, :2], path[:, 2:] if look.second else None), radius)


def _camera_scenes(families: tuple[CameraFamily, ...], num_frames: int) -> dict[str, Scene]:
    return {family.__name__: _camera_scene(family, number, num_frames) for number, family in enumerate(families)}


def _camera_scene(family: CameraFamily, number: int, num_frames: int) -> Scene:
    """Every other one has an object that moves on its own; the others' object goes with the middle of the frame."""
    rng, time = _rng_of(family.__name__), np.linspace(0, 1, num_frames)
    look = _look(rng, number, patterns=PATTERNS[1:])
    pose = family(rng, time)
    camera = Motion(np.zeros((num_frames, 2)), pose[:, :2], np.exp(pose[:, 2]), pose[:, 3])
    room = 1 - MAX_EXTENT * RADII[1] * np.exp(pose[:, 2]).max() - 0.01
    seen = room * OBJECT_FAMILIES[0](rng, time) if number % 2 else np.zeros((num_frames, 2))
    center = camera.to_world(seen[:, None])[:, 0]
    return Scene(look, Motion(center, camera.camera_shift, camera.camera_zoom, camera.camera_roll), RADII[1])


def _look(
    rng: np.random.Generator, number: int, two_objects: bool = False, patterns: tuple[str, ...] = PATTERNS
) -> Appearance:
    """A random look of the contrast whose turn it is."""
    pairs = CONTRASTS[number % len(CONTRASTS)]
    color, background = pairs[rng.integers(len(pairs))]
    first, second = rng.choice(SHAPES, 2, replace=False)
    other = rng.choice([name for name in OBJECT_COLORS if name != color])
    thing = Thing(str(other), str(second)) if two_objects else None
    return Appearance(color, str(first), background, str(rng.choice(patterns)), thing)


def prompts_for(name: str, shown: Appearance, is_camera: bool) -> tuple[Appearance, ...]:
    """Six prompts of as many objects that have no colour, shape and background in common with a reference.

    Args:
        name: Name of the reference; it is the seed of all chance.
        shown: What it shows.
        is_camera: Whether the background has to have a pattern.
    """
    rng = _rng_of(f"prompts of {name}")
    colors = [color for color in OBJECT_COLORS if color not in {thing.color for thing in shown.things}]
    shapes = [shape for shape in SHAPES if shape not in {thing.shape for thing in shown.things}]
    backgrounds = [background for background in BACKGROUND_COLORS if background != shown.background]
    patterns = PATTERNS[1:] if is_camera else PATTERNS
    orders = [rng.permutation(names) for names in (colors, shapes, backgrounds, patterns)]
    return tuple(_prompt(number, orders, shown.second is not None) for number in range(NUM_PROMPTS))


def _prompt(number: int, orders: list[np.ndarray], two_objects: bool) -> Appearance:
    color, shape, background, pattern = (str(order[number % len(order)]) for order in orders)
    colors, shapes, *_ = orders
    second = Thing(str(colors[(number + 1) % len(colors)]), str(shapes[(number + 1) % len(shapes)]))
    return Appearance(color, shape, background, pattern, second if two_objects else None)
