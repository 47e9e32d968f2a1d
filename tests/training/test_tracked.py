"""Embeddings from tracked motion: the path is what was drawn, every family takes it or says why not."""

import numpy as np
import pytest
import torch

import diffusers_motion_embed as dme
from diffusers_motion_embed import AdapterNameError, MotionEmbeddingConfig, TargetModulesError, VideoError
from diffusers_motion_embed.adapter.registry import embedding_tensors, registry_of
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.training import track_motion_embedding
from diffusers_motion_embed.training.following import come_from, follow_camera
from diffusers_motion_embed.training.tracked import latent_path
from tests.pipelines.conftest import FAMILIES, make_pipe
from tests.pipelines.transformers import UNTRAINED
from tests.pipelines.wan import wan
from tests.training.test_following import filmed, shifted, texture
from tests.training.test_offloading import OFFLOADS


ON_A_GRID = MotionEmbeddingConfig(parts=("p",), position_grid=(2, 3))


@pytest.mark.parametrize(
    ("num_latent_frames", "expected"),
    [
        (9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (5, [0, 1.5, 3.5, 5.5, 7.5]),  # the first alone, then pairs
        (3, [0, 2.5, 6.5]),
        (4, [0, 8 / 3, 16 / 3, 8]),  # no whole groups
        (1, [4]),
    ],
)
def test_a_latent_frame_has_the_mean_place_of_its_frames(num_latent_frames, expected):
    path = torch.arange(9.0)[:, None].expand(9, 2)
    found = latent_path(path, num_latent_frames, first_frame_alone=True)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32)[:, None].expand(-1, 2))


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [(8, [1.5, 5.5]), (16, [1.5, 5.5, 9.5, 13.5])],  # both could be a first frame alone and groups of others
)
def test_groups_without_a_first_frame_are_whole_too(num_frames, expected):
    path = torch.arange(float(num_frames))[:, None]
    found = latent_path(path, len(expected), first_frame_alone=False)
    torch.testing.assert_close(found[:, 0], torch.tensor(expected))
    halves = latent_path(path[:8], 4, first_frame_alone=True)[:, 0]  # 7 do not divide by 3
    torch.testing.assert_close(halves, torch.tensor([0.5, 2.5, 4.5, 6.5]))


@pytest.mark.parametrize("name", [*FAMILIES, *UNTRAINED])
def test_every_family_takes_a_path_or_says_why_not(name, tmp_path):
    family = {**FAMILIES, **UNTRAINED}[name]
    pipe = make_pipe(family)
    model, (num_frames, height, width) = getattr(pipe, family.component), family.clip
    frames = np.stack([shifted(texture(height, width), 0, number) for number in range(num_frames)])
    plain = family.generate(pipe)
    if isinstance(find_architecture(model).find_rotary(model), str):
        with pytest.raises(TargetModulesError, match="takes no position part"):
            track_motion_embedding(pipe, frames, progress_bar=False)
        assert torch.equal(family.generate(pipe), plain)
        return
    report = track_motion_embedding(pipe, frames, "a red circle", adapter_name="path", progress_bar=False)
    assert (report.adapter_name, report.num_layers, report.prompt) == ("path", 0, "a red circle")
    (parts,) = embedding_tensors(model, "path").values()
    rows, columns, times = parts["p"][0, 0].T
    assert rows.abs().max() < 0.02
    assert (columns.diff() < 0).all()  # things move to the right, so places are moved to the left
    torch.testing.assert_close(times.diff(), torch.full((len(times) - 1,), -0.8))  # time runs at a fifth of its pace
    track_motion_embedding(pipe, frames, embedding_config=ON_A_GRID, adapter_name="camera", progress_bar=False)
    (on_a_grid,) = (each["p"] for each in embedding_tensors(model, "camera").values())
    assert on_a_grid.shape == (*ON_A_GRID.position_grid, *parts["p"].shape[2:])
    # The whole picture goes along one path, which both ways of following find.
    torch.testing.assert_close(on_a_grid, parts["p"].expand_as(on_a_grid), atol=0.02, rtol=0)
    pipe.set_motion_embeddings("path")
    moved = family.generate(pipe)
    assert not torch.equal(moved, plain)
    pipe.save_motion_embedding(tmp_path)
    pipe.unload_motion_embedding()
    assert torch.equal(family.generate(pipe), plain)
    pipe.load_motion_embedding(tmp_path)
    assert torch.equal(family.generate(pipe), moved)


