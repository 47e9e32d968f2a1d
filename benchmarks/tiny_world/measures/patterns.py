"""Whether a background shows its pattern: the lattice that was drawn, found through the camera, frame by frame."""

import functools
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter

from benchmarks.tiny_world.measures.fitting import correlation, fit
from benchmarks.tiny_world.measures.pictures import blurred, coverage, lab_of, places, softened
from benchmarks.tiny_world.scene import (
    BACKGROUND_COLORS,
    DOT_CENTER,
    FRAME_SIZE,
    PERIODS,
    Motion,
    pattern_distance,
    turned,
)


SIZE = FRAME_SIZE // 2  # of the pictures in which lattices are looked for
SOFTNESS = 0.1  # width of the edges that are drawn, in half frame widths
ZOOMS = np.geomspace(0.5, 2.1, 27)
ROLLS = np.deg2rad(np.arange(0, 90, 3))
CANDIDATES = 5
WELL_MATCHED = 0.9  # correlation below which a better place is looked for from the neighbouring frames
SOFT_SIGMA = 1.0  # pixels of half the resolution: what is smaller does not count
MIN_CONTRAST = 0.5  # of the tones, as a share of theirs as they should be
MIN_CORRELATION = 0.87  # of the pattern with what is seen: dots pass for small checks until 0.8
STEPS = np.array([0.01, 0.01, 0.02, 0.02])  # of camera shift, logarithm of the zoom, and roll
# Two cosines that both patterns are mostly made of: cycles per half frame width, and signs.
DIRECTIONS = np.linalg.inv(PERIODS).T
SIGNS = np.sign(np.cos(2 * np.pi * DIRECTIONS @ DOT_CENTER))


@dataclass(frozen=True)
class Backgrounds:
    """The backgrounds of a clip as a pattern that a camera looks at.

    Args:
        pose: Where the camera looks, x and y, the logarithm of its zoom, and its roll, (frames, 4).
        drawn: Share of the second tone, (frames, size, size).
        tones: Colours of the base and of the second tone, CIELAB, (frames, 2, 3).
        deviation: The largest difference from the pattern anywhere, as a share of the tones' contrast, (frames,);
            infinite where there is no pattern at all.
    """

    pose: np.ndarray
    drawn: np.ndarray
    tones: np.ndarray
    deviation: np.ndarray


def tones_of(background: str) -> np.ndarray:
    """CIELAB of its two tones, (2, 3)."""
    return np.stack([lab_of(tone) for tone in BACKGROUND_COLORS[background]])


def camera_of(pose: np.ndarray) -> Motion:
    """The camera that sees the pattern so, (frames, 4)."""
    return Motion(np.zeros_like(pose[:, :2]), pose[:, :2], np.exp(pose[:, 2]), pose[:, 3])


def draw_pattern(pattern: str, pose: np.ndarray) -> np.ndarray:
    """Share of the second tone, (frames, size, size)."""
    world = camera_of(pose).to_world(np.broadcast_to(places(SIZE), (len(pose), SIZE, SIZE, 2)))
    distance = pattern_distance(pattern, world[..., 0], world[..., 1]) * np.exp(pose[:, 2, None, None])
    return coverage(distance, SOFTNESS)


def find_pattern(pattern: str, lightness: np.ndarray, weights: np.ndarray, darker: bool) -> np.ndarray:
    """The camera under which the pattern looks most like the pictures, (frames, 4).

    Args:
        pattern: A pattern that is not plain.
        lightness: (frames, size, size).
        weights: 1 where the background is seen, 0 elsewhere, of the same shape.
        darker: Whether the second tone is the darker one.
    """
    pictures = -lightness if darker else lightness
    best = None
    for pose in _candidates(pictures, weights):
        score = correlation(draw_pattern(pattern, pose), pictures, weights)
        best = (pose, score) if best is None else _better((pose, score), best)
    found = fit(lambda pose: draw_pattern(pattern, pose), best[0], pictures, weights, STEPS)
    return _with_neighbours(pattern, found, pictures, weights)


