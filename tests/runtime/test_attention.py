"""Attention processors, backends, slicing and chunking: how attention is computed does not matter to a motion."""

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

from diffusers_motion_embed import enable_motion_embedding
from tests.runtime.factories import BOTH, CLEAR, assert_motion_acts, check_feature, run


# Other orders of sums, nothing else; differences of 1e-6 were seen.
TOLERANCE = {"atol": 1e-4, "rtol": 0}

FEATURES = {
    "AttnProcessor": lambda pipe: pipe.unet.set_attn_processor(AttnProcessor()),
    "AttnProcessor2_0": lambda pipe: pipe.unet.set_attn_processor(AttnProcessor2_0()),
    "set_default_attn_processor": lambda pipe: pipe.unet.set_default_attn_processor(),
    "enable_attention_slicing": lambda pipe: pipe.enable_attention_slicing(1),
    "set_attention_backend": lambda pipe: pipe.unet.set_attention_backend("native"),
    "enable_forward_chunking": lambda pipe: pipe.unet.enable_forward_chunking(1, dim=1),
}


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_computing_attention_differently_keeps_the_motion(make_pipe, feature, motion):
    clips = check_feature(make_pipe, motion, FEATURES[feature])
    torch.testing.assert_close(clips.plain_with, clips.plain, **TOLERANCE)
    torch.testing.assert_close(clips.moved_with, clips.moved, **TOLERANCE)


@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_fused_projections_keep_the_motion(make_pipe, motion, motion_first):
    # One matrix takes the place of three, and nothing enters the three any more.
    plain_pipe = make_pipe()
    plain = run(plain_pipe)
    plain_pipe.unet.fuse_qkv_projections()
    plain_fused = run(plain_pipe)
    torch.testing.assert_close(plain_fused, plain, **TOLERANCE)

    pipe, reference = enable_motion_embedding(make_pipe()), enable_motion_embedding(make_pipe())
    reference.load_motion_embedding(motion(reference.unet))
    moved = run(reference)
    assert_motion_acts(moved, plain)
    if not motion_first:
        pipe.unet.fuse_qkv_projections()
    pipe.load_motion_embedding(motion(pipe.unet))
    if motion_first:
        pipe.unet.fuse_qkv_projections()
    torch.testing.assert_close(run(pipe), moved, **TOLERANCE)
    pipe.unet.unfuse_qkv_projections()
    assert torch.equal(run(pipe), moved)
    pipe.unet.fuse_qkv_projections()
    torch.testing.assert_close(run(pipe), moved, **TOLERANCE)
    pipe.unload_motion_embedding()
    assert torch.equal(run(pipe), plain_fused)


@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_skip_connections_scaled_by_freeu_keep_the_motion(make_pipe, motion):
    clips = check_feature(make_pipe, motion, lambda pipe: pipe.enable_freeu(s1=0.5, s2=0.5, b1=2.0, b2=2.0))
    assert (clips.plain_with - clips.plain).abs().max() > CLEAR  # FreeU does something
