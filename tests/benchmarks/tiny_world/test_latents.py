"""The chosen latents tell what a scene shows, place by place."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.tiny_world.latents import BACKGROUND_GAINS, LATENT_CHANNELS, OBJECT_GAINS, pair_frames, scene_latents
from benchmarks.tiny_world.scene import Appearance, Motion, Scene, Thing


DOTS = Appearance("red", "bar", "navy", "dotted")
CELL = 0.25  # of the frame that one latent shows, in half frame widths
PRESENCE = len(BACKGROUND_GAINS)


def scene(center=(0.1, -0.2), appearance=DOTS, **camera):
    still = Motion.of_object(np.array([center], dtype=float))
    return Scene(appearance, replace(still, **{name: np.array([value]) for name, value in camera.items()}))


def of_latents(one):
    return scene_latents(one)[0].numpy()


@pytest.mark.parametrize("pattern", ["plain", "checkered", "dotted"])
def test_latents_move_with_what_they_show(pattern):
    before = scene(appearance=replace(DOTS, pattern=pattern))
    after = scene(appearance=replace(DOTS, pattern=pattern), camera_shift=(-CELL, -2 * CELL))  # right, and down
    np.testing.assert_allclose(of_latents(after)[:, 2:, 1:], of_latents(before)[:, :-2, :-1], atol=1e-5)


@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_phases_say_where_the_dots_are(angle):
    places = -1 + CELL * (np.arange(8) + 0.5)
    x, y = np.meshgrid(places, places)
    seen_x, seen_y = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    found = of_latents(scene(camera_roll=angle, camera_zoom=1.25))
    expected = [
        wave(2 * np.pi / period * each / 1.25)
        for period in (0.25, 0.5)  # half the distance of two dots, and the whole
        for wave in (np.cos, np.sin)
        for each in (seen_x, seen_y)
    ]
    np.testing.assert_allclose(found[6:14] / BACKGROUND_GAINS[6:14, None, None], expected, atol=1e-5)


def test_phases_of_checks_are_those_of_their_diagonals():
    # Half a period to the right and half down, checks look the same; half to the right alone, they are inverted.
    checks = replace(DOTS, pattern="checkered")
    here, diagonal, beside = (
        of_latents(scene(appearance=checks, camera_shift=shift))[10:14] for shift in ((0, 0), (0.5, 0.5), (0.5, 0))
    )
    np.testing.assert_allclose(diagonal, here, atol=1e-5)
    np.testing.assert_allclose(beside, -here, atol=1e-5)


@pytest.mark.parametrize("pattern", ["checkered", "dotted"])
def test_one_pair_of_waves_is_the_same_everywhere_before_a_camera_that_only_pans(pattern):
    found = of_latents(scene(appearance=replace(DOTS, pattern=pattern), camera_shift=(0.07, -0.31)))
    np.testing.assert_allclose(found[6:10], np.broadcast_to(found[6:10, :1, :1], (4, 8, 8)), atol=1e-5)
    assert np.ptp(found[10:14], axis=(1, 2)).min() > 1


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
