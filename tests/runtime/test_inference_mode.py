"""torch.inference_mode: tensors made in it may not be written to outside, which must not show."""

import copy

import torch

from diffusers_motion_embed import enable_motion_embedding
from tests.conftest import make_animatediff
from tests.runtime.factories import assert_motion_acts, make_lora, run


def test_what_was_loaded_in_inference_mode_can_be_changed_outside(motion):
    plain_pipe = make_animatediff()
    plain = run(plain_pipe)
    with torch.inference_mode():
        assert torch.equal(run(plain_pipe), plain)
        plain_pipe.load_lora_weights(make_lora(plain_pipe.unet), adapter_name="style")
    plain_pipe.load_lora_weights(make_lora(plain_pipe.unet, seed=4), adapter_name="style", hotswap=True)

    expected, pipe = enable_motion_embedding(make_animatediff()), enable_motion_embedding(make_animatediff())
    first, second = (motion(pipe.unet, seed=seed) for seed in (1, 2))
    expected.load_motion_embedding(first, "motion")
    with torch.inference_mode():
        pipe.load_motion_embedding(first, "motion")
        pipe.set_motion_timing(0.0, 0.6)
        run(pipe)
    pipe.set_motion_timing()
    assert torch.equal(run(pipe), run(expected))
    assert_motion_acts(run(expected), plain)
    for each in (expected, pipe):
        each.set_motion_scale(0.5)
        each.load_motion_embedding(second, "motion", hotswap=True)
    assert torch.equal(run(pipe), run(expected))
    assert torch.equal(run(copy.deepcopy(pipe)), run(expected))


def test_what_was_loaded_outside_can_be_changed_in_inference_mode(motion):
    plain = run(make_animatediff())
    expected, pipe = enable_motion_embedding(make_animatediff()), enable_motion_embedding(make_animatediff())
    first, second = (motion(pipe.unet, seed=seed) for seed in (1, 2))
    pipe.load_motion_embedding(first, "motion")
    with torch.inference_mode():
        pipe.load_motion_embedding(second, "motion", hotswap=True)
        pipe.set_motion_scale(0.5)
        moved = run(pipe)
    expected.load_motion_embedding(second)
    expected.set_motion_scale(0.5)
    assert torch.equal(moved, run(expected))
    assert torch.equal(run(pipe), moved)
    assert_motion_acts(moved, plain)
    pipe.load_motion_embedding(first, "motion", hotswap=True)
    expected.load_motion_embedding(first, "first")
    expected.set_motion_scale(0.5)
    assert torch.equal(run(pipe), run(expected))
