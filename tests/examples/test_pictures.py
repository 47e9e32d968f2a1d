"""Pictures of clips."""

import numpy as np
from PIL import Image

from examples.pictures import draw_paths, moving_path


def test_the_path_of_what_moves_is_found_before_any_background(tmp_path):
    frames = np.random.default_rng(0).integers(0, 100, (1, 40, 80, 3), dtype=np.uint8).repeat(5, 0)
    corners = np.array([[0, 0], [10, 30], [20, 60], [30, 40], [20, 10]])  # row and column of a square of ten
    for frame, (row, column) in zip(frames, corners, strict=True):
        frame[row : row + 10, column : column + 10] = [250, 220, 30]
    path = moving_path(frames)
    np.testing.assert_allclose(path, (corners[:, ::-1] + 5) / [80, 40], atol=0.01)
    draw_paths(path, {"clips": [path, path + 0.1]}, tmp_path / "paths.png")
    with Image.open(tmp_path / "paths.png") as picture:
        assert min(picture.size) > 300


def test_a_still_clip_has_no_path():
    assert np.isnan(moving_path(np.full((4, 8, 8, 3), 7, np.uint8))).all()
