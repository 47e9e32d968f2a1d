"""FreeNoise, which rebuilds the blocks that a motion sits on, and FreeInit, which denoises several times."""

import pytest
import torch

import diffusers_motion_embed as dme
from tests.conftest import make_animatediff
from tests.runtime.factories import CLEAR, assert_motion_acts, check_feature, run


WINDOW = 4
LONG = 8


def enable_free_noise(pipe):
    pipe.enable_free_noise(context_length=WINDOW, context_stride=WINDOW // 2)


def run_long(pipe):
    return run(pipe, num_frames=LONG)


def test_free_init_keeps_the_motion(motion):
    def enable(pipe):
        pipe.enable_free_init(num_iters=2)

    clips = check_feature(make_animatediff, motion, enable)
    assert (clips.plain_with - clips.plain).abs().max() > CLEAR  # FreeInit does something

    pipe = dme.enable_motion_embedding(make_animatediff())
    pipe.load_motion_embedding(motion(pipe.unet), debias="identity")
    enable(pipe)
    run(pipe)
    pipe.disable_free_init()
    assert torch.equal(run(pipe), clips.moved)


def test_free_noise_keeps_the_motion_in_every_window(motion):
    # The motion is as long as a window, and begins anew in each: so does the motion by hand.
    clips = check_feature(make_animatediff, motion, enable_free_noise, run=run_long)
    assert (clips.plain_with - clips.plain).abs().max() > CLEAR  # FreeNoise does something


def test_a_region_that_moves_is_refused_where_windows_begin_unseen(motion):
    pipe = dme.enable_motion_embedding(make_animatediff())
    pipe.load_motion_embedding(motion(pipe.unet), "motion")
    still, moving = torch.ones(LONG, 4, 4), torch.ones(LONG, 4, 4)
    still[:, :, :2], moving[2:] = 0.0, 0.0
    pipe.set_motion_region(moving)
    enable_free_noise(pipe)
    with pytest.raises(ValueError, match="'motion' acts in a region that moves"):
        run_long(pipe)
    pipe.disable_motion_embedding_layers()
    run_long(pipe)
    pipe.enable_motion_embedding_layers()
    pipe.set_motion_region(still)
    run_long(pipe)
    pipe.disable_free_noise()
    pipe.set_motion_region(moving)
    run(pipe)


def test_a_motion_loaded_under_free_noise_stays_when_it_is_switched_off(motion):
    plain_pipe = make_animatediff()
    plain = run(plain_pipe)
    enable_free_noise(plain_pipe)
    plain_pipe.disable_free_noise()
    assert torch.equal(run(plain_pipe), plain)

    pipe = dme.enable_motion_embedding(make_animatediff())
    source = motion(pipe.unet)
    pipe.load_motion_embedding(source)
    moved = run(pipe)
    pipe.unload_motion_embedding()
    enable_free_noise(pipe)
    pipe.load_motion_embedding(source)
    pipe.disable_free_noise()
    assert torch.equal(run(pipe), moved)
    assert_motion_acts(moved, plain)


@pytest.mark.xfail(strict=True, reason="only an enabled pipeline looks after its motion before every call")
def test_rebuilt_blocks_keep_the_motion_of_a_pipeline_that_was_not_enabled(motion):
    # The plain functions leave the pipeline's class alone, so only the model can notice that blocks were rebuilt.
    clips = check_feature(make_animatediff, motion, enable_free_noise, run=run_long)
    pipe = make_animatediff()
    dme.load_motion_embedding(pipe, motion(pipe.unet), debias="identity")
    enable_free_noise(pipe)
    assert torch.equal(run_long(pipe), clips.moved_with)
    pipe.disable_free_noise()
    assert torch.equal(run_long(pipe), clips.moved)
    dme.unload_motion_embedding(pipe)
    assert torch.equal(run_long(pipe), clips.plain)


@pytest.mark.parametrize(
    "enabled",
    [
        pytest.param(True, id="enabled pipeline"),
        pytest.param(
            False,
            id="plain functions",
            marks=pytest.mark.xfail(strict=True, reason="only an enabled pipeline looks after its motion"),
        ),
    ],
)
def test_split_inference_is_refused(motion, enabled):
    # It wraps blocks, and cuts the rows that the motion counts on.
    plain_pipe = make_animatediff()
    enable_free_noise(plain_pipe)
    plain = run_long(plain_pipe)
    plain_pipe.enable_free_noise_split_inference()
    torch.testing.assert_close(run_long(plain_pipe), plain, atol=CLEAR / 1000, rtol=0)

    pipe = make_animatediff()
    if enabled:
        dme.enable_motion_embedding(pipe)
    source = motion(pipe.unet)
    dme.load_motion_embedding(pipe, source)
    enable_free_noise(pipe)
    pipe.enable_free_noise_split_inference()
    for _ in range(2):
        with pytest.raises(dme.MissingLayersError, match="enable_free_noise_split_inference"):
            run_long(pipe)
    dme.unload_motion_embedding(pipe)
    torch.testing.assert_close(run_long(pipe), plain, atol=CLEAR / 1000, rtol=0)
    with pytest.raises(dme.IncompatibleEmbeddingError):
        dme.load_motion_embedding(pipe, source)
