"""Families of motions that references are drawn from: a family and a source of chance give one motion.

Paths of objects are where they are seen, within -1 to 1 in each direction; who draws them scales them to the room that
there is. None of them is a smooth random path of the training clips.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.tiny_world.scene import turned


Rng = np.random.Generator
PathFamily = Callable[[Rng, np.ndarray], np.ndarray]  # chance and time from 0 to 1 to a path, (frames, 2)
CameraFamily = Callable[[Rng, np.ndarray], np.ndarray]  # the same to x, y, logarithm of the zoom, roll, (frames, 4)


def _sign(rng: Rng) -> float:
    return float(rng.choice([-1.0, 1.0]))


def _along(corners: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Places on straight lines from corner to corner, by the share of the way, each line taking as long."""
    at = np.linspace(0, 1, len(corners))
    return np.stack([np.interp(share, at, axis) for axis in corners.T], 1)


def _diagonal(rng: Rng) -> np.ndarray:
    """Two opposite places, (2, 2)."""
    end = np.array([_sign(rng), rng.uniform(-0.9, 0.9)])[:: int(_sign(rng))]
    return np.stack([-end, end])


def loop(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Once around an ellipse."""
    angle = 2 * np.pi * (_sign(rng) * time + rng.uniform())
    return np.stack([np.cos(angle), rng.uniform(0.5, 0.9) * np.sin(angle)], 1)


def knot(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Half a Lissajous figure of three waves against two."""
    angle = np.pi * _sign(rng) * time
    return np.stack([np.sin(2 * angle + rng.uniform(0.5, 1.0)), np.sin(3 * angle)], 1) * [1.0, 0.8]


def triangle(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Around a triangle, with corners."""
    angles = 2 * np.pi * (rng.uniform() + _sign(rng) * np.arange(4) / 3)
    return _along(np.stack([np.cos(angles), np.sin(angles)], 1), time)


def staircase(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Across and down by turns."""
    corners = np.array([[-1, -1], [-0.3, -1], [-0.3, 0], [0.4, 0], [0.4, 1], [1, 1]], float)
    return _along(corners * [_sign(rng), _sign(rng)], time)


def stop_and_go(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Along a line, with two stops on the way."""
    share = np.interp(time, np.linspace(0, 1, 6), [0, 0.35, 0.35, 0.7, 0.7, 1.0])
    return _along(_diagonal(rng), share)


def hops(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Two hops along the ground, each a parabola, with a rest after it."""
    number = np.minimum(np.floor(2 * time), 1)
    inside = np.minimum((2 * time - number) / 0.8, 1.0)
    return np.stack([_sign(rng) * (number + inside - 1), 0.6 - 4.8 * inside * (1 - inside)], 1)


def shuttle(rng: Rng, time: np.ndarray) -> np.ndarray:
    """There and back along a line, twice, turning at once."""
    return _along(_diagonal(rng), np.abs((4 * time + 1) % 2 - 1))


def pendulum(rng: Rng, time: np.ndarray) -> np.ndarray:
    """To and fro along an arc, slowest at its ends."""
    angle = 1.0 * _sign(rng) * np.cos(3 * np.pi * time)
    return np.stack([np.sin(angle) / np.sin(1), 1.5 * np.cos(angle) - 1.1], 1)


def slow_drift(rng: Rng, time: np.ndarray) -> np.ndarray:
    """A short way at constant speed."""
    return 0.45 * _along(_diagonal(rng), time)


def dash(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Slowly at first, then fast to the other side."""
    return _along(_diagonal(rng), time**3)


def wave(rng: Rng, time: np.ndarray) -> np.ndarray:
    """From one side to the other in waves."""
    return np.stack([_sign(rng) * (2 * time - 1), 0.8 * np.sin(4 * np.pi * time + rng.uniform(0, 2))], 1)


def coil(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Inwards in one and a half turns, ever faster."""
    angle = 3 * np.pi * _sign(rng) * time**1.3 + rng.uniform(0, 6)
    return (1 - 0.8 * time)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def passing(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Two objects that pass each other on two lines, (frames, 4)."""
    across, sign = _sign(rng) * (2 * time - 1), _sign(rng)
    return np.stack([across, np.full_like(time, -0.95 * sign), -across, np.full_like(time, 0.95 * sign)], 1)


def carousel(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Two objects opposite each other on a circle, three quarters of a turn, (frames, 4)."""
    angle = 1.5 * np.pi * _sign(rng) * time + rng.uniform(0, 6)
    place = 0.95 * np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.concatenate([place, -place], 1)


def _panned(path: np.ndarray, rng: Rng) -> np.ndarray:
    return np.column_stack([turned(path, np.full(len(path), rng.uniform(0, 2 * np.pi))), np.zeros((len(path), 2))])


def swing_pan(rng: Rng, time: np.ndarray) -> np.ndarray:
    """To one side, back, and to the other."""
    return _panned(np.stack([rng.uniform(0.25, 0.35) * np.sin(2 * np.pi * time), 0 * time], 1), rng)


def arc_pan(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Along a part of a circle."""
    angle = _sign(rng) * rng.uniform(0.8, 1.1) * np.pi * time
    return _panned(0.45 * np.stack([np.cos(angle), np.sin(angle)], 1), rng)


def accelerating_pan(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Along a line, ever faster."""
    return _panned(np.stack([rng.uniform(0.9, 1.1) * (time**2 - 0.5), 0 * time], 1), rng)


def shake(rng: Rng, time: np.ndarray) -> np.ndarray:
    """By hand: a few quick waves of shift and roll."""
    phases, rates = rng.uniform(0, 6, (3, 3)), rng.uniform(1.5, 4.0, (3, 3))
    waves = np.sin(2 * np.pi * rates[..., None] * time + phases[..., None]).mean(1)
    return np.stack([0.14 * waves[0], 0.14 * waves[1], 0 * time, 0.1 * waves[2]], 1)


def zoom_in_and_out(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Nearer and back again, or the other way round."""
    zoom = _sign(rng) * rng.uniform(0.3, 0.45) * (np.sin(np.pi * time) - 0.4)
    return np.stack([0 * time, 0 * time, zoom, 0 * time], 1)


def rushing_zoom(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Nearer or away, ever faster."""
    return np.stack([0 * time, 0 * time, _sign(rng) * rng.uniform(0.5, 0.65) * (time**2 - 0.5), 0 * time], 1)


def rocking_roll(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Tilted to one side, then to the other."""
    roll = _sign(rng) * np.deg2rad(rng.uniform(14, 20)) * np.sin(2 * np.pi * time)
    return np.stack([0 * time, 0 * time, 0 * time, roll], 1)


def turning_zoom(rng: Rng, time: np.ndarray) -> np.ndarray:
    """Tilted ever more while it comes nearer."""
    roll = _sign(rng) * np.deg2rad(rng.uniform(30, 40)) * (time - 0.5)
    return np.stack([0 * time, 0 * time, rng.uniform(0.4, 0.55) * (time - 0.5), roll], 1)


OBJECT_FAMILIES: tuple[PathFamily, ...] = (
    *(loop, knot, triangle, staircase, stop_and_go, hops, shuttle, pendulum, slow_drift, dash, wave, coil),
)
PAIR_FAMILIES: tuple[PathFamily, ...] = (passing, carousel)
CAMERA_FAMILIES: tuple[CameraFamily, ...] = (
    *(swing_pan, arc_pan, accelerating_pan, shake, zoom_in_and_out, rushing_zoom, rocking_roll, turning_zoom),
)
