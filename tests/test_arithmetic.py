"""Embeddings calculated from others, in what they add and in what files keep of them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import diffusers_motion_embed as dme
from diffusers_motion_embed.adapter.layer import LayerEmbedding
from diffusers_motion_embed.adapter.state import EmbeddingState
from diffusers_motion_embed.arithmetic import combined_embedding, concatenated_embedding, reversed_embedding
from diffusers_motion_embed.functional import DEBIAS_MODES
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import read_embedding
from tests.helpers import NUM_FRAMES, generate, make_config


PATH = "blocks.0.attn1"


def embedding(seed=0, num_frames=NUM_FRAMES, grid=(2, 2), **settings):
    generator = torch.Generator().manual_seed(seed)
    shapes = {"qk": (num_frames, 3), "v": (*grid, num_frames, 3)}
    tensors = {PATH: {part: torch.randn(shape, generator=generator) for part, shape in shapes.items()}}
    return Embedding(
        make_config(**{"num_frames": num_frames, "model_class": "UNet3DConditionModel", **settings}), tensors
    )


def offset(embedding, part):
    """What a layer adds, (positions, frames, channels)."""
    config, tensors = embedding
    layer = LayerEmbedding(tensors[PATH], EmbeddingState(config))
    found = layer.offset(part, config.num_latent_frames, (2, 2), torch.device("cpu"))
    return torch.zeros(4, config.num_latent_frames, 3) if found is None else found


@pytest.mark.parametrize("debias", DEBIAS_MODES)
@pytest.mark.parametrize("part", ["qk", "v"])
def test_what_is_added_runs_backwards(debias, part):
    forward = embedding(debias=debias)
    backward = reversed_embedding(forward)
    torch.testing.assert_close(offset(backward, part), offset(forward, part).flip(-2))
    torch.testing.assert_close(offset(reversed_embedding(backward), part), offset(forward, part))


@pytest.mark.parametrize("debias", DEBIAS_MODES)
@pytest.mark.parametrize("part", ["qk", "v"])
def test_what_is_added_comes_one_after_the_other(debias, part):
    first, second, third = embedding(0), embedding(1, num_frames=6, debias=debias), embedding(2, debias="centered")
    joined = concatenated_embedding([first, second, third])
    assert (joined.config.num_frames, joined.config.num_latent_frames) == (2 * NUM_FRAMES + 6,) * 2
    expected = torch.cat([offset(entry, part) for entry in (first, second, third)], dim=-2)
    torch.testing.assert_close(offset(joined, part), expected)


@pytest.mark.parametrize(
    ("frames", "latent_frames", "expected"),
    [
        ([(17, 9), (17, 9)], 18, 35),  # the second clip's first latent frame is in the middle, where it shows two
        ([(17, 5), (33, 9)], 14, 53),
        ([(16, 8), (16, 8)], 16, 32),
        ([(16, 16), (8, 8)], 24, 24),
        ([(1, 1), (1, 1)], 2, 2),
    ],
)
def test_clips_that_are_joined_have_the_frames_that_a_pipeline_makes_of_the_latent_ones(
    frames, latent_frames, expected
):
    clips = [embedding(num_frames=latent) for _, latent in frames]
    for clip, (shown, latent) in zip(clips, frames, strict=True):
        clip.config.num_frames, clip.config.num_latent_frames = shown, latent
    joined = concatenated_embedding(clips).config
    assert (joined.num_latent_frames, joined.num_frames) == (latent_frames, expected)


def test_joined_clips_of_a_model_without_a_first_frame_alone_have_whole_groups():
    clips = [embedding(num_frames=4, model_class="AllegroTransformer3DModel") for _ in range(2)]
    for clip in clips:
        clip.config.num_frames = 16
    assert concatenated_embedding(clips).config.num_frames == 32


def path_embedding(path, weight=1.0):
    tensors = {"rope": {"p": weight * torch.tensor(path).reshape(1, 1, -1, 3)}}
    settings = {"num_frames": len(path), "parts": ["p"], "target_modules": ["rope"]}
    return Embedding(make_config(model_class="WanTransformer3DModel", **settings), tensors)


# Rows, columns and time.
RIGHT, DOWN = [(0.0, 0.0, 0.0), (0.0, 0.5, -0.5)], [(0.25, 0.0, 0.0), (0.75, 0.0, -1.0)]


def path_of(embedding):
    return embedding.tensors["rope"]["p"].flatten(0, 2).tolist()


def test_paths_run_backwards_and_on_from_where_they_end():
    right, down = path_embedding(RIGHT), path_embedding(DOWN)
    assert path_of(reversed_embedding(right)) == [[0.0, 0.5, 0.5], [0.0, 0.0, 0.0]]
    joined = concatenated_embedding([right, down])
    assert path_of(joined) == [[0.0, 0.0, 0.0], [0.0, 0.5, -0.5], [0.0, 0.5, -0.5], [0.5, 0.5, -1.5]]
    assert joined.config.target_modules == ["rope"]


def test_paths_add_up_and_have_paths_between_them():
    paths = [path_embedding(RIGHT), path_embedding([*DOWN, (0.75, 1.0, -2.0)])]  # of two lengths
    # Half the pace in two frames is half the pace in three. Of times there are means.
    times = [0.0, -(0.5 + 1.0) / 2, -(1.0 + 2.0) / 2]
    both, between = [(0.25, 0.0), (0.75, 0.25), (0.75, 1.5)], [(0.125, 0.0), (0.375, 0.125), (0.375, 0.75)]
    for weights, places in (((1.0, 1.0), both), ((0.5, 0.5), between)):
        expected = [[*place, time] for place, time in zip(places, times, strict=True)]
        assert path_of(combined_embedding(paths, list(weights))) == expected


@pytest.mark.parametrize("order", [1, -1])
def test_what_has_no_path_has_no_say_in_a_path(order):
    both = [path_embedding(RIGHT), embedding(num_frames=2, model_class="WanTransformer3DModel")]
    summed = combined_embedding(both[::order], [1.0, 1.0])
    assert path_of(summed) == [list(place) for place in RIGHT]
    assert summed.tensors.keys() == both[0].tensors.keys() | both[1].tensors.keys()
    joined = combined_embedding(both, [1.0, 1.0], "cat")
    assert path_of(joined) == [*map(list, RIGHT), [0.0, 0.5, -0.5], [0.0, 0.5, -0.5]]  # it stands still


@pytest.mark.parametrize("combination", ["linear", "cat"])
@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0, 2.0, -1.0, -0.5])
def test_the_size_of_a_path_leaves_time_as_it_was_learned(weight, combination):
    expected = [[0.0, 0.0, 0.0], [0.0, 0.5 * weight, -0.5 * min(abs(weight), 1)]]
    assert path_of(combined_embedding([path_embedding(RIGHT)], [weight], combination)) == expected


def test_a_path_goes_together_with_vectors():
    vectors = embedding(model_class="WanTransformer3DModel")
    finer = path_embedding([(0.0, 0.5, 0.0)] * NUM_FRAMES)
    finer.tensors["rope"]["p"] = finer.tensors["rope"]["p"].expand(2, 3, -1, -1)
    both = combined_embedding([vectors, finer._replace(config=finer.config.changed(position_grid=(2, 3)))], [1.0, 1.0])
    assert (both.config.parts, both.config.position_grid, both.num_layers) == (("qk", "v", "p"), (2, 3), 1)
    assert sorted(both.config.target_modules) == [PATH, "rope"]
    assert torch.equal(both.tensors["rope"]["p"], finer.tensors["rope"]["p"])
    assert torch.equal(both.tensors[PATH]["qk"], vectors.tensors[PATH]["qk"])


def test_the_originals_stay_as_they_are():
    config, tensors = original = embedding()
    before = {part: tensor.clone() for part, tensor in tensors[PATH].items()}
    reversed_embedding(original)
    concatenated_embedding([original] * 2)
    assert (config.debias, config.num_frames, config.training) == ("difference", NUM_FRAMES, {})
    assert all(torch.equal(tensor, before[part]) for part, tensor in tensors[PATH].items())


def test_where_it_comes_from_is_kept():
    forward = embedding(training={"prompt": "a red circle"})
    backward = reversed_embedding(forward)
    assert backward.config.training == {"prompt": "a red circle", "reversed": True}
    assert reversed_embedding(backward).config.training["reversed"] is False
    joined, _ = concatenated_embedding([forward, backward])
    assert joined.training == {
        "combination": "cat",
        "embeddings": [forward.config.training, backward.config.training],
    }


def changed(change):
    """An embedding whose tensors at its layer are those that `change` makes of them."""
    config, tensors = embedding()
    return Embedding(config, change(PATH, tensors[PATH]))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        pytest.param(embedding(1, grid=(2, 3)), rf"the value grid of {PATH}: \(2, 2\) and \(2, 3\)\.", id="grid"),
        pytest.param(
            changed(lambda path, parts: {"blocks.1": parts}), rf"layers: only one .* has {PATH}\.", id="layers"
        ),
        pytest.param(
            changed(lambda path, parts: {path: {"qk": parts["qk"]}}),
            rf"the parts of {PATH}: \['qk', 'v'\] and \['qk'\]\.",
            id="parts",
        ),
        pytest.param(
            changed(lambda path, parts: {path: {part: tensor[..., :2] for part, tensor in parts.items()}}),
            rf"the width of {PATH}: 3 and 2\.",
            id="width",
        ),
        pytest.param(embedding(1, timing=(0.0, 0.5)), r"timing: None and \(0.0, 0.5\)", id="timing"),
        pytest.param(
            Embedding(
                replace(embedding()[0], model_class="UNetMotionModel"),
                {"a layer of that model": embedding()[1][PATH]},
            ),
            "model class: UNet3DConditionModel and UNetMotionModel",
            id="model-class",
        ),
    ],
)
def test_embeddings_that_do_not_go_together(other, message):
    with pytest.raises(dme.IncompatibleEmbeddingError, match=message):
        concatenated_embedding([embedding(), other])


def test_nothing_to_concatenate():
    with pytest.raises(ValueError, match="no embeddings"):
        concatenated_embedding([])


def test_files_of_both_load_into_a_pipeline(text_to_video, embedding_folder, tmp_path):
    forward = embedding_folder(text_to_video.unet)
    backward = dme.reverse_motion_embedding(forward, tmp_path / "backward")
    again = dme.reverse_motion_embedding(backward, tmp_path / "again")
    both = dme.concatenate_motion_embeddings([forward, backward], tmp_path / "both")
    assert [path.name for path in (backward, again, both)] == ["backward", "again", "both"]
    clips = []
    for folder in (forward, again, backward):
        text_to_video.load_motion_embedding(folder)
        clips.append(generate(text_to_video))
        text_to_video.unload_motion_embedding()
    torch.testing.assert_close(clips[0], clips[1], atol=1e-5, rtol=0)
    assert (clips[0] - clips[2]).abs().max() > 1e-3
    assert text_to_video.load_motion_embedding(both).num_frames == 2 * NUM_FRAMES
    assert generate(text_to_video, num_frames=2 * NUM_FRAMES).shape[1] == 2 * NUM_FRAMES


def followed_by_another(first):
    return concatenated_embedding([first, embedding()])


@pytest.mark.parametrize("make", [reversed_embedding, followed_by_another])
def test_new_embeddings_keep_settings_of_later_versions(make):
    forward = embedding()
    forward.config.unknown = {"later": 1}
    assert make(forward).config.unknown == {"later": 1}


def test_what_is_joined_has_the_other_settings_of_the_first_and_no_source():
    first, second = (
        embedding(height=size, base_model_name_or_path=f"base of {size}", generation={"fps": size})
        for size in (16, 32)
    )
    first.config.source = {"pretrained_model_name_or_path": "where the first one came from"}
    joined = concatenated_embedding([first, second]).config
    assert (joined.height, joined.base_model_name_or_path, joined.generation) == (16, "base of 16", {"fps": 16})
    assert joined.source is None


def test_an_embedding_is_turned_round_in_its_own_folder(text_to_video, embedding_folder):
    folder = embedding_folder(text_to_video.unet)
    _, expected = reversed_embedding(read_embedding(folder))
    assert dme.reverse_motion_embedding(folder, folder) == folder
    config, found = read_embedding(folder)
    assert (config.debias, config.training["reversed"]) == ("identity", True)
    for path, parts in expected.items():
        for part, tensor in parts.items():
            assert torch.equal(found[path][part], tensor)


@pytest.mark.parametrize(
    ("sources", "error", "message"),
    [
        ([], ValueError, "no embeddings to combine"),
        (["nowhere/at/all"], dme.EmbeddingNotFoundError, "no folder nowhere/at"),
        ("nowhere/at/all", ValueError, "sources must be a list of embeddings, got 'nowhere/at/all'"),
        (Path("nowhere/at/all"), ValueError, "sources must be a list of embeddings, got 'nowhere/at/all'"),
    ],
)
def test_nothing_is_written_if_a_source_is_wrong(sources, error, message, tmp_path):
    with pytest.raises(error, match=message):
        dme.concatenate_motion_embeddings(sources, tmp_path / "new")
    assert not (tmp_path / "new").exists()
