"""Embeddings calculated from others, in what they add and in what files keep of them."""

from dataclasses import replace

import pytest
import torch

import diffusers_motion_embed as dme
from diffusers_motion_embed.adapter.layer import LayerEmbedding
from diffusers_motion_embed.arithmetic import concatenate_motion_embeddings, reverse_motion_embedding
from diffusers_motion_embed.files import read_embedding, write_embedding
from diffusers_motion_embed.functional import DEBIAS_MODES
from tests.helpers import NUM_FRAMES, generate, make_config


PATH = "blocks.0.attn1"


def embedding(seed=0, num_frames=NUM_FRAMES, grid=(2, 2), **settings):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"qk": (num_frames, 3), "v": (*grid, num_frames, 3)}
    tensors = {PATH: {part: torch.randn(shape, generator=generator) for part, shape in shapes.items()}}
    return make_config(num_frames=num_frames, model_class="UNet3DConditionModel", **settings), tensors


def offset(config, tensors, part):
    """What a layer adds, (positions, frames, channels)."""
    layer = LayerEmbedding(tensors[PATH].get("qk"), tensors[PATH].get("v"), config.debias)
    found = layer.offset(part, config.num_latent_frames, (2, 2), torch.device("cpu"))
    return torch.zeros(4, config.num_latent_frames, 3) if found is None else found


@pytest.mark.parametrize("debias", DEBIAS_MODES)
@pytest.mark.parametrize("part", ["qk", "v"])
def test_what_is_added_runs_backwards(debias, part):
    forward = embedding(debias=debias)
    backward = reverse_motion_embedding(*forward)
    torch.testing.assert_close(offset(*backward, part), offset(*forward, part).flip(-2))
    torch.testing.assert_close(offset(*reverse_motion_embedding(*backward), part), offset(*forward, part))


@pytest.mark.parametrize("debias", DEBIAS_MODES)
@pytest.mark.parametrize("part", ["qk", "v"])
def test_what_is_added_comes_one_after_the_other(debias, part):
    first, second, third = embedding(0), embedding(1, num_frames=6, debias=debias), embedding(2, debias="centered")
    joined = concatenate_motion_embeddings([first, second, third])
    assert (joined[0].num_frames, joined[0].num_latent_frames) == (2 * NUM_FRAMES + 6,) * 2
    expected = torch.cat([offset(*entry, part) for entry in (first, second, third)], dim=-2)
    torch.testing.assert_close(offset(*joined, part), expected)


def test_the_originals_stay_as_they_are():
    config, tensors = embedding()
    before = {part: tensor.clone() for part, tensor in tensors[PATH].items()}
    reverse_motion_embedding(config, tensors)
    concatenate_motion_embeddings([(config, tensors)] * 2)
    assert (config.debias, config.num_frames, config.training) == ("difference", NUM_FRAMES, {})
    assert all(torch.equal(tensor, before[part]) for part, tensor in tensors[PATH].items())


def test_where_it_comes_from_is_kept():
    config, tensors = embedding(training={"prompt": "a red circle"})
    backward = reverse_motion_embedding(config, tensors)
    assert backward[0].training == {"prompt": "a red circle", "reversed": True}
    assert reverse_motion_embedding(*backward)[0].training["reversed"] is False
    joined, _ = concatenate_motion_embeddings([(config, tensors), backward])
    assert joined.training == {"combination": "cat", "embeddings": [config.training, backward[0].training]}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        pytest.param(embedding(1, grid=(2, 3)), "layers, widths or value grids", id="grid"),
        pytest.param(embedding(1, timing=(0.0, 0.5)), r"timing: None and \(0.0, 0.5\)", id="timing"),
        pytest.param(
            (replace(embedding()[0], model_class="UNetMotionModel"), embedding()[1]),
            "model class: UNet3DConditionModel and UNetMotionModel",
            id="model-class",
        ),
    ],
)
def test_embeddings_that_do_not_go_together(other, message):
    with pytest.raises(dme.IncompatibleEmbeddingError, match=message):
        concatenate_motion_embeddings([embedding(), other])


def test_nothing_to_concatenate():
    with pytest.raises(ValueError, match="no embeddings"):
        concatenate_motion_embeddings([])


def test_files_of_both_load_into_a_pipeline(text_to_video, embedding_folder, tmp_path):
    forward = embedding_folder(text_to_video.unet)
    backward = write_embedding(tmp_path / "backward", *reverse_motion_embedding(*read_embedding(forward)))
    again = write_embedding(tmp_path / "again", *reverse_motion_embedding(*read_embedding(backward)))
    both = write_embedding(
        tmp_path / "both", *concatenate_motion_embeddings([read_embedding(forward), read_embedding(backward)])
    )
    clips = []
    for folder in (forward, again, backward):
        text_to_video.load_motion_embedding(folder)
        clips.append(generate(text_to_video))
        text_to_video.unload_motion_embedding()
    torch.testing.assert_close(clips[0], clips[1], atol=1e-5, rtol=0)
    assert (clips[0] - clips[2]).abs().max() > 1e-3
    assert text_to_video.load_motion_embedding(both).num_frames == 2 * NUM_FRAMES
    assert generate(text_to_video, num_frames=2 * NUM_FRAMES).shape[1] == 2 * NUM_FRAMES
