"""Motion fidelity of tracks made by hand, and of videos of which it is known how everything moves."""

import math

import numpy as np
import pytest
import torch

from diffusers_motion_embed import VideoError
from diffusers_motion_embed.metrics import LucasKanadeTracker, Tracks, motion_fidelity, track, track_fidelity
from tests.metrics.videos import ellipse, line, moving_square, noise, pan, standing


def tracks(*displacements, visible=None, tracker="by hand"):
    """Tracks in a frame of 60 x 80 pixels, of displacements from (0, 0)."""
    points = np.array([np.concatenate([[[0.0, 0.0]], np.cumsum(steps, axis=0)]) for steps in displacements])
    visible = np.ones(points.shape[:2], bool) if visible is None else np.array(visible, bool)
    return Tracks(points, visible, (60, 80), tracker)


RIGHT, LEFT, DOWN, STAND = (2.0, 0.0), (-2.0, 0.0), (0.0, 2.0), (0.0, 0.0)


def by_the_paper(generated, reference):
    """Half of DMT's formula, with loops: both sums of best matches, of mean cosines of displacements."""

    def correlation(a, b):
        cosines = []
        for t in range(len(a) - 1):
            (ax, ay), (bx, by) = a[t + 1] - a[t], b[t + 1] - b[t]
            cosines.append((ax * bx + ay * by) / (math.hypot(ax, ay) * math.hypot(bx, by)))
        return sum(cosines) / len(cosines)

    there = [max(correlation(a, b) for b in reference.points) for a in generated.points]
    back = [max(correlation(a, b) for a in generated.points) for b in reference.points]
    return sum(there) / len(there), sum(back) / len(back)


def test_formula_of_the_paper_where_everything_moves_and_is_seen():
    rng = np.random.default_rng(0)
    generated, reference = (tracks(*rng.normal(0, 4, (count, 6, 2))) for count in (4, 7))
    found = track_fidelity(generated, reference)
    there, back = by_the_paper(generated, reference)
    assert found.of_generated == pytest.approx(there, abs=1e-6)
    assert found.of_reference == pytest.approx(back, abs=1e-6)
    assert found.score == pytest.approx((there + back) / 2, abs=1e-6)
    assert (found.num_generated_tracks, found.num_reference_tracks, found.tracker) == (4, 7, "by hand")


def test_both_directions_count():
    one, two = tracks([RIGHT] * 3), tracks([RIGHT] * 3, [DOWN] * 3)
    assert (track_fidelity(one, two).of_generated, track_fidelity(one, two).of_reference) == (1.0, 0.5)
    assert (track_fidelity(two, one).of_generated, track_fidelity(two, one).of_reference) == (0.5, 1.0)
    assert track_fidelity(one, two).score == track_fidelity(two, one).score == 0.75


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param([RIGHT] * 4, [RIGHT] * 4, 1.0, id="same"),
        pytest.param([RIGHT] * 4, [(9.0, 0.0)] * 4, 1.0, id="other-speed"),
        pytest.param([RIGHT] * 4, [LEFT] * 4, -1.0, id="opposite"),
        pytest.param([RIGHT] * 4, [DOWN] * 4, 0.0, id="crosswise"),
        pytest.param([RIGHT, STAND, STAND, DOWN], [RIGHT, STAND, STAND, DOWN], 1.0, id="same-with-a-rest"),
        pytest.param([RIGHT, STAND, STAND, DOWN], [RIGHT, STAND, STAND, LEFT], 0.5, id="a-rest-is-no-agreement"),
        pytest.param([RIGHT, RIGHT, STAND, STAND], [STAND, STAND, RIGHT, RIGHT], 0.0, id="at-other-times"),
        pytest.param([RIGHT, RIGHT, STAND, STAND], [RIGHT] * 4, 0.5, id="half-of-the-time"),
    ],
)
def test_single_tracks(first, second, expected):
    assert track_fidelity(tracks(first), tracks(second)).score == pytest.approx(expected)
    assert track_fidelity(tracks(second), tracks(first)).score == pytest.approx(expected)


