"""Motions that act in a part of the denoising: against the motion by hand, switched by a list of timesteps."""

import pytest
import torch

from diffusers_motion_embed import enable_motion_embedding
from tests.conftest import make_animatediff, make_text_to_video
from tests.runtime.factories import (
    BOTH,
    CLEAR,
    add_by_hand,
    assert_motion_acts,
    denoise,
    make_controlnet,
    make_video_to_video,
    run,
)


# Some of these motions shall not act at all, of which the package warns.
pytestmark = pytest.mark.filterwarnings("ignore:The motion embedding .* acts at noise levels:UserWarning")


def run_four(pipe, **arguments):
    """Four steps, whose timesteps are 750, 500, 250 and 0: shares 0.25, 0.5, 0.75 and 1 of the schedule."""
    return run(pipe, num_inference_steps=4, **arguments)


def gated(make_pipe, motion, start, end, acts_at):
    """A pipeline with a timed motion, and a plain one with the motion by hand at the same timesteps."""
    pipe, by_hand = enable_motion_embedding(make_pipe()), make_pipe()
    source = motion(pipe.unet)
    pipe.load_motion_embedding(source, debias="identity")
    pipe.set_motion_timing(start, end)
    add_by_hand(by_hand.unet, source, acts_at)
    return pipe, by_hand


RANGES = {
    "first half": (0.0, 0.5, [750]),  # a bound belongs to what begins there
    "second half": (0.5, 1.0, [500, 250, 0]),
    "middle": (0.3, 0.8, [500, 250]),
}


@pytest.mark.parametrize(("start", "end", "timesteps"), RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_a_timed_motion_acts_at_its_timesteps_alone(make_pipe, motion, start, end, timesteps):
    plain = run_four(make_pipe())
    pipe, by_hand = gated(make_pipe, motion, start, end, lambda timestep: timestep in timesteps)
    timed = run_four(pipe)
    assert torch.equal(timed, run_four(by_hand))
    assert_motion_acts(timed, plain)
    pipe.set_motion_timing()
    assert (run_four(pipe) - timed).abs().max() > CLEAR


@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_the_whole_range_is_no_timing_and_a_range_without_steps_no_motion(make_pipe, motion):
    plain = run_four(make_pipe())
    pipe = enable_motion_embedding(make_pipe())
    pipe.load_motion_embedding(motion(pipe.unet))
    moved = run_four(pipe)
    assert_motion_acts(moved, plain)
    pipe.set_motion_timing(0.0, 1.0)
    assert torch.equal(run_four(pipe), moved)
    pipe.set_motion_timing(0.0, 0.2)  # over before the first step
    assert torch.equal(run_four(pipe), plain)
    pipe.set_motion_timing(0.8, 0.95)  # between the last two
    assert torch.equal(run_four(pipe), plain)
    pipe.set_motion_timing()
    assert torch.equal(run_four(pipe), moved)


@pytest.mark.parametrize(
    ("make_pipe", "timesteps"),
    [
        pytest.param(make_controlnet, [750], id="controlnet"),
        pytest.param(make_video_to_video, [], id="video-to-video"),
    ],
)
def test_shares_are_of_the_schedule_whatever_the_pipeline(make_pipe, motion, timesteps):
    # Video-to-video starts late, at timestep 500 here: shares do not begin to count there.
    plain = run_four(make_pipe())
    pipe, by_hand = gated(make_pipe, motion, 0.0, 0.5, lambda timestep: timestep in timesteps)
    assert torch.equal(run_four(pipe), run_four(by_hand))
    pipe.set_motion_timing(0.5, 1.0)
    assert_motion_acts(run_four(pipe), plain)


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
def test_timing_with_and_without_guidance(motion, guidance_scale):
    pipe, by_hand = gated(make_text_to_video, motion, 0.0, 0.6, lambda timestep: timestep in (750, 500))
    plain = run_four(make_text_to_video(), guidance_scale=guidance_scale)
    timed = run_four(pipe, guidance_scale=guidance_scale)
    assert torch.equal(timed, run_four(by_hand, guidance_scale=guidance_scale))
    assert_motion_acts(timed, plain)


def test_timing_holds_in_every_pass_of_free_init(motion):
    pipe, by_hand = gated(make_animatediff, motion, 0.0, 0.6, lambda timestep: timestep in (750, 500))
    plain_pipe = make_animatediff()
    for each in (pipe, by_hand, plain_pipe):
        each.enable_free_init(num_iters=2)
    timed = run_four(pipe)
    assert torch.equal(timed, run_four(by_hand))
    assert_motion_acts(timed, run_four(plain_pipe))


def test_two_motions_act_at_different_times(motion):
    by_hand, pipe = make_animatediff(), enable_motion_embedding(make_animatediff())
    early, late = (motion(pipe.unet, seed=seed) for seed in (1, 2))
    pipe.load_motion_embedding(early, "early", debias="identity")
    pipe.load_motion_embedding(late, "late", debias="identity")
    pipe.set_motion_embeddings(["early", "late"])
    pipe.set_motion_timing(0.0, 0.5, "early")
    pipe.set_motion_timing(0.5, 1.0, "late")
    add_by_hand(by_hand.unet, early, lambda timestep: timestep > 500)
    add_by_hand(by_hand.unet, late, lambda timestep: timestep <= 500)
    relay = run_four(pipe)
    assert torch.equal(relay, run_four(by_hand))
    assert_motion_acts(relay, run_four(make_animatediff()))


@pytest.mark.parametrize(
    "as_given",
    [
        float,
        int,
        torch.tensor,
        lambda timestep: torch.tensor([timestep]),
        lambda timestep: torch.tensor(timestep, dtype=torch.bfloat16),
    ],
    ids=["float", "int", "tensor", "tensor of one", "bfloat16"],
)
def test_timesteps_of_every_kind(motion, as_given):
    model = make_text_to_video().unet
    plain = [denoise(model, as_given(timestep)) for timestep in (896, 128)]  # whole numbers in bfloat16 too
    pipe = enable_motion_embedding(make_text_to_video())
    pipe.load_motion_embedding(motion(model))
    pipe.set_motion_timing(0.0, 0.5)
    assert_motion_acts(denoise(pipe.unet, as_given(896)), plain[0])
    assert torch.equal(denoise(pipe.unet, as_given(128)), plain[1])
