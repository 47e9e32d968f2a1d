"""Clips beside one another as a moving picture."""

import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from diffusers_motion_embed.video.sheets import webp, write_comparison


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


@pytest.mark.parametrize("lossless", [True, False])
def test_pixels_stay_as_they_are_where_asked_for(lossless):
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), np.uint8)
    with Image.open(io.BytesIO(webp(list(map(Image.fromarray, frames)), fps=8, lossless=lossless))) as picture:
        read = [
            (np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(picture)
        ]
    assert [duration for _, duration in read] == [125] * 3
    assert np.array_equal([pixels for pixels, _ in read], frames) == lossless
