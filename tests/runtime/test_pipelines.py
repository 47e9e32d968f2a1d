"""The pipelines around the model of AnimateDiff: in all of them the motion acts, and unloading restores the clip."""

import pytest
import torch

from diffusers_motion_embed import enable_motion_embedding
from tests.runtime.factories import VARIANTS, add_by_hand, assert_motion_acts, run


@pytest.mark.parametrize("make_pipe", VARIANTS.values(), ids=VARIANTS)
def test_the_motion_acts_in_every_pipeline_of_animatediff(make_pipe, motion):
    by_hand = make_pipe()
    plain = run(by_hand)
    assert torch.equal(run(make_pipe()), plain)  # of diffusers: seeds decide
    source = motion(by_hand.unet)
    add_by_hand(by_hand.unet, source)

    pipe = enable_motion_embedding(make_pipe())
    pipe.load_motion_embedding(source, debias="identity")
    moved = run(pipe)
    assert_motion_acts(moved, plain)
    assert torch.equal(moved, run(by_hand))
    pipe.unload_motion_embedding()
    assert torch.equal(run(pipe), plain)
