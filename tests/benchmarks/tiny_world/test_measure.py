"""The measures on rendered clips, of which everything is known."""

import numpy as np
import pytest

from benchmarks.tiny_world.measures import (
    camera_fidelity,
    center_distance,
    displacement_cosine,
    lab_of,
    measure_clip,
    object_fidelity,
    text_fidelity,
)
from benchmarks.tiny_world.references import CAMERA_REFERENCES, OBJECT_REFERENCES
from benchmarks.tiny_world.scene import Appearance, Motion, render
from benchmarks.tiny_world.training_clips import random_scene


def test_rendered_clips_are_recognised():
    rng = np.random.default_rng(1)
    scenes = [scene for scene in (random_scene(rng) for _ in range(75)) if scene.appearance.second is None]
    measures = [measure_clip((scene.render() * 255).round().astype(np.uint8)) for scene in scenes]
    found = text_fidelity(measures, [scene.appearance for scene in scenes])
    assert found["color"] == found["background"] == found["shape"] == found["present"] == 1.0
    assert found["color_error"] < 1.0
    for scene, seen in zip(scenes, measures, strict=True):
        assert center_distance(seen.center, scene.motion.screen_center) < 0.03


def test_the_background_s_colour_is_its_mean():
    # Half of a checkered background has the second tone; the frame shows whole cells.
    plain, checkered = (
        measure_clip(render(Appearance("red", "circle", "gray", pattern), Motion.of_object(np.zeros((2, 2)))))
        for pattern in ("plain", "checkered")
    )
    assert plain.background_lab == pytest.approx(lab_of((128, 128, 128)), abs=0.1)
    assert checkered.background_lab == pytest.approx((lab_of((128, 128, 128)) + lab_of((84, 84, 84))) / 2, abs=1)


def test_an_empty_clip_has_no_object():
    out_of_sight = Motion.of_object(np.full((3, 2), 5.0))
    seen = measure_clip(render(Appearance("red", "circle", "gray", "dotted"), out_of_sight))
    assert not seen.present.any()
    assert seen.appearance is None
    assert np.isnan(seen.background_lab).all()
    assert object_fidelity(seen, Motion.of_object(np.array([[0.0, 0], [0.1, 0], [0.2, 0]]))) == (0.0, 2.0)


def test_a_frame_that_the_object_fills_has_no_known_look():
    frames = np.zeros((2, 64, 64, 3)) + np.array([0.9, 0.1, 0.1])
    seen = measure_clip(frames)
    assert seen.appearance is None
    assert seen.present.all()


def test_colour_error_is_a_distance_in_cielab():
    asked = Appearance("yellow", "circle", "gray")
    drawn = measure_clip(render(Appearance("red", "circle", "gray"), Motion.of_object(np.zeros((2, 2)))))
    # CIELAB of the two colours by hand: yellow (85, -6, 79), red (49, 66, 45)
    assert drawn.color_error(asked) == pytest.approx(np.linalg.norm([36, -72, 34]), abs=2)


def steps(*values):
    return np.array(values, float)


@pytest.mark.parametrize(
    ("generated", "expected"),
    [
        pytest.param(steps((1, 0), (0, 3)), 1.0, id="same"),
        pytest.param(steps((9, 0), (0, 0.1)), 1.0, id="same-directions"),
        pytest.param(steps((-1, 0), (0, -3)), -1.0, id="reversed"),
        pytest.param(steps((0, 1), (1, 0)), 0.0, id="crosswise"),
        pytest.param(steps((1, 0), (0, -3)), -0.5, id="weighted-by-the-reference"),
        pytest.param(steps((0, 0), (0, 1)), 0.75, id="standing-still-is-no-agreement"),
        pytest.param(steps((np.nan, 0), (0, 1)), 0.75, id="unknown-is-no-agreement"),
    ],
)
def test_displacement_cosine(generated, expected):
    assert displacement_cosine(generated, steps((1, 0), (0, 3))) == pytest.approx(expected)


@pytest.mark.parametrize("name", OBJECT_REFERENCES)
def test_object_references_match_themselves_and_no_other(name):
    scene = OBJECT_REFERENCES[name]
    seen = measure_clip(scene.render())
    cosine, distance = object_fidelity(seen, scene.motion)
    assert cosine > 0.99
    assert distance < 0.02
    for other in OBJECT_REFERENCES:
        if other != name:
            assert object_fidelity(seen, OBJECT_REFERENCES[other].motion)[0] < 0.75


@pytest.mark.parametrize("name", CAMERA_REFERENCES)
def test_camera_references_match_themselves(name):
    scene = CAMERA_REFERENCES[name]
    assert camera_fidelity(scene.render(), scene.motion) > 0.99
    for other in CAMERA_REFERENCES:
        if other != name:
            assert camera_fidelity(scene.render(), CAMERA_REFERENCES[other].motion) < 0.75
