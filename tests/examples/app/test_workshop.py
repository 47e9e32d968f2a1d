"""What the page learns, and the clips that it makes."""

import numpy as np
import pytest
import torch

from diffusers_motion_embed import read_video
from diffusers_motion_embed.storage.files import read_embedding
from diffusers_motion_embed.training import RECIPES
from examples.app.arguments import TINY, parse_arguments
from examples.app.workshop import Acting, Run, Workshop
from tests.examples.app.conftest import SIZE
from tests.helpers import assert_unchanged, snapshot


STEPS = 6


@pytest.fixture
def frames():
    return read_video("examples/assets/zigzag.mp4", SIZE[0], height=16, width=16)


@pytest.fixture
def make_run(tmp_path, frames):
    def make(name):
        about = {"prompt": "a red circle", "recipe": "default", "steps": STEPS, "fps": 4.0, "preview_prompt": "a ring"}
        return Run.new(frames, folder=tmp_path / name / "run", target=tmp_path / name / "motion", **about)

    return make


def tensors(run):
    return torch.cat(
        [part.flatten() for parts in read_embedding(run.target).tensors.values() for part in parts.values()]
    )


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(workshop, make_run):
    before = snapshot(workshop.pipe.unet)
    whole, stopped, said = make_run("whole"), make_run("stopped"), []
    workshop.learn(whole, STEPS, lambda step, loss: said.append((step, loss)))
    assert [step for step, _ in said] == list(range(1, STEPS + 1))
    assert whole.losses[-1] == said[-1]

    def stop(step, loss):
        if step == 2:
            stopped.stop.touch()

    workshop.learn(stopped, STEPS, stop)
    assert stopped.step == stopped.losses[-1][0] == 2
    again = Run.read(stopped.folder)
    assert np.array_equal(again.frames, whole.frames)
    again.stop.unlink()
    assert not torch.equal(tensors(again), tensors(whole))
    workshop.learn(again, 4, lambda step, loss: None)
    workshop.learn(again, STEPS, lambda step, loss: None)
    assert torch.equal(tensors(again), tensors(whole))
    assert_unchanged(workshop.pipe.unet, before)


@pytest.mark.parametrize(("name", "own"), [("tiny-animatediff", "default"), ("tiny-wan", "rotary")])
def test_embedded_models_learn_by_their_own_recipe(tmp_path, name, own):
    few = ("--max_train_steps", "1", "--num_inference_steps", "1", "--device", "cpu")
    workshop = Workshop(parse_arguments(None, ["--pretrained_model_name_or_path", name, *few]))
    assert workshop.recipes[0] == own
    with_path = {"rotary", "tracked_camera"}
    assert set(workshop.recipes) == RECIPES.keys() - (set() if own in with_path else with_path)
    size = TINY[name]["num_frames"], 64, 64
    frames = read_video("examples/assets/zigzag.mp4", size[0], num_seconds=2, height=64, width=64)
    about = {"prompt": "a circle", "recipe": own, "steps": 1, "fps": 8.0, "preview_prompt": "a ring"}
    run = Run.new(frames, folder=tmp_path / "run", target=tmp_path / "motion", **about)
    workshop.learn(run, 1, lambda step, loss: None)
    assert read_embedding(run.target).config.parts == RECIPES[own].embedding.get("parts", ("qk", "v"))
    assert workshop.has_path == ("p" in read_embedding(run.target).config.parts)
    assert workshop.clip(size, "a ring", 0, Acting(read_embedding(run.target))).shape == (*size, 3)


def test_there_is_nothing_to_go_on_with(tmp_path):
    with pytest.raises(FileNotFoundError, match="Learn a motion first"):
        Run.read(tmp_path)


def test_clips_differ_by_the_motion_alone(workshop, make_run):
    run = make_run("one")
    workshop.learn(run, STEPS, lambda step, loss: None)
    plain = workshop.clip(SIZE, "a ring", 0)
    assert plain.shape == (*SIZE, 3)
    assert np.array_equal(workshop.clip(SIZE, "a ring", 0), plain)
    learned = read_embedding(run.target)
    assert np.array_equal(workshop.clip(SIZE, "a ring", 0, Acting(learned, scale=0.0)), plain)
    scales = ({"qk": 1.0, "v": 1.0}, {"qk": 1.0, "v": 0.0})
    moved = [workshop.clip(SIZE, "a ring", 0, Acting(learned, each, (0.0, 1.0))) for each in scales]
    late = workshop.clip(SIZE, "a ring", 0, Acting(learned, timing=(0.9, 0.95)))
    assert not np.array_equal(moved[0], plain)
    assert not np.array_equal(*moved)
    assert np.array_equal(late, plain)


def test_the_length_is_one_that_the_vae_takes(workshop):
    assert [workshop.nearest_length(each) for each in (4, 5, 16)] == [4, 5, 16]
    workshop.pipe.vae_scale_factor_temporal = 4
    try:
        assert [workshop.nearest_length(each) for each in (4, 8, 16, 81)] == [5, 9, 17, 81]
    finally:
        del workshop.pipe.vae_scale_factor_temporal
