"""Leakage of the reference's look, on clips that have so and so much of it."""

import math

import numpy as np
import pytest

from diffusers_motion_embed.metrics import ColorHistogram, appearance_leakage, color_shift
from tests.metrics.videos import ellipse, line, moving_square, noise, pan


def tinted(video, tint):
    return (video * tint).astype(np.uint8)


REDDISH, BLUISH = (1.0, 0.3, 0.3), (0.3, 0.5, 1.0)
REFERENCE = tinted(moving_square(ellipse(), look=1), REDDISH)
PLAIN = tinted(moving_square(line(30, 20), look=2), BLUISH)


def test_the_plain_clip_itself_leaks_nothing():
    assert appearance_leakage(PLAIN, PLAIN, REFERENCE).leakage == 0.0


def test_the_reference_itself_leaks_everything():
    found = appearance_leakage(REFERENCE, PLAIN, REFERENCE)
    assert found.leakage == found.generated - found.plain
    assert found.generated > 0.95
    assert found.leakage > 0.3
    assert found.features == "color_histogram"


def test_more_of_the_reference_leaks_more():
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    mixed = [(share * REFERENCE + (1 - share) * PLAIN).round().astype(np.uint8) for share in shares]
    leakages = [appearance_leakage(clip, PLAIN, REFERENCE).leakage for clip in mixed]
    assert leakages[0] == 0.0
    assert leakages[-1] == max(leakages)
    # Painted over, row by row, rather than mixed: no new colours arise, and every step leaks more.
    painted = [np.concatenate([REFERENCE[:, :rows], PLAIN[:, rows:]], axis=1) for rows in (0, 24, 48, 72, 96)]
    leakages = [appearance_leakage(clip, PLAIN, REFERENCE).leakage for clip in painted]
    assert leakages == sorted(leakages)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda clip: clip[::-1], id="reversed"),
        pytest.param(lambda clip: clip[[3, 1, 2, 0, *range(4, 12)]], id="shuffled"),
        pytest.param(lambda clip: clip[:, :, ::-1], id="mirrored"),
    ],
)
def test_motion_alone_is_no_leakage(change):
    assert appearance_leakage(change(PLAIN), PLAIN, REFERENCE).leakage == pytest.approx(0.0, abs=1e-12)


def test_the_references_motion_is_no_leakage():
    # The plain look with the reference's motion: other parts of the background are hidden, and no more.
    moved = tinted(moving_square(ellipse(), look=2), BLUISH)
    assert abs(appearance_leakage(moved, PLAIN, REFERENCE).leakage) < 0.02


def test_all_pairs_of_frames_count():
    generated, plain, reference = noise((2, 9, 9, 3), 1), noise((4, 9, 9, 3), 2), pan(1, 0, size=(8, 7))
    features = ColorHistogram(bins=4)

    def similarity(video):
        return np.mean([[first @ second for second in features(reference)] for first in features(video)])

    found = appearance_leakage(generated, plain, reference, features)
    assert found.generated == pytest.approx(similarity(generated))
    assert found.plain == pytest.approx(similarity(plain))


def rows(*colors):
    return np.array(colors, float)


@pytest.mark.parametrize(
    ("generated", "distance", "share"),
    [
        pytest.param((50, 0, 0), 0.0, 0.0, id="as-the-plain-clip"),
        pytest.param((50, 40, 0), 40.0, 1.0, id="as-the-reference"),
        pytest.param((50, 10, 0), 10.0, 0.25, id="a-quarter-of-the-way"),
        pytest.param((50, 10, 30), 10.0, 0.25, id="and-elsewhere"),
        pytest.param((80, 0, 30), 0.0, 0.0, id="crosswise"),
        pytest.param((50, -4, 0), -4.0, -0.1, id="away"),
    ],
)
def test_the_way_of_one_colour(generated, distance, share):
    found = color_shift(rows(generated), rows((50, 0, 0)), rows((50, 40, 0))[0])
    assert (found.distance, found.share, found.num_clips) == (pytest.approx(distance), pytest.approx(share), 1)


def test_shares_weigh_by_the_length_of_the_way():
    # 4 of 40 and 5 of 10: on the whole (4·40 + 5·10) / (40² + 10²).
    plain, reference = rows((50, 0, 0), (50, 30, 0)), rows((50, 40, 0))[0]
    found = color_shift(rows((50, 4, 0), (50, 35, 0)), plain, reference)
    assert found.distance == pytest.approx(4.5)
    assert found.share == pytest.approx(210 / 1700)


def test_pairs_without_a_way_do_not_count():
    plain = rows((50, 0, 0), (50, 39, 0), (np.nan,) * 3, (50, 0, 0))
    generated = rows((50, 4, 0), (50, 0, 0), (50, 0, 0), (np.nan,) * 3)
    found = color_shift(generated, plain, rows((50, 40, 0))[0])
    assert (found.distance, found.num_clips) == (4.0, 1)
    none = color_shift(generated[1:2], plain[1:2], rows((50, 40, 0))[0])
    assert none.num_clips == 0
    assert math.isnan(none.distance)
    assert math.isnan(none.share)


def test_colours_must_be_paired():
    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(1, 3\)"):
        color_shift(rows((50, 0, 0), (50, 0, 0)), rows((50, 0, 0)), rows((50, 40, 0))[0])
    with pytest.raises(ValueError, match=r"got \(3,\)"):
        color_shift(np.zeros(3), np.zeros(3), np.ones(3))
