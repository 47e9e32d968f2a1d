"""What the page draws, and what it says."""

import re
import warnings

import numpy as np
import pytest

from diffusers_motion_embed import VideoError, read_reference
from diffusers_motion_embed.metrics import track
from examples.app import drawing
from examples.app.arguments import EXAMPLES, parse_arguments
from tests.examples.app.conftest import NEEDS


pytest.importorskip("gradio", reason=NEEDS)
import gradio as gr

from examples.app.speaking import plain, words


HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def clip():
    return read_reference(EXAMPLES / "assets/bounce.mp4", 16, height=64, width=64)


def test_texts_of_visitors_are_texts(clip):
    drawn = [
        drawing.clips([(HOSTILE, clip.frames, 8)]),
        drawing.paths([(HOSTILE, track(clip.frames)), (HOSTILE, track(clip.frames))]),
        drawing.note(HOSTILE),
        plain(HOSTILE),
    ]
    assert all("<img src=x" not in each and "&lt;img src=x" in each for each in drawn)


def test_the_strip_shows_the_frames_that_are_learned(clip):
    drawn = drawing.frames(clip)
    assert drawn.count("<img") == 16
    assert re.findall(r"([\d.]+) s<", drawn) == [f"{time:.2f}" for time in clip.times]


def test_the_timeline_lights_what_is_used(clip):
    drawn = drawing.timeline(clip.frames[::4], 4.0, [1.0, 1.5, 2.0, 2.5])
    assert "second 1.00 to 3.00 of 4.00 is used" in drawn
    assert re.findall(r"left:([\d.]+)%;right", drawn) == ["75.00"]
    assert re.findall(r'<i style="left:([\d.]+)%', drawn) == ["25.00", "37.50", "50.00", "62.50"]


def test_paths_say_where_nothing_moves(clip):
    still = np.repeat(clip.frames[:1], 16, axis=0)
    drawn = drawing.paths([("the reference", track(clip.frames)), ("without it", track(still))])
    assert "without it (nothing moves)" in drawn
    assert "the reference (nothing moves)" not in drawn
    assert drawn.count("<polyline") == 1


def test_the_way_is_that_of_the_thing(clip):
    for axis in (0, 1):
        moved = np.stack([np.roll(clip.frames[0], 2 * number, axis=1 - axis) for number in range(8)])
        drawn = drawing.paths([("the reference", track(moved))])
        line = np.array([point.split(",") for point in re.findall(r'points="(.*?)"', drawn)[0].split()], float)
        assert np.allclose(np.diff(line[:, axis]), 100 * 2 / 64, atol=0.3)
        assert np.ptp(line[:, 1 - axis]) < 1


def test_losses_have_a_place_for_the_steps_to_come():
    assert drawing.losses([], 10) == ""
    drawn = drawing.losses([(1, 2.0), (5, 1.0)], 10)
    assert 'points="10.0,1.0 50.0,15.0"' in drawn
    assert "step 5 of 10, loss 1.000" in drawn


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("/srv/library/temporary/ab12/clip.mp4 is empty.", "clip.mp4 is empty."),
        ("'/srv/a/b.npy': no such file", "'b.npy': no such file"),
        ("see https://huggingface.co/alice/dance now", "see https://huggingface.co/alice/dance now"),
        ("alice/dance is no motion", "alice/dance is no motion"),
    ],
)
def test_folders_of_the_server_are_not_told(message, shown):
    assert plain(message) == shown


def test_errors_are_told_in_the_packages_words():
    with pytest.raises(gr.Error, match="too short") as raised, words():
        raise VideoError("/srv/clip.mp4 is too short")
    assert "/srv" not in raised.value.message
    with words():  # a warning ends nothing
        warnings.warn("it may work less well", stacklevel=1)


def test_embedded_models_go_by_their_names_and_bring_their_settings():
    options = parse_arguments(None, [])
    assert (options.pretrained_model_name_or_path, options.num_frames) == (str(EXAMPLES / "tiny-t2v"), 16)
    wan = parse_arguments(None, ["--pretrained_model_name_or_path", "tiny-wan", "--num_inference_steps", "4"])
    assert (wan.num_frames, wan.num_inference_steps) == (17, 4)
    assert wan.server_name is None
    other = parse_arguments(None, ["--pretrained_model_name_or_path", "cerspense/zeroscope_v2_576w"])
    assert (other.pretrained_model_name_or_path, other.height) == ("cerspense/zeroscope_v2_576w", 512)
