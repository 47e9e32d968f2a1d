"""The latent space of the embedded models is chosen, not learned: what each place of a frame shows.

A denoiser this small learns from such latents within an hour on two cores what it does not learn in a day from those
that an autoencoder found by itself, nor from small pictures: there, outlines and the phase of a pattern are fine
differences between large numbers, and noise hides them until it is too late to decide them.

Where an object moves, its latents move with it. Where a camera moves, phases turn.
"""

import numpy as np
import torch

from benchmarks.tiny_world.scene import (
    BACKGROUND_COLORS,
    CHECKER_CELL,
    DOT_SPACING,
    OBJECT_COLORS,
    Appearance,
    Motion,
    Scene,
    pixel_grid,
)


LATENT_SIZE = 8  # places of a frame, both sides
BLOB_RADIUS = 0.22  # of the places that tell of an object, in half frame widths: a standard deviation
NOISE_SHIFT = 5.0  # of noise levels, towards those at which a clip's motion is decided
NOISE_SPREAD = 1.5  # standard deviation of their logits

# By pattern: which side of plain it is, and its waves, as rows. Their phases at a place, less those that it has before
# a camera at rest in the middle of the world, tell how far the background was moved there: the same everywhere before
# a camera that neither zooms nor rolls, so that places need not know where they are to agree.
# Where the second tone is the darker one, it is where waves are lowest, so that phases are sums of pixels.
PATTERN_KINDS = {"plain": 0.0, "checkered": 1.0, "dotted": -1.0}
PATTERN_WAVES = {
    "checkered": np.pi / CHECKER_CELL * np.array([[1.0, 1.0], [1.0, -1.0]]),
    "dotted": 2 * np.pi / DOT_SPACING * np.eye(2),
}
# How wide it is, and how solid: of bars and pillars also how they lie.
SHAPE_CODES = {"circle": (0.0, 1.0), "ring": (0.0, -1.0), "bar": (1.0, 0.0), "pillar": (-1.0, 0.0)}
# What makes the channels about equally large. Of the background: its colour, kind of pattern, zoom, roll, phases.
BACKGROUND_GAINS = np.array([1.5, 1.5, 1.5, 1.0, 10.0, 10.0, *[4.0] * 4])
# Of an object: presence, direction to its centre, colour, how it lies, how solid it is, size.
OBJECT_GAINS = np.array([3.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 8.0])
LATENT_CHANNELS = len(BACKGROUND_GAINS) + len(OBJECT_GAINS)
HINT_CHANNELS = 12  # cosines and sines of two waves: of both patterns at rest, and of the one shown


def scene_latents(scene: Scene, frame: slice = slice(None)) -> torch.Tensor:
    """The latents of the chosen frames, all by default.

    Returns:
        Latents, (frames, 20, 8, 8), float32, each within about -3 to 3: 10 channels of the background, ten of objects.
    """
    appearance, motion = scene.appearance, scene.motion[frame]
    places = _places(len(motion.center))
    latents = np.zeros((*places.shape[:-1], LATENT_CHANNELS))
    of_background, of_objects = np.split(latents, [len(BACKGROUND_GAINS)], axis=-1)

    size, roll = np.log(motion.camera_zoom)[:, None, None], motion.roll[:, None, None]
    of_background[..., :3] = _signed(BACKGROUND_COLORS[appearance.background][0])
    of_background[..., 3] = PATTERN_KINDS[appearance.pattern]
    if appearance.pattern != "plain":
        of_background[..., 4], of_background[..., 5] = size, roll
        of_background[..., 6:] = _waves(appearance, motion.to_world(places) - places)
    of_background *= BACKGROUND_GAINS

    for thing, center in zip(appearance.things, motion.screen_centers, strict=True):
        offset = (places - center[:, None, None]) / BLOB_RADIUS
        presence = np.exp(-0.5 * (offset**2).sum(-1, keepdims=True))
        lying, solid = SHAPE_CODES[thing.shape]
        told = np.ones((*offset.shape[:-1], len(OBJECT_GAINS)))
        told[..., 1:3] = offset
        told[..., 3:6] = _signed(OBJECT_COLORS[thing.color])
        told[..., 6], told[..., 7], told[..., 8] = lying * np.cos(2 * roll), lying * np.sin(2 * roll), solid
        told[..., 9] = np.log(scene.radius / 0.34) + size
        of_objects += presence * told * OBJECT_GAINS
    return torch.from_numpy(latents).permute(0, 3, 1, 2).float()