def _better(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of two poses of each frame the one with the higher score."""
    wins = one[1] > other[1]
    return np.where(wins[:, None], one[0], other[0]), np.where(wins, one[1], other[1])


def _with_neighbours(
    pattern: str, found: tuple[np.ndarray, np.ndarray], pictures: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The poses, those of badly matched frames looked for again from where the neighbours are."""
    for offset in (1, -1):
        pose, score = found
        weak = np.flatnonzero(score < WELL_MATCHED)
        if not len(weak):
            break
        start = pose[(weak + offset).clip(0, len(pose) - 1)]
        again = fit(lambda pose: draw_pattern(pattern, pose), start, pictures[weak], weights[weak], STEPS)
        pose[weak], score[weak] = _better(again, (pose[weak], score[weak]))
    return found[0]


def _candidates(pictures: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """The poses, (frames, 4) each, whose two cosines are strongest in the pictures."""
    waves = _waves()
    seen = weights.reshape(len(weights), -1)
    flat = pictures.reshape(len(pictures), -1)
    mean = (flat * seen).sum(1, keepdims=True) / np.maximum(seen.sum(1, keepdims=True), 1)
    strengths = ((flat - mean) * seen).astype(np.float32) @ waves.real + 1j * (
        ((flat - mean) * seen).astype(np.float32) @ waves.imag
    )
    strengths = strengths.reshape(len(pictures), len(ZOOMS), len(ROLLS), 2)
    power = (np.abs(strengths) ** 2).sum(-1)
    peaks = np.where(power == maximum_filter(power, (1, 3, 3), mode=("nearest", "nearest", "wrap")), power, 0)
    order = np.argsort(-peaks.reshape(len(peaks), -1), axis=1)[:, :CANDIDATES]
    frames = np.arange(len(pictures))
    poses = []
    for zoom, roll in (np.unravel_index(place, power.shape[1:]) for place in order.T):
        phases = np.angle(SIGNS * strengths[frames, zoom, roll]) / (2 * np.pi)
        shift = np.linalg.solve(DIRECTIONS, phases.T).T
        poses.append(np.column_stack([shift, np.log(ZOOMS[zoom]), ROLLS[roll]]))
    return poses


@functools.cache
def _waves() -> np.ndarray:
    """The two waves of patterns under every zoom and roll, (pixels, zooms · rolls · 2)."""
    zoom, roll = (axis[..., None] for axis in np.meshgrid(ZOOMS, ROLLS, indexing="ij"))
    frequencies = turned(DIRECTIONS, roll) / zoom[..., None]  # cycles per half frame width, (zooms, rolls, 2, 2)
    return np.exp(-2j * np.pi * places(SIZE).reshape(-1, 2) @ frequencies.reshape(-1, 2).T).astype(np.complex64)


def see_background(background: str, pattern: str, labs: np.ndarray, weights: np.ndarray) -> Backgrounds:
    """How a background looks, taken for one of this name and pattern.

    Args:
        background: Name of its colour.
        pattern: Name of its pattern.
        labs: Frames of half the size in CIELAB, (frames, size, size, 3).
        weights: 1 where the background is seen, 0 elsewhere, (frames, size, size).
    """
    base, second = tones_of(background)
    contrast = second[0] - base[0]
    if pattern == "plain":
        pose, drawn = np.full((len(labs), 4), np.nan), np.zeros(labs.shape[:3])
    else:
        pose = find_pattern(pattern, labs[..., 0], weights, darker=contrast < 0)
        drawn = draw_pattern(pattern, pose)
    tones = _tones(drawn, labs, weights, pattern == "plain")
    expected = tones[:, 0, 0, None, None] + drawn * (tones[:, 1, 0] - tones[:, 0, 0])[:, None, None]
    visible = np.ones(len(labs)) if pattern == "plain" else (tones[:, 1, 0] - tones[:, 0, 0]) / contrast
    scale = contrast * visible.clip(0.3, 1.0)  # what is drawn faintly has to be even all the more
    difference = softened(labs[..., 0] - expected, weights, SOFT_SIGMA) / scale[:, None, None]
    enough = blurred(weights, SOFT_SIGMA) > 0.6  # not the narrow places beside objects, whose colours run
    deviation = (np.abs(difference) * enough).max((1, 2))
    if pattern != "plain":
        alike = correlation(drawn * np.sign(contrast), labs[..., 0], weights)
        deviation[(visible < MIN_CONTRAST) | (alike < MIN_CORRELATION)] = np.inf
    return Backgrounds(pose, drawn, tones, deviation)


def _tones(drawn: np.ndarray, labs: np.ndarray, weights: np.ndarray, plain: bool) -> np.ndarray:
    """Colours of both tones, by least squares, (frames, 2, 3); the same colour twice on a plain background."""
    shares = np.ones_like(drawn)[..., None] if plain else np.stack([1 - drawn, drawn], -1)
    shares = (shares * weights[..., None]).reshape(len(labs), -1, shares.shape[-1])
    colors = (labs * weights[..., None]).reshape(len(labs), -1, 3)
    square = shares.transpose(0, 2, 1) @ shares + 1e-6 * np.eye(shares.shape[-1])
    tones = np.linalg.solve(square, shares.transpose(0, 2, 1) @ colors)
    return np.repeat(tones, 2, 1) if plain else tones
