"""Embeddings from tracked motion: the path is what was drawn, every family takes it or says why not."""

import numpy as np
import pytest
import torch

import diffusers_motion_embed as dme
from diffusers_motion_embed import AdapterNameError, MotionEmbeddingConfig, TargetModulesError, VideoError
from diffusers_motion_embed.adapter.registry import embedding_tensors, registry_of
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.training import (
    CheckpointConfig,
    TrainingConfig,
    track_motion_embedding,
    train_motion_embedding,
)
from diffusers_motion_embed.training.following import come_from, follow_camera
from tests.pipelines.conftest import FAMILIES, make_pipe
from tests.pipelines.transformers import UNTRAINED
from tests.pipelines.wan import wan
from tests.training.test_following import disc_clip, filmed, shifted, texture, zigzag
from tests.training.test_offloading import OFFLOADS


ON_A_GRID = MotionEmbeddingConfig(parts=("p",), position_grid=(2, 3))


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


def test_training_can_begin_with_what_is_followed():
    clips = [filmed(texture(32, 32), [(0, rate * n, 1.0, 0.0) for n in range(5)]) for rate in (1, 3)]
    begun = []
    for grid, start in (((1, 1), True), ((2, 3), True), ((2, 3), False)):
        pipe = wan()
        # So small a rate that nothing is learned.
        config = TrainingConfig(max_train_steps=1, p_learning_rate=1e-12, tracked_start=start)
        embedding_config = MotionEmbeddingConfig(parts=("p",), position_grid=grid)
        train_motion_embedding(
            pipe, clips, ["a street"] * 2, config, embedding_config=embedding_config, progress_bar=False
        )
        begun.append(embedding_tensors(pipe.transformer, "default")["rope"]["p"])
    path, camera, nothing = begun
    # 2 pixels a frame on average, at a mean frame of 2.5 in the second latent, of 32 pixels
    np.testing.assert_allclose(path[0, 0, :, 1], [0, -5 / 32], atol=0.01)
    np.testing.assert_allclose(camera[..., 1, 1], np.full((2, 3), -5 / 32), atol=0.01)
    torch.testing.assert_close(camera[..., 2], nothing[..., 2])  # time at half its pace
    assert nothing[..., :2].abs().max() < 1e-9


def test_a_camera_at_rest_begins_nothing():
    pipe = dme.enable_motion_embedding(wan())
    clips = [filmed(texture(32, 32), [(0, n, 1.0, 0.0) for n in range(5)]), moving_clip()[:1].repeat(5, 0)]
    with pytest.raises(VideoError, match=r"The camera of clip 2 of 2 does not move.*leave out motion=\"camera\""):
        train_motion_embedding(pipe, clips, ["a", "b"], motion="camera", progress_bar=False)
    assert not registry_of(pipe.transformer).loaded


class StoppedError(Exception):
    """Ends a run."""


def test_for_cameras_the_recipe_begins_with_the_camera():
    pipe, clip = wan(), filmed(texture(32, 32), [(0, 2 * n, 1.0, 0.0) for n in range(5)])
    begun = []

    def stop(progress):
        begun.extend((progress.config, progress.optimization.tensors["rope"]["p"].detach()))
        raise StoppedError

    with pytest.raises(StoppedError):
        train_motion_embedding(pipe, clip, "a street", motion="camera", callback=stop, progress_bar=False)
    config, path = begun
    assert (config.position_grid, config.parts) == ((4, 4), ("qk", "v", "p"))
    # One step of training has moved places by a small part of what the clip says.
    np.testing.assert_allclose(path[..., 1, 1], np.full((4, 4), -5 / 32), atol=0.08)


@pytest.mark.parametrize(
    "settings",
    [{"config": TrainingConfig()}, {"embedding_config": ON_A_GRID}],
    ids=lambda settings: next(iter(settings)),
)
def test_the_recipe_for_cameras_goes_with_no_settings_that_would_replace_it(settings):
    with pytest.raises(
        ValueError,
        match=rf"which {next(iter(settings))} would replace. Give what differs from the recipe as a dictionary",
    ):
        train_motion_embedding(wan(), moving_clip(), "a", motion="camera", progress_bar=False, **settings)


def test_a_run_that_goes_on_follows_nothing_again(tmp_path, capsys):
    clip = filmed(texture(32, 32), [(0, 2 * n, 1.0, 0.0) for n in range(5)])
    config = TrainingConfig(max_train_steps=3, tracked_start=True)
    pipe = dme.enable_motion_embedding(wan())

    def learn(name, **checkpoints):
        settings = {"embedding_config": ON_A_GRID, "checkpoints": CheckpointConfig(output_dir=tmp_path, **checkpoints)}
        train_motion_embedding(pipe, clip, "a street", config, adapter_name=name, **settings)
        return embedding_tensors(pipe.transformer, name)["rope"]["p"]

    whole = learn("whole", checkpointing_steps=2)
    assert "tracking" in capsys.readouterr().err
    resumed = learn("resumed", resume_from_checkpoint="latest")
    assert "tracking" not in capsys.readouterr().err
    assert torch.equal(whole, resumed)


def test_what_could_not_be_followed_is_said_of_the_users_own_line():
    plain = disc_clip(zigzag(), np.full(3, 200, np.uint8))[:5, :32, :32]
    config = TrainingConfig(max_train_steps=1, tracked_start=True)
    for function, settings in ((train_motion_embedding, {"config": config}), (track_motion_embedding, {})):
        with pytest.warns(UserWarning, match="of the picture of the clip") as warned:
            function(wan(), plain, "a disc", embedding_config=ON_A_GRID, progress_bar=False, **settings)
        assert {each.filename for each in warned if "of the picture" in str(each.message)} == {__file__}


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
            "camera of the clip",
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
