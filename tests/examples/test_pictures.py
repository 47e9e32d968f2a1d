"""Pictures of clips."""

import numpy as np
from PIL import Image, ImageSequence

from examples.pictures import draw_paths, moving_path, write_comparison


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


def test_clips_of_any_size_and_length_move_beside_one_another(tmp_path):
    short, long = np.full((2, 10, 20, 3), 255, np.uint8), np.zeros((3, 40, 40, 3), np.uint8)
    long[2] = 90  # equal frames in a row would be stored as one
    short[0] = 0
    rows = [[("first", short), ("a label too long for one line", long)], [("last", short)]]
    write_comparison(rows, tmp_path / "comparison.webp", fps=4, width=60)
    with Image.open(tmp_path / "comparison.webp") as picture:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(picture)]
        assert (picture.n_frames, picture.info["loop"]) == (3, 0)
    corner = frames[0].shape[0] - 20  # within the last row's clip, of 60 x 30 pixels
    assert [frame[corner, 30] > 128 for frame in frames] == [False, True, False]  # begins again
    assert all(frame[70:90, 90].max() < 128 for frame in frames)
    assert frames[0].shape[1] == 2 * 60 + 3 * 4
