"""How objects and cameras move, on rendered clips, of which it is known."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.tiny_world.measures import (
    background_displacement,
    camera_extent,
    camera_points,
    displacement_cosine,
    measure_clip,
    object_fidelity,
    path_of,
)
from benchmarks.tiny_world.measures.motion import aligned_displacement
from benchmarks.tiny_world.references import CAMERA_REFERENCES, OBJECT_REFERENCES
from benchmarks.tiny_world.scene import Appearance, Motion, Scene, Thing
from benchmarks.tiny_world.training_clips import random_camera


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
    seen = measure_clip(scene.render(), scene.appearance)
    cosine, distance = object_fidelity(seen, scene.motion)
    assert cosine > 0.99
    assert distance < 0.02
    for other in OBJECT_REFERENCES:
        if other != name:
            assert object_fidelity(seen, OBJECT_REFERENCES[other].motion)[0] < 0.75


def test_two_objects_have_a_path_each():
    look = Appearance("red", "circle", "gray", second=Thing("blue", "bar"))
    time = np.linspace(-0.4, 0.4, 8)
    motion = Motion.of_object(np.stack([time, time * 0 - 0.5], 1), np.stack([-time, time * 0 + 0.4], 1))
    seen = measure_clip(Scene(look, motion, 0.3).render(), look)
    assert object_fidelity(seen, motion)[0] > 0.99
    assert object_fidelity(seen, replace(motion, second_center=motion.second_center[::-1]))[0] == pytest.approx(
        0.0, abs=0.02
    )


@pytest.mark.parametrize("name", CAMERA_REFERENCES)
def test_camera_references_match_themselves(name):
    scene = CAMERA_REFERENCES[name]
    moved = background_displacement(scene.render(), measure_clip(scene.render(), scene.appearance))
    for other, expected in CAMERA_REFERENCES.items():
        cosine = displacement_cosine(moved, expected.motion.background_displacement(camera_points()))
        assert cosine > 0.99 if other == name else cosine < 0.75


def test_where_the_pattern_does_not_tell_frames_are_aligned():
    scene = CAMERA_REFERENCES["swing"]
    found = aligned_displacement(scene.render(), np.arange(4))
    expected = scene.motion.background_displacement(camera_points())[:4]
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize("pattern", ["checkered", "dotted"])
def test_a_camera_s_path_is_read_off_the_pattern(pattern):
    rng = np.random.default_rng(2)
    look = Appearance("red", "circle", "navy", pattern)
    for _ in range(3):
        motion = random_camera(rng, 16)
        motion = replace(motion, center=motion.to_world(np.zeros((16, 1, 2)))[:, 0])
        seen = measure_clip(Scene(look, motion).render(), look)
        assert seen.right.all()
        path, true = seen.camera, path_of(motion)
        np.testing.assert_allclose(path[:, 2], true[:, 2], atol=0.02)
        np.testing.assert_allclose(np.diff(path[:, 3]), np.diff(true[:, 3]), atol=0.02)
        found, expected = camera_extent(path), camera_extent(true)
        assert found.pan == pytest.approx(expected.pan, abs=0.03)
        assert found.zoom == pytest.approx(expected.zoom, abs=0.03)
        assert found.roll == pytest.approx(expected.roll, abs=1.5)


def test_a_plain_background_tells_nothing_of_the_camera():
    scene = OBJECT_REFERENCES["zigzag"]
    seen = measure_clip(scene.render(), scene.appearance)
    assert np.isnan(seen.camera).all()
    assert camera_extent(seen.camera) is None


@pytest.mark.parametrize(("pan", "zoom", "degrees"), [(0.3, 1.0, 0), (0.0, 1.15, 0), (0.0, 1.0, 8)])
def test_what_counts_as_a_moving_camera(pan, zoom, degrees):
    ramp = np.linspace(0, 1, 5)
    moving, halved = (
        Motion(np.zeros((5, 2)), s * pan * np.outer(ramp, [1, 0]), zoom ** (s * ramp), s * np.deg2rad(degrees) * ramp)
        for s in (1, 0.5)
    )
    assert camera_extent(path_of(moving)).moves
    assert not camera_extent(path_of(halved)).moves
