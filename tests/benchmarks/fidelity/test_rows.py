"""Figures of rendered clips, whose motion and colours are known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.fidelity.lab import Clips, Outcome
from benchmarks.fidelity.rows import gain, rows_of
from benchmarks.fidelity.summary import Measured
from benchmarks.tiny_world.measures import lab_of
from benchmarks.tiny_world.references import CAMERA_REFERENCES, CHOOSING, OBJECT_REFERENCES, as_video
from benchmarks.tiny_world.scene import Appearance, Motion, Scene, Thing


MOTION = OBJECT_REFERENCES["zigzag"].motion
RED, YELLOW = Appearance("red", "circle", "gray"), Appearance("yellow", "circle", "beige")
LAB = SimpleNamespace(scenes={**OBJECT_REFERENCES, **CAMERA_REFERENCES}, references=CHOOSING)


def video(look, motion=MOTION):
    return as_video(Scene(look, motion))


def rows(clip, plain=None, reference=None, name="zigzag", **settings):
    plain = None if plain is None else plain[None, None]
    clips = Clips("use", clip[None, None], (RED,), plain, **settings)
    found = list(rows_of(LAB, name, Outcome([clips], reference)))
    assert json.loads(json.dumps(found)) == found
    return found


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_object_and_background_move_alike_in_a_mixture(share):
    # Mixed in sRGB, where the way is nearly as straight and even as in CIELAB.
    plain, reference = video(RED), video(YELLOW)
    mixed = (plain + share * (reference.astype(float) - plain)).round().astype(np.uint8)
    measured = Measured(rows(mixed, plain, reference), 0.0, 0)
    assert measured.shift("lab").share == pytest.approx(share, abs=0.08)
    assert measured.shift("background_lab").share == pytest.approx(share, abs=0.08)
    (row,) = measured.rows
    assert row["cosine"] > 0.99
    assert row["distance"] < 0.03
    assert row["lk_fidelity"] > 0.8


def test_object_and_background_are_told_apart():
    clip = video(Appearance("yellow", "circle", "gray"))
    measured = Measured(rows(clip, video(RED), video(YELLOW)), 0.0, 0)
    assert measured.shift("lab").share == pytest.approx(1.0, abs=0.02)
    assert measured.shift("lab").distance == pytest.approx(
        np.linalg.norm(lab_of((240, 212, 40)) - lab_of((222, 44, 44))), abs=2
    )
    assert measured.shift("background_lab").share == pytest.approx(0.0, abs=0.01)


def test_clips_without_an_object_do_not_count():
    empty = video(RED, Motion.of_object(np.full((16, 2), 5.0)))
    plain, reference = video(RED), video(YELLOW)
    measured = Measured(rows(empty, plain, reference) + rows(reference, plain, reference), 0.0, 0)
    assert measured.rows[0]["color_error"] is None
    for name in ("lab", "background_lab"):
        assert measured.shift(name).num_clips == 1
        assert measured.shift(name).share == pytest.approx(1.0)


def test_a_camera_is_seen_in_the_background():
    scene = CAMERA_REFERENCES["swing"]
    (row,) = rows(as_video(scene), as_video(scene), as_video(scene), "swing")
    assert row["cosine"] > 0.99
    assert "distance" not in row


def test_paths_are_compared_with_every_target():
    path = MOTION.screen_center
    (row,) = rows(video(RED), targets={"same": path, "mirrored": -path}, figures={"bytes": 3.0})
    assert row["targets"]["same"]["cosine"] > 0.99
    assert row["targets"]["mirrored"]["cosine"] < -0.99
    assert row["targets"]["same"]["gain"] == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(row["center"], path, atol=0.03)
    assert row["bytes"] == 3.0
    (row,) = rows(video(RED, Motion.of_object(np.full((16, 2), 5.0))), targets={"same": path})
    assert row["targets"] == {}
    assert row["center"] == [[None, None]] * 16


def test_gain_is_how_much_the_path_is_stretched():
    path = np.random.default_rng(0).normal(size=(16, 2))
    assert gain(path, path) == pytest.approx(1.0)
    assert gain(0.5 * path + [3, 4], path) == pytest.approx(0.5)
    assert gain(-path, path) == pytest.approx(-1.0)
    assert gain(np.where(np.arange(16)[:, None] == 5, np.nan, 2 * path), path) == pytest.approx(2.0)


def test_the_first_frame_is_compared_with_the_given_picture():
    clip = video(RED)
    pictures = clip[:1].copy()
    pictures[..., 0] += 6
    (row,) = rows(clip, pictures=pictures)
    assert row["first_frame"] == pytest.approx(2.0)
    (row,) = rows(clip)
    assert "first_frame" not in row


def test_objects_are_compared_with_the_motion_of_their_side():
    look = Appearance("red", "circle", "gray", "plain", Thing("blue", "ring"))
    wave = 0.4 * np.sin(np.linspace(0, 2 * np.pi, 16))
    up, down = (np.stack([np.zeros(16), sign * wave], 1) for sign in (-1.0, 1.0))
    left, right = np.array([-0.5, 0]), np.array([0.5, 0])
    opposed = video(look, Motion.of_object(right + down, left + up))  # the first one named is on the right
    clips = [Clips("use", opposed[None, None], (look,), sides=each) for each in ((up, down), (up, None), (None, up))]
    (both,), (of_left,), (of_right,) = (rows_of(LAB, "zigzag", Outcome([each])) for each in clips)
    assert both["own"] == pytest.approx(1, abs=0.02)
    assert both["other"] == pytest.approx(-1, abs=0.02)
    assert (of_left["own"], of_left["other"]) == pytest.approx((1, -1), abs=0.02)
    assert (of_right["own"], of_right["other"]) == pytest.approx((-1, 1), abs=0.02)


def test_where_no_object_is_nothing_is_known_of_the_motion():
    wave = 0.4 * np.sin(np.linspace(0, 2 * np.pi, 16))
    up, right = np.stack([np.zeros(16), -wave], 1), np.array([0.4, 0])
    clip = video(RED, Motion.of_object(right + up))  # alone, and on the right
    look = Appearance("red", "circle", "gray", "plain", Thing("blue", "ring"))
    of_right, of_left = (Clips("use", clip[None, None], (look,), sides=each) for each in ((None, up), (up, None)))
    (row,) = rows_of(LAB, "zigzag", Outcome([of_right]))
    assert (row["own"], row["other"]) == (pytest.approx(1, abs=0.02), None)
    (row,) = rows_of(LAB, "zigzag", Outcome([of_left]))
    assert (row["own"], row["other"]) == (None, pytest.approx(1, abs=0.02))
