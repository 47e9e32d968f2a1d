"""The clips that the tiny models are trained on: any appearance, and a motion that has nothing to do with it.

Objects and cameras follow smooth random paths, of every size and speed that the frame has room for.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.tiny_world.scene import (
    BACKGROUND_COLORS,
    MAX_EXTENT,
    NUM_FRAMES,
    OBJECT_COLORS,
    PATTERNS,
    SHAPES,
    Appearance,
    Motion,
    Scene,
    Thing,
)


RADII = {1: (0.30, 0.38), 2: (0.27, 0.32)}  # by the number of objects
CLEARANCE = 2.2  # least distance of two objects' centres, in radii
MAX_STEP = 0.2  # of a camera in one frame, in half frame widths: less than half the distance of two dots
# What moves, and how often.
KINDS = {"object": 0.25, "camera": 0.25, "object and camera": 0.15, "two objects": 0.2, "two objects and camera": 0.15}
# What a camera does, and how often: each may come with the others.
CAMERA_MOVES = {"pan": 0.6, "zoom": 0.4, "roll": 0.3}
TWO_OBJECTS = 0.5  # share of the portraits that show two


def random_scene(rng: np.random.Generator, num_frames: int = NUM_FRAMES) -> Scene:
    """A clip of the training distribution."""
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    appearance = random_appearance(rng, two_objects="two" in kind)
    radius = rng.uniform(*RADII[len(appearance.things)])
    if kind == "camera":
        motion = _until_it_fits(lambda strength: _before_camera(rng, num_frames, strength), radius)
    else:
        moving, number = "camera" in kind, len(appearance.things)
        motion = _until_it_fits(
            lambda strength: _with_paths(rng, num_frames, moving, number, radius, strength), radius
        )
    return Scene(appearance, _somewhere(rng, motion), radius)


def random_portrait(rng: np.random.Generator) -> Scene:
    """A single frame whose object is likely to be near the centre: the easy examples of what a shape is.

    Where the object can be anywhere, its outline is settled only when hardly any noise is left, and a caption tells
    little; at a known place it is settled early, and the caption tells it all.
    """
    if rng.uniform() < TWO_OBJECTS:
        radius = rng.uniform(*RADII[2])
        motion = _until_it_fits(lambda strength: _with_paths(rng, 1, False, 2, radius, strength), radius)
        return Scene(random_appearance(rng, two_objects=True), _somewhere(rng, motion), radius)
    radius = rng.uniform(*RADII[1])
    center = rng.uniform(0.0, 1.0) ** 2 * rng.uniform(-1, 1, 2) * (1 - MAX_EXTENT * radius)
    return Scene(random_appearance(rng), _somewhere(rng, Motion.of_object(center[None])), radius)


def random_appearance(rng: np.random.Generator, two_objects: bool = False) -> Appearance:
    """Any appearance of the training distribution; two objects have different colours."""
    colors = rng.choice(list(OBJECT_COLORS), 2, replace=False)
    shapes = rng.choice(SHAPES, 2)
    first, second = (Thing(str(color), str(shape)) for color, shape in zip(colors, shapes, strict=True))
    background = str(rng.choice(list(BACKGROUND_COLORS)))
    pattern = str(rng.choice(PATTERNS, p=[0.34, 0.33, 0.33]))
    return Appearance(first.color, first.shape, background, pattern, second if two_objects else None)


def random_camera(rng: np.random.Generator, num_frames: int, strength: float = 1.0) -> Motion:
    """A camera that pans, zooms and rolls, or some of these, along smooth paths; before it, an object at rest.

    Args:
        rng: The source of all chance.
        num_frames: Number of frames.
        strength: Size of the motion, as a share of what is drawn otherwise.
    """
    moves = {name: rng.uniform() < share for name, share in CAMERA_MOVES.items()}
    if not any(moves.values()):
        moves[str(rng.choice(list(moves)))] = True
    pan = smooth_path(rng, num_frames, 2) * rng.uniform(0.2, 1.2, 2) * rng.choice([0.2, 1.0, 1.0], 2) * moves["pan"]
    zoom = smooth_path(rng, num_frames, 1)[:, 0] * rng.uniform(np.log(1.15), np.log(2.0)) * moves["zoom"]
    roll = smooth_path(rng, num_frames, 1)[:, 0] * np.deg2rad(rng.uniform(8, 45)) * moves["roll"]
    steps = np.abs(np.diff(pan, axis=0)).max(initial=0)
    pan *= strength * min(1.0, MAX_STEP / max(steps, 1e-9))
    return Motion(np.zeros((num_frames, 2)), pan, np.exp(strength * zoom), strength * roll)


def seen_otherwise(rng: np.random.Generator, scene: Scene) -> Scene:
    """Every other scene turned and brought nearer or further away, since most cameras neither zoom nor roll."""
    if rng.uniform() < 0.5:
        return scene
    zoom, roll = np.exp(rng.uniform(-0.35, 0.35)), np.deg2rad(rng.uniform(-23, 23))
    motion = scene.motion
    return replace(
        scene, motion=replace(motion, camera_zoom=motion.camera_zoom * zoom, camera_roll=motion.roll + roll)
    )


def smooth_path(rng: np.random.Generator, num_frames: int, dimensions: int) -> np.ndarray:
    """A path between -0.5 and 0.5 in each dimension, (frames, dimensions): straight, or a Gaussian process in time."""
    time = np.arange(num_frames)
    if rng.uniform() < 0.25:
        path = np.outer(time, rng.choice([-1.0, 1.0], dimensions))
    else:
        length_scale = rng.uniform(2.0, 8.0)  # frames
        covariance = np.exp(-0.5 * ((time[:, None] - time) / length_scale) ** 2) + 1e-6 * np.eye(num_frames)
        path = np.linalg.cholesky(covariance) @ rng.standard_normal((num_frames, dimensions))
    return (path - path.min(0)) / (np.ptp(path, 0) + 1e-9) - 0.5


def random_path(rng: np.random.Generator, num_frames: int, room: float) -> np.ndarray:
    """A smooth path of any extent and place within -room to room, (frames, 2)."""
    extent = rng.uniform(0.0, 1.0, 2) ** 0.5
    return room * (2 * smooth_path(rng, num_frames, 2) * extent + rng.uniform(-1, 1, 2) * (1 - extent))


def _before_camera(rng: np.random.Generator, num_frames: int, strength: float) -> Motion:
    """An object at rest somewhere, before a moving camera."""
    camera = random_camera(rng, num_frames, strength)
    center = np.tile(rng.uniform(-0.7, 0.7, 2), (num_frames, 1))
    return replace(camera, center=center)


def _with_paths(
    rng: np.random.Generator, num_frames: int, moving_camera: bool, number: int, radius: float, strength: float
) -> Motion:
    """One or two objects whose paths in the frame are smooth, whatever the camera does."""
    camera = random_camera(rng, num_frames, strength) if moving_camera else Motion.of_object(np.zeros((num_frames, 2)))
    room = 1 - MAX_EXTENT * radius * camera.camera_zoom.max()
    if number == 2:
        paths = _separate_paths(rng, room, CLEARANCE * radius * camera.camera_zoom)
    else:
        paths = [random_path(rng, num_frames, room)]
    first, *others = (camera.to_world(path[:, None])[:, 0] for path in paths)
    return replace(camera, center=first, second_center=others[0] if others else None)


def _separate_paths(rng: np.random.Generator, room: float, clearance: np.ndarray) -> list[np.ndarray]:
    """Two paths that keep `clearance`, (frames,), if there are such among the pairs of many; otherwise any two."""
    paths = np.stack([random_path(rng, len(clearance), room) for _ in range(24)])
    distances = np.linalg.norm(paths[:, None] - paths, axis=-1)
    pairs = np.argwhere((distances >= clearance).all(-1))
    return list(paths[rng.choice(pairs) if len(pairs) else [0, 1]])


def _somewhere(rng: np.random.Generator, motion: Motion) -> Motion:
    """The same in the frame, in another part of the world, so that patterns are anywhere.

    If patterns before resting cameras were all in one place, captions would tell of it, and guidance could pull every
    clip there and hold it still.
    """
    shift = rng.uniform(-0.5, 0.5, 2)  # as far as patterns take to repeat
    center, second = motion.center + shift, motion.second_center
    second = None if second is None else second + shift
    return replace(motion, center=center, second_center=second, camera_shift=motion.camera_shift + shift)


def _until_it_fits(draw: Callable[[float], Motion], radius: float) -> Motion:
    """Draw motions, ever smaller ones, until the objects stay inside the frame and apart from each other."""
    for attempt in range(1000):
        motion = draw(0.95**attempt)
        if _fits(motion, radius):
            return motion
    raise AssertionError("No motion was found that fits into the frame.")


def _fits(motion: Motion, radius: float) -> bool:
    extent = MAX_EXTENT * radius * motion.camera_zoom[:, None] - 1e-6
    inside = all((np.abs(center) + extent <= 1).all() for center in motion.screen_centers)
    if motion.second_center is None:
        return inside
    first, second = motion.screen_centers
    return inside and bool((np.linalg.norm(first - second, axis=1) >= CLEARANCE * radius * motion.camera_zoom).all())
