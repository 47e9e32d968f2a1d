"""New motions of old ones."""

import pytest
import torch

from diffusers_motion_embed.arithmetic import combined_embedding, reversed_embedding
from diffusers_motion_embed.storage.files import read_embedding, write_embedding
from examples.app.visitors import new_key
from tests.examples.app.conftest import NEEDS


pytest.importorskip("gradio", reason=NEEDS)
import gradio as gr

from examples.app.mixing import MODES, Mixing


UNUSED = (None, 1.0, False)


@pytest.fixture
def mixing(workshop, visitors):
    return Mixing(workshop, visitors)


@pytest.fixture
def motions(visitors, key, workshop, make_embedding):
    return [
        write_embedding(visitors.of(key).new_motion(name), make_embedding(workshop.pipe.unet, seed=seed))
        for seed, name in enumerate(("dance", "jump"))
    ]


@pytest.mark.parametrize(("mode", "frames"), [("all at once", 4), ("one after the other", 8)])
def test_a_mix_adds_what_its_motions_add(mixing, visitors, key, motions, mode, frames):
    rows = ("dance", 0.5, False, *UNUSED, "jump", 1.0, True)
    shown, *files = mixing.mix(key, mode, "both", "a ring", 0, *rows)
    first, second = map(read_embedding, motions)
    expected = combined_embedding([first, reversed_embedding(second)], [0.5, 1.0], MODES[mode])
    found = read_embedding(visitors.of(key).motion("both"))
    assert found.config.num_frames == frames
    assert found.config.training["scales"] == [0.5, 1.0]
    for path, parts in expected.tensors.items():
        assert all(torch.allclose(found.tensors[path][part], tensor) for part, tensor in parts.items())
    assert "moving picture: mixed" in shown
    assert len(files) == 3


def test_motions_of_others_cannot_be_mixed(mixing, motions):
    with pytest.raises(gr.Error, match="'dance'"):
        mixing.mix(new_key(), "all at once", "both", "a ring", 0, "dance", 1.0, False)


def test_there_must_be_something_to_mix(mixing, key):
    with pytest.raises(gr.Error, match="nothing to mix"):
        mixing.mix(key, "all at once", "both", "a ring", 0, *UNUSED)