def displacement_told(motion: Motion, shown: str, pattern: str, points: np.ndarray) -> np.ndarray:
    """How a background moves whose latents have the phases of another one, that a camera moves.

    A camera turns phases, those of dots at other rates than those of checks: the same phases are another motion there.

    Args:
        motion: What the camera before the other background does.
        shown: The pattern of that background, not plain.
        pattern: The pattern of this one.
        points: Places in the frame, (points, 2).

    Returns:
        Displacements from frame to frame, (frames - 1, points, 2), as `Motion.background_displacement` has them.
    """
    corners = np.broadcast_to([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], (len(motion.center), 3, 2))
    moved = (motion.to_world(corners) - corners) @ PATTERN_WAVES[shown].T @ np.linalg.inv(PATTERN_WAVES[pattern]).T
    origin, axes = np.split(corners + moved, [1], axis=1)
    axes = axes - origin
    seen = origin[:-1] + points @ axes[:-1]
    return (seen - origin[1:]) @ np.linalg.inv(axes[1:]) - points


def scene_hints(scene: Scene, frame: slice = slice(None)) -> torch.Tensor:
    """What leads an autoencoder to `scene_latents`: where a place is, and the phases of the pattern that it shows.

    The phases in the latents are differences of these two. A network of convolutions finds neither that nor, from the
    edges of the frame, where it is, unless it is asked on the way.

    Returns:
        (frames, 12, 8, 8), float32, from -1 to 1: waves of both patterns at rest, then the waves of the pattern shown.
    """
    motion = scene.motion[frame]
    places = _places(len(motion.center))
    hints = [_cosines_and_sines(places @ waves.T) for waves in PATTERN_WAVES.values()]
    shown = np.zeros_like(hints[0])
    if scene.appearance.pattern != "plain":
        shown = _waves(scene.appearance, motion.to_world(places))
    return torch.from_numpy(np.concatenate([*hints, shown], -1)).permute(0, 3, 1, 2).float()


def pair_frames(latents: torch.Tensor) -> torch.Tensor:
    """The first frame twice, then pairs of frames, as the channels of one latent each: half as many frames.

    Args:
        latents: (clips, channels, 1 + 2·n, height, width).

    Returns:
        (clips, 2 · channels, 1 + n, height, width): channels of the earlier frame of each pair, then of the later one.
    """
    first_twice = torch.cat([latents[:, :, :1], latents], dim=2)
    return first_twice.unflatten(2, (-1, 2)).movedim(3, 1).flatten(1, 2)


def _places(num_frames: int) -> np.ndarray:
    """Centres of all places in so many frames, (frames, 8, 8, 2), x then y."""
    return np.broadcast_to(np.stack(pixel_grid(LATENT_SIZE), -1), (num_frames, LATENT_SIZE, LATENT_SIZE, 2))


def _waves(appearance: Appearance, points: np.ndarray) -> np.ndarray:
    """Cosines, then sines, of the pattern's phases at points of the world, (..., 4); negative for a darker tone."""
    phases = points @ PATTERN_WAVES[appearance.pattern].T
    base, second = BACKGROUND_COLORS[appearance.background]
    return np.sign(sum(second) - sum(base)) * _cosines_and_sines(phases)


def _cosines_and_sines(phases: np.ndarray) -> np.ndarray:
    """Of phases in radians, (..., n): (..., 2n)."""
    return np.concatenate([np.cos(phases), np.sin(phases)], -1)


def _signed(color: tuple[int, int, int]) -> np.ndarray:
    """sRGB, 0 to 255, as -1 to 1."""
    return np.array(color) / 127.5 - 1