def test_tracks_that_do_not_move_are_left_out():
    still, jitter = [STAND] * 4, [(0.3, 0.0), (-0.3, 0.0)] * 2  # within a hundredth of the diagonal, which is 1 pixel
    found = track_fidelity(tracks(still, jitter, [RIGHT] * 4), tracks([RIGHT] * 4, still))
    assert (found.score, found.num_generated_tracks, found.num_reference_tracks) == (1.0, 1, 1)


def test_where_nothing_moves_nothing_is_known():
    assert track_fidelity(tracks([STAND] * 4), tracks([RIGHT] * 4)).score == 0.0
    assert track_fidelity(tracks([RIGHT] * 4), tracks([STAND] * 4)).score == 0.0
    assert math.isnan(track_fidelity(tracks([STAND] * 4), tracks([STAND] * 4)).score)


def test_steps_count_where_both_tracks_are_seen():
    steps = [RIGHT, RIGHT, DOWN, DOWN]
    lost = tracks([RIGHT, RIGHT, (50.0, -50.0), STAND], visible=[[1, 1, 1, 0, 0]])
    assert track_fidelity(lost, tracks(steps)).score == 1.0
    assert track_fidelity(tracks(steps), tracks([RIGHT, RIGHT, LEFT, LEFT], visible=[[1] * 5])).score == 0.5
    # Seen together for one step of four, half of the least that is trusted in full.
    late = tracks([RIGHT, RIGHT, RIGHT], visible=[[0, 1, 1, 1]])
    early = tracks([RIGHT, RIGHT, RIGHT], visible=[[1, 1, 1, 0]])
    assert track_fidelity(late, early).score == pytest.approx((1 / 3) / 0.5)


def test_tracks_seen_too_shortly_are_left_out():
    brief = tracks([RIGHT] * 4, [DOWN] * 4, visible=[[1] * 5, [1, 1, 0, 0, 0]])
    assert track_fidelity(brief, tracks([RIGHT] * 4)).num_generated_tracks == 1


def test_what_does_not_compare_is_refused():
    with pytest.raises(VideoError, match="have 5 and 4 frames"):
        track_fidelity(tracks([RIGHT] * 4), tracks([RIGHT] * 3))
    with pytest.raises(VideoError, match="have 12 and 6 frames"):
        motion_fidelity(pan(3, 0), pan(3, 0)[::2])
    with pytest.raises(ValueError, match="'by hand' and of 'cotracker' do not compare"):
        track_fidelity(tracks([RIGHT] * 4), tracks([RIGHT] * 4, tracker="cotracker"))


REFERENCE = moving_square(ellipse())
SHUFFLED = [7, 2, 10, 5, 0, 8, 3, 11, 6, 1, 9, 4]


@pytest.mark.parametrize(
    ("video", "low", "high"),
    [
        pytest.param(REFERENCE, 1.0, 1.0, id="same"),
        pytest.param(moving_square(ellipse(), look=5), 0.88, 1.0, id="other-look"),
        pytest.param(moving_square(np.add(ellipse(), [15, 8]), look=7), 0.88, 1.0, id="elsewhere"),
        pytest.param(moving_square(ellipse() / 2 + 20, look=5), 0.88, 1.0, id="half-as-far"),
        pytest.param(moving_square(line(40, 0), look=5), -1.0, 0.5, id="straight-on"),
        pytest.param(REFERENCE[::-1], -1.0, 0.5, id="reversed"),
        pytest.param(REFERENCE[SHUFFLED], -1.0, 0.5, id="shuffled"),
        pytest.param(standing(REFERENCE), 0.0, 0.0, id="static"),
        pytest.param(noise(REFERENCE.shape), 0.0, 0.0, id="noise"),
    ],
)
def test_videos_of_a_thing_that_goes_round(video, low, high):
    found = motion_fidelity(video, REFERENCE)
    assert low <= found.score <= high
    assert found.tracker == "lk"


