"""Videos of which it is known how everything moves: a textured square before a textured background at rest."""

import cv2
import numpy as np


NUM_FRAMES = 12
SIZE = (96, 128)  # height and width
SQUARE = 56


def texture(height, width, seed, cell=8):
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255)


def time():
    return np.linspace(0, 1, NUM_FRAMES)


def ellipse():
    """Corners of a square that goes round once, (frames, 2)."""
    angle = 2 * np.pi * time()
    return np.stack([34 + 12 * np.cos(angle), 20 + 9 * np.sin(angle)], 1)


def line(x, y):
    """The same, from one place straight on by (x, y) in all."""
    return np.array([20, 14]) + np.outer(time(), [x, y])


def moving_square(path, look=0):
    """A video of a square with its corner at each place of a path; `look` chooses both textures."""
    background, square = texture(*SIZE, look), texture(SQUARE, SQUARE, look + 1000)
    frames = []
    for x, y in path:
        shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
        drawn = cv2.warpAffine(square, shift, SIZE[::-1])
        share = cv2.warpAffine(np.ones((SQUARE, SQUARE), np.float32), shift, SIZE[::-1])[..., None]
        frames.append(drawn + (1 - share) * background)
    return np.stack(frames).round().astype(np.uint8)


def pan(x, y, look=0, size=SIZE):
    """A video of a picture that moves as a whole by (x, y) in each step."""
    height, width = size
    picture = texture(3 * height, 3 * width, look)
    frames = []
    for t in range(NUM_FRAMES):
        shift = np.array([[1, 0, t * x - width], [0, 1, t * y - height]], np.float32)
        frames.append(cv2.warpAffine(picture, shift, (width, height)))
    return np.stack(frames).round().astype(np.uint8)


def standing(video):
    return np.repeat(video[:1], len(video), 0)


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
