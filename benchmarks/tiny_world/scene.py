"""What a clip of the tiny world shows (`Appearance`) and how it moves (`Motion`), and how both are drawn.

Lengths are in half frame widths: the frame spans -1 to 1, x to the right, y downwards. Prompts name the appearance
only, so the motion of a generated clip can come from chance or from a motion embedding, never from the text.
"""

from dataclasses import dataclass, fields
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
# Shapes that differ in where most of their area is, not in corners, which few pixels show.
SHAPES = ("circle", "ring", "bar", "pillar")
MAX_EXTENT = 1.25  # of a shape of unit radius, from its centre along x or y
PATTERNS = ("plain", "checkered", "dotted")

CHECKER_CELL = 0.5
DOT_RADIUS = 0.18
# Both patterns are on one lattice: dots are in the middle of the checks that have the second tone. These shifts, as
# rows, leave both as they are.
PERIODS = CHECKER_CELL * np.array([[1.0, 1.0], [1.0, -1.0]])
DOT_CENTER = CHECKER_CELL * np.array([0.5, -0.5])  # of one of them


@dataclass(frozen=True)
class Thing:
    """An object by its looks."""

    color: str
    shape: str

    def __str__(self) -> str:
        return f"a {self.color} {self.shape}"


@dataclass(frozen=True)
class Appearance:
    """Everything that the prompt says.

    Args:
        color: Colour of the object.
        shape: Its shape.
        background: Colour of the background.
        pattern: Its pattern.
        second: A second object, of another colour.
    """

    color: str
    shape: str
    background: str
    pattern: str = "plain"
    second: Thing | None = None

    @property
    def things(self) -> tuple[Thing, ...]:
        """The objects, one or two."""
        first = Thing(self.color, self.shape)
        return (first,) if self.second is None else (first, self.second)

    @property
    def prompt(self) -> str:
        """The caption of the clip, e.g. "a red ring and a blue bar on a dotted navy background"."""
        pattern = "" if self.pattern == "plain" else f"{self.pattern} "
        return f"{' and '.join(map(str, self.things))} on a {pattern}{self.background} background"


def turned(points: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Points turned about the origin, clockwise as one sees them.

    Args:
        points: (..., 2), x then y.
        angle: In radians, of a shape that goes with the points' leading axes.
    """
    x, y = points[..., 0], points[..., 1]
    return np.stack([np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y], -1)


@dataclass(frozen=True)
class Motion:
    """Everything that the prompt does not say.

    Args:
        center: Position of the object in the world, (frames, 2), x then y.
        camera_shift: Where in the world the camera looks, (frames, 2).
        camera_zoom: Magnification, (frames,).
        camera_roll: How far the picture is turned clockwise, in radians, (frames,); None for not at all.
        second_center: Position of the second object, (frames, 2); None if there is only one.
    """

    center: np.ndarray
    camera_shift: np.ndarray
    camera_zoom: np.ndarray
    camera_roll: np.ndarray | None = None
    second_center: np.ndarray | None = None

    @classmethod
    def of_object(cls, center: np.ndarray, second_center: np.ndarray | None = None) -> "Motion":
        """Objects that move before a camera at rest."""
        return cls(center, np.zeros_like(center), np.ones(len(center)), second_center=second_center)

    @property
    def roll(self) -> np.ndarray:
        """`camera_roll`, zeros for None."""
        return np.zeros(len(self.center)) if self.camera_roll is None else self.camera_roll

    @property
    def centers(self) -> tuple[np.ndarray, ...]:
        """Positions of the objects in the world, (frames, 2) each."""
        return (self.center,) if self.second_center is None else (self.center, self.second_center)

    @property
    def screen_centers(self) -> tuple[np.ndarray, ...]:
        """Positions of the objects in the frame, (frames, 2) each."""
        return tuple(self.to_screen(center[:, None])[:, 0] for center in self.centers)

    @property
    def screen_center(self) -> np.ndarray:
        """Position of the object, or of the first one, in the frame, (frames, 2)."""
        return self.screen_centers[0]

    def to_screen(self, points: np.ndarray) -> np.ndarray:
        """Where points of the world are in the frame.

        Args:
            points: (frames, ..., 2).
        """
        per_frame = (slice(None), *(None,) * (points.ndim - 2))
        moved = (points - self.camera_shift[(*per_frame, slice(None))]) * self.camera_zoom[(*per_frame, None)]
        return turned(moved, self.roll[per_frame])

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Which points of the world are seen at points of the frame, (frames, ..., 2): the inverse of `to_screen`."""
        per_frame = (slice(None), *(None,) * (points.ndim - 2))
        moved = turned(points, -self.roll[per_frame]) / self.camera_zoom[(*per_frame, None)]
        return moved + self.camera_shift[(*per_frame, slice(None))]

    def __getitem__(self, frames: slice) -> "Motion":
        """The motion of some of the frames."""
        values = (getattr(self, each.name) for each in fields(self))
        return Motion(*(value if value is None else value[frames] for value in values))

    def background_displacement(self, points: np.ndarray) -> np.ndarray:
        """How far the background at `points` of the frame moves until the next frame.

        Args:
            points: Places in the frame, (points, 2).

        Returns:
            Displacements, (frames - 1, points, 2).
        """
        seen = self[:-1].to_world(np.broadcast_to(points, (len(self.center) - 1, *points.shape)))
        return self[1:].to_screen(seen) - points


def all_appearances() -> list[Appearance]:
    """Every combination of one object that the models are trained on."""
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
        cells = (np.stack([x, y], -1) - DOT_CENTER) @ np.linalg.inv(PERIODS)
        return np.linalg.norm((cells - np.round(cells)) @ PERIODS, axis=-1) - DOT_RADIUS
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
        radius: Radius of the objects at zoom 1, in half frame widths.
        size: Height and width of the frames, in pixels.

    Returns:
        Frames, (frames, size, size, 3), float32 from 0 to 1.
    """
    zoom = motion.camera_zoom[:, None, None]
    pixel = 2 / size

    def coverage(distance: np.ndarray) -> np.ndarray:
        return np.clip(0.5 - distance / pixel, 0.0, 1.0)[..., None]

    pixels = np.broadcast_to(np.stack(pixel_grid(size), -1), (len(zoom), size, size, 2))
    world = motion.to_world(pixels)
    base, second = (np.array(tone) / 255 for tone in BACKGROUND_COLORS[appearance.background])
    second_tone = coverage(pattern_distance(appearance.pattern, world[..., 0], world[..., 1]) * zoom)
    frames = base + (second - base) * second_tone
    for thing, center in zip(appearance.things, motion.centers, strict=True):
        color = np.array(OBJECT_COLORS[thing.color]) / 255
        place = (world - center[:, None, None]) / radius
        frames = frames + (color - frames) * coverage(
            shape_distance(thing.shape, place[..., 0], place[..., 1]) * radius * zoom
        )
    return frames.astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """A clip that can be drawn: what it shows, how it moves, and how large the objects are."""

    appearance: Appearance
    motion: Motion
    radius: float = 0.34

    def render(self, frame: slice = slice(None)) -> np.ndarray:
        """The chosen frames, all by default, (frames, size, size, 3), float32 from 0 to 1."""
        return render(self.appearance, self.motion[frame], radius=self.radius)
