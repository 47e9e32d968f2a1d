"""Gradient checkpointing: layers run a second time on the way back, and must add the same motion as at first."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from diffusers_motion_embed import load_motion_embedding, set_motion_timing
from diffusers_motion_embed.adapter.registry import embedding_tensors
from tests.conftest import make_animatediff, make_text_to_video
from tests.runtime.factories import BOTH, assert_motion_acts, denoise


def motion_gradients(model, run):
    """Gradients of all numbers of the loaded motion."""
    tensors = [tensor for parts in embedding_tensors(model, "motion").values() for tensor in parts.values()]
    for tensor in tensors:
        tensor.requires_grad_(True)
    return torch.autograd.grad(run(model), tensors)


def loss(model):
    return denoise(model, gradients=True).square().mean()


def plain_gradients(model):
    return torch.autograd.grad(loss(model), list(model.parameters()), allow_unused=True)


def assert_all_equal(first, second):
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other) if one is not None else other is None


def test_checkpointing_gives_the_same_gradients_of_the_embedding(motion):
    plain_model, model = make_animatediff().unet, make_animatediff().unet
    without = plain_gradients(plain_model)
    plain_model.enable_gradient_checkpointing()
    assert_all_equal(plain_gradients(plain_model), without)

    load_motion_embedding(model, motion(model), "motion")
    model.requires_grad_(False)
    expected = motion_gradients(model, loss)
    assert all(gradient.abs().max() > 0 for gradient in expected)
    assert_motion_acts(denoise(model), denoise(plain_model))
    model.enable_gradient_checkpointing()
    assert_all_equal(motion_gradients(model, loss), expected)
    model.disable_gradient_checkpointing()
    assert_all_equal(motion_gradients(model, loss), expected)


@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_a_whole_model_run_again_adds_what_it_added_at_first(make_pipe, motion):
    # torch's own checkpointing, around two passes of other sizes and timesteps before one backward pass.
    def two_passes(model, run=denoise):
        clips = run(model, 900, size=16, gradients=True), run(model, 300, gradients=True)
        return sum(clip.square().mean() for clip in clips)

    def checkpointed(model, *args, **kwargs):
        return checkpoint(denoise, model, *args, **kwargs, use_reentrant=False)

    model = make_pipe().unet
    expected = torch.autograd.grad(two_passes(model), list(model.parameters()), allow_unused=True)
    again = torch.autograd.grad(two_passes(model, checkpointed), list(model.parameters()), allow_unused=True)
    assert_all_equal(again, expected)

    load_motion_embedding(model, motion(model), "motion")
    set_motion_timing(model, 0.0, 0.5)
    expected = motion_gradients(model, two_passes)
    assert all(gradient.abs().max() > 0 for gradient in expected)
    assert_all_equal(motion_gradients(model, lambda model: two_passes(model, checkpointed)), expected)


def test_the_other_model_class_has_no_checkpointing_in_diffusers(motion):
    model = make_text_to_video().unet
    with pytest.raises(ValueError, match="does not support gradient checkpointing"):
        model.enable_gradient_checkpointing()
    load_motion_embedding(model, motion(model), "motion")
    with pytest.raises(ValueError, match="does not support gradient checkpointing"):
        model.enable_gradient_checkpointing()
