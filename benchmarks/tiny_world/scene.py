"""What a clip of the tiny world shows (`Appearance`) and how it moves (`Motion`), and how both are drawn.

Lengths are in half frame widths: the frame spans -1 to 1, x to the right, y downwards. Prompts name the appearance
only, so the motion of a generated clip can come from chance or from a motion embedding, never from the text.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np


NUM_FRAMES = 16
FRAME_SIZE = 64  # pixels, both sides
FRAMES_PER_SECOND = 8

# sRGB, 0 to 255. Object colours are saturated and background colours are not, so that chroma alone tells them apart.
OBJECT_COLORS = {
    "red": (222, 44, 44),
    "green": (36, 168, 60),
    "blue": (44, 84, 226),
    "yellow": (240, 212, 40),
    "purple": (152, 48, 190),
    "cyan": (20, 204, 212),
}
# Base tone, and the second tone of its patterns.
BACKGROUND_COLORS = {
    "black": ((14, 14, 14), (66, 66, 66)),
    "gray": ((128, 128, 128), (84, 84, 84)),
    "white": ((242, 242, 242), (196, 196, 196)),
    "brown": ((98, 72, 54), (140, 112, 92)),
    "beige": ((224, 208, 180), (180, 164, 138)),
    "navy": ((34, 44, 76), (74, 86, 120)),
}
# Shapes that differ in where most of their area is, not in corners: thumbnails of 16 x 16 pixels tell them apart.
SHAPES = ("circle", "ring", "bar", "pillar")
MAX_EXTENT = 1.25  # of a shape of unit radius, from its centre along x or y
PATTERNS = ("plain", "checkered", "dotted")

CHECKER_CELL = 0.5
DOT_SPACING = 0.5
DOT_RADIUS = 0.14


@dataclass(frozen=True)
class Appearance:
    """Everything that the prompt says."""

    color: str
    shape: str
    background: str
    pattern: str = "plain"

    @property
    def prompt(self) -> str:
        """The caption of the clip, e.g. "a red square on a dotted navy background"."""
        pattern = "" if self.pattern == "plain" else f"{self.pattern} "
        return f"a {self.color} {self.shape} on a {pattern}{self.background} background"


@dataclass(frozen=True)
class Motion:
    """Everything that the prompt does not say.

    Args:
        center: Position of the object in the world, (frames, 2), x then y.
        camera_shift: Where in the world the camera looks, (frames, 2).
        camera_zoom: Magnification, (frames,).
    """

    center: np.ndarray
    camera_shift: np.ndarray
    camera_zoom: np.ndarray

    @classmethod
    def of_object(cls, center: np.ndarray) -> "Motion":
        """An object that moves before a camera at rest."""
        return cls(center, np.zeros_like(center), np.ones(len(center)))

    @property
    def screen_center(self) -> np.ndarray:
        """Position of the object in the frame, (frames, 2)."""
        return self.camera_zoom[:, None] * (self.center - self.camera_shift)

    def __getitem__(self, frames: slice) -> "Motion":
        """The motion of some of the frames."""
        return Motion(self.center[frames], self.camera_shift[frames], self.camera_zoom[frames])

    def background_displacement(self, points: np.ndarray) -> np.ndarray:
        """How far the background at `points` of the frame moves until the next frame.

        Args:
            points: Places in the frame, (points, 2).

        Returns:
            Displacements, (frames - 1, points, 2).
        """
        ratio = (self.camera_zoom[1:] / self.camera_zoom[:-1])[:, None, None]
        shift = (self.camera_zoom[1:, None] * np.diff(self.camera_shift, axis=0))[:, None]
        return (ratio - 1) * points - shift


def all_appearances() -> list[Appearance]:
    """Every combination that the model is trained on."""
    return [
        Appearance(color, shape, background, pattern)
        for color, shape, background, pattern in product(OBJECT_COLORS, SHAPES, BACKGROUND_COLORS, PATTERNS)
    ]


def shape_distance(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance (negative inside) to a shape of about unit radius; all have about the area of the unit disc."""
    if shape == "circle":
        return np.hypot(x, y) - 1.0
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.9) - 0.3
    if shape == "bar":
        return np.maximum(np.abs(x) - MAX_EXTENT, np.abs(y) - 0.63)
    if shape == "pillar":
        return shape_distance("bar", y, x)
    raise ValueError(f"Unknown shape {shape!r}; the tiny world has {', '.join(SHAPES)}.")


