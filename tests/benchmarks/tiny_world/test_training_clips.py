"""The training distribution: what is drawn is what the models are meant to know."""

import numpy as np
import pytest

from benchmarks.tiny_world.scene import MAX_EXTENT
from benchmarks.tiny_world.training_clips import CLEARANCE, KINDS, MAX_STEP, random_portrait, random_scene


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(0)
    return [random_scene(rng) for _ in range(300)]


def test_objects_stay_in_the_frame_and_apart_from_each_other(scenes):
    rng = np.random.default_rng(0)
    for scene in [*scenes, *(random_portrait(rng) for _ in range(100))]:
        radius = scene.radius * scene.motion.camera_zoom
        for center in scene.motion.screen_centers:
            assert (np.abs(center).max(1) + MAX_EXTENT * radius).max() < 1.0001
        if scene.motion.second_center is not None:
            first, second = scene.motion.screen_centers
            assert (np.linalg.norm(first - second, axis=1) / radius).min() > CLEARANCE - 1e-6
            assert scene.appearance.color != scene.appearance.second.color


def test_cameras_pan_zoom_and_roll_as_often_as_they_should(scenes):
    motions = [scene.motion for scene in scenes]
    moves = {
        "pan": [np.ptp(motion.camera_shift, 0).max() > 0.02 for motion in motions],
        "zoom": [np.ptp(motion.camera_zoom) > 0.02 for motion in motions],
        "roll": [np.ptp(motion.roll) > 0.02 for motion in motions],
    }
    moving = np.any(list(moves.values()), axis=0).mean()
    assert moving == pytest.approx(sum(share for kind, share in KINDS.items() if "camera" in kind), abs=0.06)
    for share in moves.values():
        assert np.mean(share) > 0.12
    steps = [np.abs(np.diff(motion.camera_shift, axis=0)).max() for motion in motions]
    assert max(steps) < MAX_STEP + 1e-9


def test_three_in_ten_clips_show_two_objects_on_paths_of_their_own(scenes):
    pairs = [scene.motion.screen_centers for scene in scenes if scene.appearance.second]
    assert len(pairs) / len(scenes) == pytest.approx(0.3, abs=0.06)
    extents = [np.ptp(path, axis=0).max() for pair in pairs for path in pair]
    assert np.median(extents) > 0.8


def test_patterns_are_anywhere_also_before_a_camera_at_rest(scenes):
    # Or guidance can pull every clip to where they all are, and hold it still.
    rng = np.random.default_rng(0)
    at_rest = [scene for scene in scenes if np.ptp(scene.motion.camera_shift, 0).max() == 0]
    for each in (at_rest, [random_portrait(rng) for _ in range(200)]):
        dots = np.exp(4j * np.pi * np.stack([scene.motion.camera_shift[0] for scene in each]))
        assert len(each) > 100
        assert np.abs(dots.mean(0)).max() < 0.2
