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
    Thing,
    all_appearances,
    pixel_grid,
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


def test_a_roll_turns_the_picture_clockwise():
    motion = Motion(np.tile([[0.6, 0.0]], (2, 1)), np.zeros((2, 2)), np.ones(2), np.array([0.0, np.pi / 2]))
    before, after = render(Appearance("red", "bar", "gray", "checkered"), motion)
    np.testing.assert_allclose(after, np.rot90(before, -1), atol=1e-5)
    np.testing.assert_allclose(motion.screen_center, [[0.6, 0], [0, 0.6]], atol=1e-9)
    np.testing.assert_allclose(motion.background_displacement(np.array([[0.4, 0.0]])), [[[-0.4, 0.4]]], atol=1e-9)


def test_world_and_screen_are_inverse():
    rng = np.random.default_rng(0)
    motion = Motion(*rng.uniform(-1, 1, (2, 5, 2)), rng.uniform(0.5, 2, 5), rng.uniform(-1, 1, 5))
    points = rng.uniform(-1, 1, (5, 3, 4, 2))
    np.testing.assert_allclose(motion.to_screen(motion.to_world(points)), points, atol=1e-9)


def test_two_objects_are_named_and_drawn():
    both = Appearance("red", "circle", "gray", second=Thing("blue", "bar"))
    assert both.prompt == "a red circle and a blue bar on a gray background"
    motion = Motion.of_object(np.array([[-0.5, 0.0]]), np.array([[0.5, 0.25]]))
    assert len(motion[:1].screen_centers) == 2
    frame = render(both, motion)[0] * 255
    np.testing.assert_allclose(frame[32, 16], OBJECT_COLORS["red"], atol=0.01)
    np.testing.assert_allclose(frame[40, 48], OBJECT_COLORS["blue"], atol=0.01)


def test_references_and_prompts_share_no_look():
    for references, prompts in ((OBJECT_REFERENCES, PROMPTS), (CAMERA_REFERENCES, CAMERA_PROMPTS)):
        for reference in references.values():
            for prompt in prompts:
                seen, asked = reference.appearance, prompt
                assert (seen.color, seen.shape, seen.background) != (asked.color, asked.shape, asked.background)
