"""Reference clips whose motions the tiny model has never seen, and prompts of other appearance to try them on.

Objects fly smooth random paths in training, cameras pan and zoom at constant speed; here are a figure of eight, a
zigzag, a bouncing ball and a spiral, and cameras that swing, arc, breathe and accelerate.
"""

from pathlib import Path

import numpy as np

from benchmarks.tiny_world.reference_sets import ReferenceSet, generated
from benchmarks.tiny_world.scene import FRAME_SIZE, NUM_FRAMES, Appearance, Motion, Scene
from diffusers_motion_embed import read_video


ASSETS = Path(__file__).parents[2] / "examples/assets"


def _time(num_frames: int) -> np.ndarray:
    return np.linspace(0, 1, num_frames)


def figure_eight(num_frames: int = NUM_FRAMES) -> Motion:
    angle = 2 * np.pi * _time(num_frames)
    return Motion.of_object(np.stack([0.55 * np.sin(angle), 0.4 * np.sin(2 * angle)], 1))


def zigzag(num_frames: int = NUM_FRAMES) -> Motion:
    time = _time(num_frames)
    wave = 2 * np.abs(2 * (1.5 * time - np.floor(1.5 * time + 0.5))) - 1
    return Motion.of_object(np.stack([1.1 * time - 0.55, 0.5 * wave], 1))


def bounce(num_frames: int = NUM_FRAMES) -> Motion:
    time = _time(num_frames)
    return Motion.of_object(np.stack([0.55 - 1.1 * time, 0.55 - 1.1 * np.abs(np.cos(2 * np.pi * time))], 1))


def spiral(num_frames: int = NUM_FRAMES) -> Motion:
    time = _time(num_frames)
    angle, radius = 4 * np.pi * time, 0.1 + 0.45 * time
    return Motion.of_object(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1))


def _camera(shift: np.ndarray | None = None, zoom: np.ndarray | None = None) -> Motion:
    frames = len(zoom if shift is None else shift)
    return Motion(
        np.zeros((frames, 2)),
        np.zeros((frames, 2)) if shift is None else shift,
        np.ones(frames) if zoom is None else zoom,
    )


def swing(num_frames: int = NUM_FRAMES) -> Motion:
    """A pan to one side, back, and to the other."""
    return _camera(shift=np.stack([0.3 * np.sin(2 * np.pi * _time(num_frames)), np.zeros(num_frames)], 1))


def arc(num_frames: int = NUM_FRAMES) -> Motion:
    """A pan along half a circle."""
    angle = np.pi * _time(num_frames)
    return _camera(shift=0.5 * np.stack([np.cos(angle), np.sin(angle) - 0.5], 1))


def breathe(num_frames: int = NUM_FRAMES) -> Motion:
    """A zoom in and out again."""
    return _camera(zoom=np.exp(0.5 * np.sin(np.pi * _time(num_frames))))


def rush(num_frames: int = NUM_FRAMES) -> Motion:
    """A zoom that starts slowly and gets faster."""
    return _camera(zoom=np.exp(0.7 * _time(num_frames) ** 2 - 0.3))


def object_references(num_frames: int = NUM_FRAMES) -> dict[str, Scene]:
    """Moving objects before a camera at rest, by name."""
    return {
        "figure_eight": Scene(Appearance("red", "bar", "black"), figure_eight(num_frames)),
        "zigzag": Scene(Appearance("blue", "circle", "white"), zigzag(num_frames)),
        "bounce": Scene(Appearance("yellow", "circle", "navy"), bounce(num_frames)),
        "spiral": Scene(Appearance("green", "ring", "beige"), spiral(num_frames)),
    }


def camera_references(num_frames: int = NUM_FRAMES) -> dict[str, Scene]:
    """Resting objects before a moving camera, by name."""
    return {
        "swing": Scene(Appearance("cyan", "pillar", "brown", "checkered"), swing(num_frames)),
        "arc": Scene(Appearance("red", "circle", "gray", "dotted"), arc(num_frames)),
        "breathe": Scene(Appearance("purple", "bar", "white", "checkered"), breathe(num_frames)),
        "rush": Scene(Appearance("yellow", "ring", "black", "dotted"), rush(num_frames)),
    }


OBJECT_REFERENCES = object_references()
CAMERA_REFERENCES = camera_references()

# No prompt shares colour, shape and background with the reference that it is tried on.
PROMPTS = (
    Appearance("yellow", "ring", "gray"),
    Appearance("green", "pillar", "white", "dotted"),
    Appearance("purple", "circle", "beige", "checkered"),
    Appearance("cyan", "bar", "brown"),
    Appearance("blue", "ring", "black", "dotted"),
    Appearance("red", "pillar", "navy", "checkered"),
)
CAMERA_PROMPTS = tuple(
    Appearance(color, shape, background, pattern)
    for color, shape, background, pattern in (
        ("yellow", "pillar", "gray", "checkered"),
        ("green", "circle", "white", "dotted"),
        ("purple", "ring", "beige", "checkered"),
        ("cyan", "bar", "brown", "dotted"),
        ("blue", "circle", "black", "checkered"),
        ("red", "ring", "navy", "dotted"),
    )
)


def named_looks(reference: str) -> tuple[Appearance, ...] | None:
    """The prompts that a reference of this name has always been tried on; None if it is a generated one."""
    if reference in CAMERA_REFERENCES:
        return CAMERA_PROMPTS
    return PROMPTS if reference in OBJECT_REFERENCES else None


_GENERATED = generated(0)
# Recipes and defaults are chosen by these: the clips in examples/assets, and half of what the generator gives.
CHOOSING = ReferenceSet(
    lambda num_frames: object_references(num_frames) | _GENERATED.object_scenes(num_frames),
    lambda num_frames: camera_references(num_frames) | _GENERATED.camera_scenes(num_frames),
    named_looks,
)


def as_video(scene: Scene) -> np.ndarray:
    """A scene drawn, (frames, size, size, 3), uint8."""
    return (scene.render() * 255).round().astype(np.uint8)


def reference_frames(name: str, num_frames: int = NUM_FRAMES, references: ReferenceSet = CHOOSING) -> np.ndarray:
    """The reference's video file, or the motion drawn if it has none, or in another number of frames.

    Returns:
        (frames, size, size, 3), uint8.
    """
    path = ASSETS / f"{name}.mp4"
    if num_frames != NUM_FRAMES or not path.is_file():
        return as_video(references.scenes(num_frames)[name])
    return read_video(path, NUM_FRAMES, height=FRAME_SIZE, width=FRAME_SIZE)
