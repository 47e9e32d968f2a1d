"""The renderer against what its description says."""

import numpy as np
import pytest

from benchmarks.tiny_world.references import CAMERA_PROMPTS, CAMERA_REFERENCES, OBJECT_REFERENCES, PROMPTS
from benchmarks.tiny_world.scene import (
    BACKGROUND_COLORS,
    MAX_EXTENT,
    OBJECT_COLORS,
    SHAPES,
    Appearance,
    Motion,
    all_appearances,
    pixel_grid,
    random_scene,
    render,
    shape_distance,
)


def still(x=0.0, y=0.0):
    return Motion.of_object(np.array([[x, y]]))


def test_prompts_name_the_appearance():
    assert Appearance("red", "pillar", "gray").prompt == "a red pillar on a gray background"
    assert Appearance("red", "pillar", "gray", "dotted").prompt == "a red pillar on a dotted gray background"
    prompts = {appearance.prompt for appearance in all_appearances()}
    assert len(prompts) == len(all_appearances()) == 6 * 4 * 6 * 3


def test_the_object_is_where_and_as_it_should_be():
    frame = render(Appearance("red", "bar", "white"), still(0.5, -0.25), radius=0.2)[0]
    to_pixel = {x: int((x + 1) * 32) for x in (0.5, -0.25)}
    np.testing.assert_allclose(frame[to_pixel[-0.25], to_pixel[0.5]] * 255, OBJECT_COLORS["red"], atol=0.01)
    np.testing.assert_allclose(frame[60, 4] * 255, BACKGROUND_COLORS["white"][0], atol=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_about_as_large_as_the_unit_disc_and_centred(shape):
    x, y = (2 * axis for axis in pixel_grid(256))
    inside = shape_distance(shape, x, y) < 0
    assert inside.mean() * 16 == pytest.approx(np.pi, rel=0.3)
    assert np.hypot(x[inside].mean(), y[inside].mean()) < 0.1
    assert max(np.abs(x[inside]).max(), np.abs(y[inside]).max()) < MAX_EXTENT


def test_unknown_words_are_errors():
    with pytest.raises(ValueError, match="Unknown shape 'star'; the tiny world has circle"):
        shape_distance("star", np.zeros(1), np.zeros(1))


def test_a_camera_that_moves_right_moves_everything_left():
    motion = Motion(np.zeros((2, 2)), np.array([[0.0, 0], [0.25, 0]]), np.ones(2))
    before, after = render(Appearance("red", "circle", "gray", "checkered"), motion)
    shift = 8  # pixels, a quarter of half the frame width
    np.testing.assert_allclose(after[:, :-shift], before[:, shift:], atol=1e-5)
    np.testing.assert_allclose(motion.background_displacement(np.array([[0.3, 0.1]])), [[[-0.25, 0]]])


def test_a_zoom_moves_the_background_away_from_the_middle():
    motion = Motion(np.zeros((2, 2)), np.zeros((2, 2)), np.array([1.0, 1.5]))
    np.testing.assert_allclose(motion.background_displacement(np.array([[0.4, -0.2]])), [[[0.2, -0.1]]])
    small, large = render(Appearance("red", "circle", "gray"), motion)
    red = [(frame[..., 0] - frame[..., 1] > 0.3).sum() for frame in (small, large)]
    assert red[1] / red[0] == pytest.approx(1.5**2, rel=0.1)


def test_random_objects_stay_in_the_frame():
    rng = np.random.default_rng(0)
    for _ in range(100):
        scene = random_scene(rng)
        edge = np.abs(scene.motion.screen_center).max(1) + MAX_EXTENT * scene.radius * scene.motion.camera_zoom
        assert edge.max() < 1.0001


def test_references_and_prompts_share_no_look():
    for references, prompts in ((OBJECT_REFERENCES, PROMPTS), (CAMERA_REFERENCES, CAMERA_PROMPTS)):
        for reference in references.values():
            for prompt in prompts:
                seen, asked = reference.appearance, prompt
                assert (seen.color, seen.shape, seen.background) != (asked.color, asked.shape, asked.background)
