"""New motions of old ones, and motions in places of a clip."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor, ImageSequence

from diffusers_motion_embed.arithmetic import combined_embedding, reversed_embedding
from diffusers_motion_embed.storage.files import read_embedding, to_state_dict, write_embedding
from examples.app.visitors import new_key
from tests.examples.app.conftest import NEEDS, SIZE


pytest.importorskip("gradio", reason=NEEDS)
import gradio as gr

from examples.app.mixing import IN_PLACES, MODES, NOT_KEPT, Mixing
from examples.app.places import COLORS, EVERYWHERE, HALVES, KEPT_PAINTINGS, canvas, choices, region


UNUSED = (None, 1.0, False, EVERYWHERE)
ORANGE, BLUE, _ = (ImageColor.getrgb(each) for each in COLORS.values())


@pytest.fixture
def mixing(workshop, visitors):
    return Mixing(workshop, visitors)


@pytest.fixture
def motions(visitors, key, workshop, make_embedding):
    return [
        write_embedding(visitors.of(key).new_motion(name), make_embedding(workshop.pipe.unet, seed=seed))
        for seed, name in enumerate(("dance", "jump"))
    ]


@pytest.fixture
def painting():
    """Orange on the left, blue at the upper right, each with a soft edge; as the canvas gives it."""
    layer = np.zeros((16, 16, 4), np.uint8)
    layer[:, :8], layer[:8, 8:] = (*ORANGE, 255), (*BLUE, 255)
    layer[:, 8, 3] = 60
    return {"background": None, "layers": [layer], "composite": layer}


@pytest.mark.parametrize(("mode", "frames"), [("all at once", 4), ("one after the other", 8)])
def test_a_mix_adds_what_its_motions_add(mixing, visitors, key, motions, mode, frames):
    rows = ("dance", 0.5, False, "painted orange", *UNUSED, "jump", 1.0, True, "painted green")  # without places
    shown, *files = mixing.mix(key, mode, "both", "a ring", 0, None, *rows)
    first, second = map(read_embedding, motions)
    expected = combined_embedding([first, reversed_embedding(second)], [0.5, 1.0], MODES[mode])
    found = read_embedding(visitors.of(key).motion("both"))
    assert found.config.num_frames == frames
    assert found.config.training["scales"] == [0.5, 1.0]
    for path, parts in expected.tensors.items():
        assert all(torch.allclose(found.tensors[path][part], tensor) for part, tensor in parts.items())
    assert "moving picture: mixed" in shown
    assert [file.interactive for file in files] == [True, True, True]


def first_picture(shown):
    """The frames of the first moving picture, (frames, height, width, 3), uint8."""
    content = base64.b64decode(re.search(r"data:image/webp;base64,([^\"]+)", shown)[1])
    return np.stack(
        [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(Image.open(io.BytesIO(content)))]
    )


def test_in_places_each_motion_acts_in_its_own(mixing, visitors, key, motions, workshop, painting):
    """The clip is the one that the pipeline's own calls make, and nothing is kept as a motion."""
    rows = ("dance", 0.5, False, "painted orange", "jump", 1.0, True, "right half")
    told, *files = mixing.mix(key, IN_PLACES, "both", "a ring", 0, painting, *rows)
    plain = workshop.clip(SIZE, "a ring", 0)

    pipe, backwards = workshop.pipe, reversed_embedding(read_embedding(motions[1]))
    pipe.load_motion_embedding(motions[0], "one")
    pipe.load_motion_embedding(to_state_dict(backwards), "two", config=backwards.config)
    pipe.set_motion_embeddings(["one", "two"], [0.5, 1.0])
    left = torch.zeros(16, 16)
    left[:, :8] = 1
    pipe.set_motion_region(left, "one")
    pipe.set_motion_region(1 - left, "two")
    expected = workshop.clip(SIZE, "a ring", 0)

    assert np.array_equal(first_picture(told), expected)
    assert not np.array_equal(expected, plain)
    assert NOT_KEPT in told
    assert [file.interactive for file in files] == [True, True, False]
    assert visitors.of(key).names() == ["jump", "dance"]


def test_places_are_halves_or_where_a_colour_is(painting):
    assert np.array_equal(region("painted orange", 0, painting), np.arange(16)[None].repeat(16, 0) < 8)
    blue = region("painted blue", 1, painting)
    assert blue.sum() == 8 * 7  # the soft edge is mostly transparent
    assert blue[:8, 9:].all()
    assert region(EVERYWHERE, 0, None) is None
    assert all(region(half, 2, None).mean() == 0.5 for half in HALVES)


@pytest.mark.parametrize(("place", "number"), [("painted green", 2), ("painted blue", 0), ("there", 0)])
def test_a_place_that_is_none_is_refused(mixing, key, motions, painting, place, number):
    rows = (*UNUSED * number, "dance", 1.0, False, place)
    with pytest.raises(gr.Error, match="Paint where motion 3 acts" if number else re.escape(choices(0)[0])):
        mixing.mix(key, IN_PLACES, "both", "a ring", 0, painting, *rows)


def test_the_first_frame_is_what_is_painted_on(mixing, workshop):
    shown = mixing.picture("a ring", 0)["background"]
    assert shown.shape == (320, 320, 3)
    assert np.array_equal(shown[::20, ::20], workshop.clip(SIZE, "a ring", 0)[0])


def test_old_paintings_are_forgotten(workshop):
    kept = canvas(workshop.options).blob_storage
    for number in range(KEPT_PAINTINGS + 5):
        kept[str(number)] = number
    assert list(kept.values()) == list(range(5, KEPT_PAINTINGS + 5))


def test_motions_of_others_cannot_be_mixed(mixing, motions):
    with pytest.raises(gr.Error, match="'dance'"):
        mixing.mix(new_key(), "all at once", "both", "a ring", 0, None, "dance", 1.0, False, EVERYWHERE)


def test_there_must_be_something_to_mix(mixing, key):
    with pytest.raises(gr.Error, match="nothing to mix"):
        mixing.mix(key, "all at once", "both", "a ring", 0, None, *UNUSED)
