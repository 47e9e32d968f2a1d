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
    OBJECT_COLORS,
    PERIODS,
    Appearance,
    Scene,
    pixel_grid,
)


LATENT_SIZE = 8  # places of a frame, both sides
BLOB_RADIUS = 0.22  # of the places that tell of an object, in half frame widths: a standard deviation
NOISE_SHIFT = 5.0  # of noise levels, towards those at which a clip's motion is decided
NOISE_SPREAD = 1.5  # standard deviation of their logits

PATTERN_KINDS = {"plain": 0.0, "checkered": 1.0, "dotted": -1.0}  # which side of plain a pattern is
# The waves of both patterns, as rows: their phases tell where a pattern is.
# Where the second tone is the darker one, it is where waves are lowest, so that phases are sums of pixels.
PATTERN_WAVES = 2 * np.pi * np.linalg.inv(PERIODS).T
# How wide it is, and how solid: of bars and pillars also how they lie.
SHAPE_CODES = {"circle": (0.0, 1.0), "ring": (0.0, -1.0), "bar": (1.0, 0.0), "pillar": (-1.0, 0.0)}
# What makes the channels about equally large. Of the background: its colour, kind of pattern, zoom, roll, phases.
BACKGROUND_GAINS = np.array([1.5, 1.5, 1.5, 1.0, 10.0, 10.0, *[4.0] * 4])
# Of an object: presence, direction to its centre, colour, how it lies, how solid it is, size.
OBJECT_GAINS = np.array([3.0, 4.0, 4.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 8.0])
LATENT_CHANNELS = len(BACKGROUND_GAINS) + len(OBJECT_GAINS)
HINT_CHANNELS = 8  # cosines and sines of two waves: of patterns at rest, and of the one shown


def scene_latents(scene: Scene, frame: slice = slice(None), *, in_places: bool = False) -> torch.Tensor:
    """The latents of the chosen frames, all by default.

    Args:
        scene: What is shown.
        frame: Which frames of it.
        in_places: Whether phases are those that each place shows, as in latents of real models: a pattern that moves
            from one place to the next takes its latents along. Otherwise they are less those that a place has before
            a camera at rest in the middle of the world: the same everywhere before one that neither zooms nor rolls.

    Returns:
        Latents, (frames, 20, 8, 8), float32, within about -4 to 4: ten channels of the background, ten of objects.
    """
    appearance, motion = scene.appearance, scene.motion[frame]
    places = places_of(len(motion.center))
    latents = np.zeros((*places.shape[:-1], LATENT_CHANNELS))
    of_background, of_objects = np.split(latents, [len(BACKGROUND_GAINS)], axis=-1)

    size, roll = np.log(motion.camera_zoom)[:, None, None], motion.roll[:, None, None]
    of_background[..., :3] = _signed(BACKGROUND_COLORS[appearance.background][0])
    of_background[..., 3] = PATTERN_KINDS[appearance.pattern]
    if appearance.pattern != "plain":
        of_background[..., 4], of_background[..., 5] = size, roll
        of_background[..., 6:] = _waves(appearance, motion.to_world(places) - places * (not in_places))
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


def scene_hints(scene: Scene, frame: slice = slice(None)) -> torch.Tensor:
    """What leads an autoencoder to `scene_latents`: where a place is, and the phases of the pattern that it shows.

    Phases that are not those of places are differences of these two. A network of convolutions finds neither that nor,
    from the edges of the frame, where it is, unless it is asked on the way.

    Returns:
        (frames, 8, 8, 8), float32, from -1 to 1: waves of patterns at rest, then the waves of the pattern shown.
    """
    motion = scene.motion[frame]
    places = places_of(len(motion.center))
    at_rest = _cosines_and_sines(places @ PATTERN_WAVES.T)
    shown = np.zeros_like(at_rest)
    if scene.appearance.pattern != "plain":
        shown = _waves(scene.appearance, motion.to_world(places))
    return torch.from_numpy(np.concatenate([at_rest, shown], -1)).permute(0, 3, 1, 2).float()


def pair_frames(latents: torch.Tensor) -> torch.Tensor:
    """The first frame twice, then pairs of frames, as the channels of one latent each: half as many frames.

    Args:
        latents: (clips, channels, 1 + 2·n, height, width).

    Returns:
        (clips, 2 · channels, 1 + n, height, width): channels of the earlier frame of each pair, then of the later one.
    """
    first_twice = torch.cat([latents[:, :, :1], latents], dim=2)
    return first_twice.unflatten(2, (-1, 2)).movedim(3, 1).flatten(1, 2)


def places_of(num_frames: int) -> np.ndarray:
    """Centres of all places in so many frames, (frames, 8, 8, 2), x then y."""
    return np.broadcast_to(np.stack(pixel_grid(LATENT_SIZE), -1), (num_frames, LATENT_SIZE, LATENT_SIZE, 2))


def _waves(appearance: Appearance, points: np.ndarray) -> np.ndarray:
    """Cosines, then sines, of the pattern's phases at points of the world, (..., 4); negative for a darker tone."""
    phases = points @ PATTERN_WAVES.T
    base, second = BACKGROUND_COLORS[appearance.background]
    return np.sign(sum(second) - sum(base)) * _cosines_and_sines(phases)


def _cosines_and_sines(phases: np.ndarray) -> np.ndarray:
    """Of phases in radians, (..., n): (..., 2n)."""
    return np.concatenate([np.cos(phases), np.sin(phases)], -1)


def _signed(color: tuple[int, int, int]) -> np.ndarray:
    """sRGB, 0 to 255, as -1 to 1."""
    return np.array(color) / 127.5 - 1
