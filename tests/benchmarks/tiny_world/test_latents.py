"""The chosen latents tell what a scene shows, place by place."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.tiny_world.latents import (
    BACKGROUND_GAINS,
    HINT_CHANNELS,
    LATENT_CHANNELS,
    OBJECT_GAINS,
    pair_frames,
    scene_hints,
    scene_latents,
)
from benchmarks.tiny_world.scene import Appearance, Motion, Scene, Thing


DOTS = Appearance("red", "bar", "navy", "dotted")
CELL = 0.25  # of the frame that one latent shows, in half frame widths
PRESENCE = len(BACKGROUND_GAINS)


def scene(center=(0.1, -0.2), appearance=DOTS, **camera):
    still = Motion.of_object(np.array([center], dtype=float))
    return Scene(appearance, replace(still, **{name: np.array([value]) for name, value in camera.items()}))


def of_latents(one):
    return scene_latents(one)[0].numpy()


def as_complex(waves):
    """Cosines and then sines of two waves at a time."""
    cosines, sines = waves.reshape(-1, 2, 2, 8, 8).swapaxes(0, 1)
    return (cosines + 1j * sines).reshape(-1, 8, 8)


@pytest.mark.parametrize("pattern", ["plain", "checkered", "dotted"])
def test_latents_move_with_what_they_show(pattern):
    before = scene(appearance=replace(DOTS, pattern=pattern))
    after = scene(appearance=replace(DOTS, pattern=pattern), camera_shift=(-CELL, -2 * CELL))  # right, and down
    found, expected = of_latents(after)[:, 2:, 1:], of_latents(before)[:, :-2, :-1]
    all_but_phases = [*range(6), *range(10, LATENT_CHANNELS)]
    np.testing.assert_allclose(found[all_but_phases], expected[all_but_phases], atol=1e-5)


@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_phases_say_how_far_dots_were_moved(angle):
    places = -1 + CELL * (np.arange(8) + 0.5)
    x, y = np.meshgrid(places, places)
    moved_x = (np.cos(angle) * x + np.sin(angle) * y) / 1.25 + 0.1 - x
    moved_y = (np.cos(angle) * y - np.sin(angle) * x) / 1.25 - 0.3 - y
    found = of_latents(scene(camera_roll=angle, camera_zoom=1.25, camera_shift=(0.1, -0.3)))
    diagonals = (moved_x + moved_y, moved_x - moved_y)
    expected = [wave(2 * np.pi * moved) for wave in (np.cos, np.sin) for moved in diagonals]
    np.testing.assert_allclose(found[6:10] / BACKGROUND_GAINS[6:, None, None], expected, atol=1e-5)


def test_phases_of_checks_are_those_of_their_diagonals():
    # Half a period to the right and half down, checks look the same; half to the right alone, they are inverted.
    checks = replace(DOTS, pattern="checkered")
    here, diagonal, beside = (
        of_latents(scene(appearance=checks, camera_shift=shift))[6:10] for shift in ((0, 0), (0.5, 0.5), (0.5, 0))
    )
    np.testing.assert_allclose(diagonal, here, atol=1e-5)
    np.testing.assert_allclose(beside, -here, atol=1e-5)


@pytest.mark.parametrize("pattern", ["checkered", "dotted"])
def test_phases_are_the_same_everywhere_before_a_camera_that_only_pans(pattern):
    found = of_latents(scene(appearance=replace(DOTS, pattern=pattern), camera_shift=(0.07, -0.31)))
    np.testing.assert_allclose(found[6:10], np.broadcast_to(found[6:10, :1, :1], (4, 8, 8)), atol=1e-5)


def test_the_same_phases_say_the_same_of_both_patterns():
    camera = {"camera_shift": (0.1, -0.3), "camera_roll": 0.3, "camera_zoom": 1.25}
    dots, checks = (
        of_latents(scene(appearance=replace(DOTS, pattern=each), **camera)) for each in ("dotted", "checkered")
    )
    np.testing.assert_array_equal(dots[4:10], checks[4:10])


@pytest.mark.parametrize("pattern", ["checkered", "dotted"])
def test_phases_in_places_move_with_the_pattern(pattern):
    looks = replace(DOTS, pattern=pattern)
    before, after = (
        scene_latents(scene(appearance=looks, camera_shift=shift), in_places=True)[0].numpy()
        for shift in ((0.1, 0.03), (0.1 - CELL, 0.03 - 2 * CELL))
    )
    np.testing.assert_allclose(after[:10, 2:, 1:], before[:10, :-2, :-1], atol=1e-5)
    assert np.abs(before[6:10, 1:] - before[6:10, :-1]).max() > 1


@pytest.mark.parametrize(("pattern", "tone"), [("checkered", "navy"), ("dotted", "navy"), ("dotted", "white")])
def test_phases_are_those_shown_less_those_at_rest(pattern, tone):
    looks = replace(DOTS, pattern=pattern, background=tone)
    one = scene(appearance=looks, camera_shift=(0.07, -0.31), camera_roll=0.2, camera_zoom=1.2)
    hints = as_complex(scene_hints(one)[0].numpy())
    found = as_complex(of_latents(one)[6:10] / BACKGROUND_GAINS[6:, None, None])
    np.testing.assert_allclose(found, hints[2:] / hints[:2], atol=1e-5)


def test_hints_at_plain_places_say_only_where_they_are():
    hints = scene_hints(scene(appearance=replace(DOTS, pattern="plain")))[0]
    assert hints.shape == (HINT_CHANNELS, 8, 8)
    assert not hints[4:].any()
    np.testing.assert_array_equal(hints[:4], scene_hints(scene())[0, :4])


def test_a_darker_second_tone_turns_waves_over():
    light, dark = (of_latents(scene(appearance=replace(DOTS, background=tone))) for tone in ("navy", "white"))
    np.testing.assert_array_equal(light[6:10], -dark[6:10])


def test_zoom_and_roll_are_told_where_a_pattern_shows_them():
    camera = {"camera_zoom": 1.2, "camera_roll": -0.1}
    found = of_latents(scene(**camera))[4:6] / BACKGROUND_GAINS[4:6, None, None]
    np.testing.assert_allclose(found, np.broadcast_to([[[np.log(1.2)]], [[-0.1]]], (2, 8, 8)), atol=1e-5)
    assert not of_latents(scene(appearance=replace(DOTS, pattern="plain"), **camera))[4:6].any()


def test_what_is_told_of_an_object_is_the_same_wherever_it_stands():
    told = []
    for center in ((-0.375, -0.375), (0.43, 0.12)):
        found = of_latents(scene(center, camera_zoom=1.0))[PRESENCE:] / OBJECT_GAINS[:, None, None]
        row, column = np.unravel_index(found[0].argmax(), found[0].shape)
        offset = 0.22 * found[1:3, row, column] / found[0, row, column]
        place = -1 + CELL * (np.array([column, row]) + 0.5)
        np.testing.assert_allclose(place - offset, center, atol=1e-5)
        told.append(found[3:, row, column] / found[0, row, column])
    np.testing.assert_allclose(told[0], told[1], atol=1e-5)
    red = np.array([222, 44, 44]) / 127.5 - 1
    np.testing.assert_allclose(told[0], [*red, 1, 0, 0, 0], atol=1e-5)


def test_a_bar_that_is_turned_by_a_right_angle_is_a_pillar():
    turned, pillar = scene(camera_roll=np.pi / 2), scene((0.2, 0.1), replace(DOTS, shape="pillar"))
    np.testing.assert_allclose(of_latents(turned)[PRESENCE:], of_latents(pillar)[PRESENCE:], atol=1e-5)


def test_two_objects_add_up():
    motion = Motion.of_object(np.array([[-0.5, 0.0]]), np.array([[0.5, 0.1]]))
    both = Scene(replace(DOTS, second=Thing("blue", "ring")), motion)
    each = [scene((-0.5, 0.0)), scene((0.5, 0.1), replace(DOTS, color="blue", shape="ring"))]
    expected = sum(of_latents(one)[PRESENCE:] for one in each)
    np.testing.assert_allclose(of_latents(both)[PRESENCE:], expected, atol=1e-5)


def test_all_latents_of_some_frames():
    path = np.linspace(-0.4, 0.4, 10).reshape(5, 2)
    whole = Scene(DOTS, Motion.of_object(path))
    latents = scene_latents(whole)
    assert latents.shape == (5, LATENT_CHANNELS, 8, 8)
    assert latents.dtype == torch.float32
    assert torch.equal(scene_latents(whole, slice(2, 4)), latents[2:4])
    assert pair_frames(latents.transpose(0, 1)[None]).shape == (1, 2 * LATENT_CHANNELS, 3, 8, 8)
