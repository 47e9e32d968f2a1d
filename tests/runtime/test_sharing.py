"""Pipelines made from one another, which share one model, and with it its motion."""

import pytest
import torch
from diffusers import (
    AnimateDiffPipeline,
    AnimateDiffVideoToVideoPipeline,
    TextToVideoSDPipeline,
    VideoToVideoSDPipeline,
)

from diffusers_motion_embed import enable_motion_embedding, get_active_motion_embeddings, unload_motion_embedding
from diffusers_motion_embed._compat import dtype_argument
from tests.conftest import make_animatediff, make_text_to_video
from tests.runtime.factories import assert_motion_acts, make_video_to_video, run


PAIRS = {
    "text to video": (make_text_to_video, VideoToVideoSDPipeline, TextToVideoSDPipeline),
    "video to video": (
        lambda: make_text_to_video(VideoToVideoSDPipeline),
        TextToVideoSDPipeline,
        VideoToVideoSDPipeline,
    ),
    "animatediff": (make_animatediff, AnimateDiffVideoToVideoPipeline, AnimateDiffPipeline),
    "animatediff video to video": (make_video_to_video, AnimateDiffPipeline, AnimateDiffVideoToVideoPipeline),
}


def make_from(pipeline_class, pipe):
    made = pipeline_class.from_pipe(pipe)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize(("make_pipe", "other_class", "own_class"), PAIRS.values(), ids=PAIRS)
def test_a_pipeline_made_from_another_shares_its_motion(make_pipe, other_class, own_class, motion):
    plain_pipe = make_pipe()
    plain, plain_other = run(plain_pipe), run(make_from(other_class, plain_pipe))

    pipe = enable_motion_embedding(make_pipe())
    pipe.load_motion_embedding(motion(pipe.unet), "motion")
    moved = run(pipe)
    assert_motion_acts(moved, plain)
    other = make_from(other_class, pipe)
    assert type(other) is other_class
    assert other.unet is pipe.unet
    assert get_active_motion_embeddings(other) == ["motion"]
    moved_other = run(other)
    assert_motion_acts(moved_other, plain_other)
    back = make_from(own_class, enable_motion_embedding(other))
    assert torch.equal(run(back), moved)

    other.set_motion_scale(0.0)
    assert torch.equal(run(pipe), plain)
    pipe.set_motion_scale(1.0)
    assert torch.equal(run(other), moved_other)
    unload_motion_embedding(back)
    assert torch.equal(run(pipe), plain)
    assert torch.equal(run(other), plain_other)


def test_components_build_another_pipeline(motion):
    plain = run(make_video_to_video())
    pipe = enable_motion_embedding(make_animatediff())
    pipe.load_motion_embedding(motion(pipe.unet))
    other = AnimateDiffVideoToVideoPipeline(**pipe.components)
    other.set_progress_bar_config(disable=True)
    assert_motion_acts(run(other), plain)
    pipe.disable_motion_embedding_layers()
    assert torch.equal(run(other), plain)


def test_a_pipeline_made_in_half_precision_keeps_the_motion(motion):
    # from_pipe casts the model that both share.
    plain_pipe = make_text_to_video()
    plain_other = VideoToVideoSDPipeline.from_pipe(plain_pipe, **dtype_argument(torch.bfloat16))
    assert plain_pipe.unet.dtype == torch.bfloat16
    expected = enable_motion_embedding(make_text_to_video(VideoToVideoSDPipeline))
    expected.load_motion_embedding(motion(expected.unet))
    expected.to(torch.bfloat16)

    pipe = enable_motion_embedding(make_text_to_video())
    pipe.load_motion_embedding(motion(pipe.unet))
    other = VideoToVideoSDPipeline.from_pipe(pipe, **dtype_argument(torch.bfloat16))
    assert torch.equal(run(other), run(expected))
    assert_motion_acts(run(other), run(plain_other))