def pattern_distance(pattern: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed distance (negative where the second tone is) to a background pattern."""
    if pattern == "plain":
        return np.full_like(x, 1.0)
    if pattern == "checkered":
        wave = np.sin(np.pi * x / CHECKER_CELL) * np.sin(np.pi * y / CHECKER_CELL)
        return wave * CHECKER_CELL / np.pi
    if pattern == "dotted":
        x = (x / DOT_SPACING - np.round(x / DOT_SPACING)) * DOT_SPACING
        y = (y / DOT_SPACING - np.round(y / DOT_SPACING)) * DOT_SPACING
        return np.hypot(x, y) - DOT_RADIUS
    raise ValueError(f"Unknown pattern {pattern!r}; the tiny world has {', '.join(PATTERNS)}.")


def pixel_grid(size: int = FRAME_SIZE) -> tuple[np.ndarray, np.ndarray]:
    """X and y of every pixel's centre, each (size, size)."""
    axis = (np.arange(size) + 0.5) * 2 / size - 1
    x, y = np.meshgrid(axis, axis)
    return x, y


def render(
    appearance: Appearance,
    motion: Motion,
    *,
    radius: float = 0.34,
    size: int = FRAME_SIZE,
) -> np.ndarray:
    """Draw a clip.

    Args:
        appearance: What it shows.
        motion: How it moves.
        radius: Of the object at zoom 1, in half frame widths.
        size: Height and width of the frames, in pixels.

    Returns:
        Frames, (frames, size, size, 3), float32 from 0 to 1.
    """
    x, y = pixel_grid(size)
    zoom = motion.camera_zoom[:, None, None]
    pixel = 2 / size

    def coverage(distance: np.ndarray) -> np.ndarray:
        return np.clip(0.5 - distance / pixel, 0.0, 1.0)[..., None]

    world_x = x / zoom + motion.camera_shift[:, 0, None, None]
    world_y = y / zoom + motion.camera_shift[:, 1, None, None]
    center = motion.screen_center
    scale = radius * zoom
    object_x = (x - center[:, 0, None, None]) / scale
    object_y = (y - center[:, 1, None, None]) / scale

    base, second = (np.array(tone) / 255 for tone in BACKGROUND_COLORS[appearance.background])
    color = np.array(OBJECT_COLORS[appearance.color]) / 255
    second_tone = coverage(pattern_distance(appearance.pattern, world_x, world_y) * zoom)
    frames = base + (second - base) * second_tone
    frames = frames + (color - frames) * coverage(shape_distance(appearance.shape, object_x, object_y) * scale)
    return frames.astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """A clip that can be drawn: what it shows, how it moves, and how large the object is."""

    appearance: Appearance
    motion: Motion
    radius: float = 0.34

    def render(self, frame: slice = slice(None)) -> np.ndarray:
        """The chosen frames, all by default, (frames, size, size, 3), float32 from 0 to 1."""
        return render(self.appearance, self.motion[frame], radius=self.radius)


def random_appearance(rng: np.random.Generator) -> Appearance:
    """Any appearance of the training distribution."""
    words = (OBJECT_COLORS, SHAPES, BACKGROUND_COLORS)
    pattern = rng.choice(PATTERNS, p=[0.5, 0.25, 0.25])
    return Appearance(*(str(rng.choice(list(choices))) for choices in words), str(pattern))


def random_portrait(rng: np.random.Generator) -> Scene:
    """A single frame whose object is likely to be near the centre: the easy examples of what a shape is.

    Where the object can be anywhere, its outline is settled only when hardly any noise is left, and a caption tells
    little; at a known place it is settled early, and the caption tells it all.
    """
    radius = rng.uniform(0.30, 0.38)
    center = rng.uniform(0.0, 1.0) ** 2 * rng.uniform(-1, 1, 2) * (1 - MAX_EXTENT * radius)
    return Scene(random_appearance(rng), Motion.of_object(center[None]), radius)


def random_scene(rng: np.random.Generator, num_frames: int = NUM_FRAMES) -> Scene:
    """A clip of the training distribution: any appearance, a motion that has nothing to do with it."""
    appearance = random_appearance(rng)
    radius = rng.uniform(0.30, 0.38)
    kind = rng.choice(["object", "pan", "zoom"], p=[0.6, 0.2, 0.2])
    motion = {"object": random_path, "pan": random_pan, "zoom": random_zoom}[kind](rng, radius, num_frames)
    return Scene(appearance, motion, radius)


def random_path(rng: np.random.Generator, radius: float, num_frames: int = NUM_FRAMES) -> Motion:
    """A smooth path of the object: a Gaussian process in time, fitted into the frame."""
    time = np.arange(num_frames)
    length_scale = rng.uniform(2.0, 8.0)  # frames
    covariance = np.exp(-0.5 * ((time[:, None] - time) / length_scale) ** 2) + 1e-6 * np.eye(num_frames)
    path = np.linalg.cholesky(covariance) @ rng.standard_normal((num_frames, 2))
    path = (path - path.min(0)) / (np.ptp(path, 0) + 1e-9)
    room = 2 * (1 - MAX_EXTENT * radius)
    extent = room * rng.uniform(0.0, 1.0, 2) ** 0.5
    corner = rng.uniform(0, 1, 2) * (room - extent) - room / 2
    return Motion.of_object(corner + path * extent)


def random_pan(rng: np.random.Generator, radius: float, num_frames: int = NUM_FRAMES) -> Motion:
    """The camera moves past a resting object at constant speed."""
    room = 1 - MAX_EXTENT * radius
    start, end = rng.uniform(-room, room, (2, 2))
    time = np.linspace(0, 1, num_frames)[:, None]
    return Motion(np.tile(start, (num_frames, 1)), (start - end) * time, np.ones(num_frames))


def random_zoom(rng: np.random.Generator, radius: float, num_frames: int = NUM_FRAMES) -> Motion:
    """The camera zooms in or out at constant rate on a resting object; the object is `radius` large in the middle."""
    span = rng.uniform(np.log(1.2), np.log(2.0)) * rng.choice([-1, 1])
    zoom = np.exp(span * np.linspace(-0.5, 0.5, num_frames))
    room = (1 - MAX_EXTENT * radius * zoom.max()) / zoom.max()
    center = rng.uniform(-room, room, 2)
    return Motion(np.tile(center, (num_frames, 1)), np.zeros((num_frames, 2)), zoom)