@pytest.mark.parametrize(
    ("video", "expected"),
    [
        pytest.param(pan(3, 0), 1.0, id="same"),
        pytest.param(pan(3, 0, look=5), 1.0, id="other-look"),
        pytest.param(pan(1.5, 0, look=5), 1.0, id="slower"),
        pytest.param(pan(6, 0, look=5, size=(192, 256)), 1.0, id="larger-pictures"),
        pytest.param(pan(3, 0)[::-1], -1.0, id="reversed"),
        pytest.param(pan(0, 3, look=5), 0.0, id="crosswise"),
        pytest.param(pan(2, 2, look=5), 0.71, id="diagonal"),
        pytest.param(standing(pan(3, 0)), 0.0, id="static"),
    ],
)
def test_videos_that_move_as_a_whole(video, expected):
    assert motion_fidelity(video, pan(3, 0)).score == pytest.approx(expected, abs=0.1)


def test_points_are_followed_to_where_they_are():
    followed = track(pan(3, -1), LucasKanadeTracker(grid_size=10))
    assert followed.points.shape == (100, 12, 2)
    assert followed.frame_size == (96, 128)
    expected = followed.points[:, :1] + np.arange(12)[:, None] * [3, -1]
    apart = np.linalg.norm(followed.points - expected, axis=-1)
    assert followed.visible.mean() > 0.6
    assert np.median(apart[followed.visible]) < 0.3
    assert np.quantile(apart[followed.visible], 0.95) < 1.0
    outside = (expected[:, -1] > [127 + 3, 1e9]).any(-1)
    assert outside.any()
    assert not followed.visible[outside, -1].any()


def test_things_of_the_background_s_lightness_are_followed():
    colored = moving_square(ellipse(), look=3).astype(float)
    colored[..., 2] = 0
    colored[..., 1] = (110 - 0.299 * colored[..., 0]) / 0.587
    colored = colored.round().astype(np.uint8)
    assert np.ptp(colored @ [0.299, 0.587, 0.114]) < 1  # what a gray picture would show
    assert motion_fidelity(colored, REFERENCE).score > 0.85


def test_large_frames_have_the_same_tracks():
    video = pan(3, -1)
    large = video.repeat(4, axis=1).repeat(4, axis=2)
    tracker = LucasKanadeTracker(grid_size=10, max_side=128)
    small_tracks, large_tracks = track(video, tracker), track(large, tracker)
    # The middle of pixel x is that of the four pixels 4x to 4x + 3.
    assert large_tracks.points == pytest.approx(small_tracks.points * 4 + 1.5, abs=1e-3)
    assert np.array_equal(large_tracks.visible, small_tracks.visible)
    assert track_fidelity(large_tracks, small_tracks).score == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("points", "visible", "message"),
    [
        pytest.param(np.zeros((4, 3)), np.ones((4, 3), bool), r"points \(4, 3\)", id="points"),
        pytest.param(np.zeros((4, 3, 2)), np.ones((3, 4), bool), r"visibility \(3, 4\)", id="visibility"),
        pytest.param(np.zeros((4, 3, 2)), np.ones((4, 3)), "as booleans, got float64", id="floats"),
        pytest.param(np.full((4, 3, 2), np.nan), np.ones((4, 3), bool), "finite", id="nan"),
        pytest.param(np.zeros((4, 9, 2)), np.ones((4, 9), bool), "9 of 3 frames", id="frames"),
    ],
)
def test_a_tracker_that_gives_something_else_is_told(points, visible, message):
    class Broken:
        name = "broken"

        def __call__(self, clip):
            return points, visible

    with pytest.raises(ValueError, match=f"'broken'.*{message}"):
        track(noise((3, 8, 8, 3)), Broken())


def test_a_lost_point_may_be_anywhere():
    points = np.full((1, 3, 2), np.nan)
    points[0, :2] = [[0, 0], [5, 0]]
    lost = Tracks(points, np.array([[True, True, False]]), (60, 80), "by hand")
    assert track_fidelity(lost, tracks([RIGHT] * 2)).score == 1.0


def test_the_first_frame_decides_by_torch_too():
    video = torch.from_numpy(REFERENCE).permute(0, 3, 1, 2) / 255
    assert motion_fidelity(video, REFERENCE).score == 1.0