def moving_clip():
    return np.stack([shifted(texture(32, 32), 0, number) for number in range(5)])


def test_on_a_grid_the_camera_is_followed():
    clip = filmed(texture(32, 32), [(0.0, 0.0, 1.05**number, 0.04 * number) for number in range(5)])
    pipe = dme.enable_motion_embedding(wan())
    track_motion_embedding(pipe, clip, embedding_config=ON_A_GRID, progress_bar=False)
    position = embedding_tensors(pipe.transformer, "default")["rope"]["p"]
    assert position.shape == (2, 3, 2, 3)  # the first frame, and the other four
    moved = come_from(follow_camera(clip, progress_bar=False), (2, 3), (32, 32))
    np.testing.assert_array_equal(position[:, :, 0, :2], 0)
    np.testing.assert_allclose(position[:, :, 1, :2], moved[:, :, 1:].mean(2), rtol=1e-6)
    # What comes nearer was nearer to the middle, and what turns clockwise was turned back.
    assert position[0, 0, 1, 0] > 0
    assert position[1, 2, 1, 1] < 0
    assert position[0, 1, 1, 1] < 0


@pytest.mark.parametrize("offload", OFFLOADS.values(), ids=OFFLOADS)
def test_an_offloaded_pipeline_gets_the_same_path(offload):
    family, clips = FAMILIES["Wan"], []
    for change in (lambda pipe: None, offload):
        pipe = make_pipe(family)
        change(pipe)
        track_motion_embedding(pipe, moving_clip(), progress_bar=False)
        clips.append(family.generate(pipe))
    torch.testing.assert_close(*clips, atol=1e-5, rtol=1e-4)  # files are read to other addresses


def test_a_path_is_the_only_active_embedding_and_acts_early():
    pipe = dme.enable_motion_embedding(wan())
    track_motion_embedding(pipe, moving_clip(), adapter_name="first", progress_bar=False)
    config = MotionEmbeddingConfig(parts=("p",), timing=(0.1, 0.3))
    track_motion_embedding(pipe, moving_clip(), embedding_config=config, adapter_name="second", progress_bar=False)
    assert pipe.get_active_motion_embeddings() == ["second"]
    loaded = registry_of(pipe.transformer).loaded
    assert [loaded[name].config.timing for name in ("first", "second")] == [(0.0, 0.5), (0.1, 0.3)]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"frames": [moving_clip(), moving_clip()]}, ValueError, "One clip"),
        ({"frames": np.zeros((5, 32, 32, 3), np.uint8)}, VideoError, "points move"),
        ({"frames": moving_clip()[:, :20]}, VideoError, "Height 20"),
        ({"embedding_config": MotionEmbeddingConfig(parts=("qk",))}, ValueError, "position part"),
        (
            {"frames": np.stack([moving_clip()[0]] * 5), "embedding_config": ON_A_GRID},
            VideoError,
            "camera of this clip",
        ),
        ({"adapter_name": "there"}, AdapterNameError, "'there' is loaded already"),
        ({"adapter_name": ""}, AdapterNameError, "not empty"),
    ],
)
def test_what_cannot_be_tracked_changes_nothing(changes, error, message):
    pipe = dme.enable_motion_embedding(wan())
    track_motion_embedding(pipe, moving_clip(), adapter_name="there", progress_bar=False)
    before = embedding_tensors(pipe.transformer, "there")["rope"]["p"].clone()
    with pytest.raises(error, match=message):
        track_motion_embedding(**{"pipe": pipe, "frames": moving_clip(), "progress_bar": False, **changes})
    assert pipe.get_active_motion_embeddings() == ["there"]
    assert list(registry_of(pipe.transformer).loaded) == ["there"]
    assert torch.equal(embedding_tensors(pipe.transformer, "there")["rope"]["p"], before)
