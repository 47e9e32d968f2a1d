"""Finding how something that can be drawn has to be placed to look like a picture."""

from collections.abc import Callable

import numpy as np


Draw = Callable[[np.ndarray], np.ndarray]  # (frames, parameters) to (frames, height, width)
DAMPING = 1e-3  # of the first step, as a share of the curvature
ITERATIONS = 7


def fit(
    draw: Draw, start: np.ndarray, pictures: np.ndarray, weights: np.ndarray, steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The parameters under which drawings correlate most with pictures, frame by frame (Levenberg and Marquardt).

    Args:
        draw: Draws all frames.
        start: Parameters to start from, (frames, parameters).
        pictures: (frames, height, width).
        weights: What counts how much, of the same shape.
        steps: By how much each parameter is varied for its derivative, (parameters,).

    Returns:
        Parameters, and the correlations reached, (frames,).
    """
    frames = len(start)
    root = np.sqrt(weights).reshape(frames, -1)
    target = _standardized(pictures, root)
    found, damping = start.astype(np.float32), np.full(frames, DAMPING, np.float32)
    drawn = _standardized(draw(found), root)
    score = (drawn * target).sum(1)
    for _ in range(ITERATIONS):
        varied = [_standardized(draw(found + step), root) for step in np.diag(steps).astype(np.float32)]
        slopes = np.stack([each - drawn for each in varied], -1)
        curvature = slopes.transpose(0, 2, 1) @ slopes
        damped = curvature + damping[:, None, None] * _diagonal(curvature)
        pull = slopes.transpose(0, 2, 1) @ (target - drawn)[..., None]
        proposed = found + np.linalg.solve(damped, pull)[..., 0].clip(-9, 9) * steps.astype(np.float32)
        redrawn = _standardized(draw(proposed), root)
        better = (rescored := (redrawn * target).sum(1)) > score
        found, drawn, score = (
            np.where(better.reshape(-1, *(1,) * (old.ndim - 1)), new, old)
            for new, old in ((proposed, found), (redrawn, drawn), (rescored, score))
        )
        damping = np.where(better, damping / 4, damping * 8)
    return found, score


def correlation(drawn: np.ndarray, pictures: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted correlations of stacks of pictures, (frames,)."""
    root = np.sqrt(weights).reshape(len(weights), -1)
    return (_standardized(drawn, root) * _standardized(pictures, root)).sum(1)


def _standardized(pictures: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Pictures as weighted vectors of mean 0 and length 1, (frames, pixels)."""
    flat = pictures.reshape(len(pictures), -1)
    power = root**2
    mean = (flat * power).sum(1, keepdims=True) / np.maximum(power.sum(1, keepdims=True), 1e-6)
    flat = (flat - mean) * root
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


def _diagonal(matrices: np.ndarray) -> np.ndarray:
    """The diagonals alone, and something where they are 0."""
    return matrices * np.eye(matrices.shape[-1], dtype=np.float32) + 1e-6 * np.eye(matrices.shape[-1])
