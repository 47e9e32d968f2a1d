"""Pipelines with a ControlNet take motion embeddings, and refuse to be trained."""

import pytest
import torch
from diffusers import AnimateDiffControlNetPipeline, AnimateDiffPipeline, ControlNetModel
from PIL import Image

from diffusers_motion_embed import UnsupportedModelError, enable_motion_embedding
from tests.helpers import assert_unchanged, snapshot
from tests.pipelines.components import randomise
from tests.pipelines.conftest import FAMILIES
from tests.pipelines.test_training import train


FAMILY = FAMILIES["AnimateDiff"]
CONTROL = {"conditioning_frames": [Image.fromarray(frame) for frame in FAMILY.frames(seed=5)]}


@pytest.fixture
def pipe():
    parts = {name: part for name, part in FAMILY.make().components.items() if part is not None}
    controlnet = ControlNetModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        conditioning_embedding_out_channels=(4, 4),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    pipe = AnimateDiffControlNetPipeline(**parts, controlnet=controlnet)
    randomise(pipe)
    pipe.set_progress_bar_config(disable=True)
    return enable_motion_embedding(pipe)


def test_training_is_refused_and_works_without_the_controlnet(pipe):
    plain, before = FAMILY.generate(pipe, **CONTROL), snapshot(pipe.unet)
    with pytest.raises(UnsupportedModelError, match=r"depend on the noise.*AnimateDiffPipeline\.from_pipe\(pipe\)"):
        train(FAMILY, pipe, call_arguments=CONTROL)
    assert_unchanged(pipe.unet, before)

    without = enable_motion_embedding(AnimateDiffPipeline.from_pipe(pipe))
    without.set_progress_bar_config(disable=True)
    train(FAMILY, without)
    assert pipe.get_active_motion_embeddings() == ["trained"]
    assert not torch.equal(FAMILY.generate(pipe, **CONTROL), plain)
    pipe.unload_motion_embedding()
    assert torch.equal(FAMILY.generate(pipe, **CONTROL), plain)
