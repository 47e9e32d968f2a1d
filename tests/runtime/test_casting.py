"""Half precision, 8-bit storage and automatic mixed precision: the model's numbers change, the embedding's never."""

import pytest
import torch
from safetensors.torch import load_file

from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed.storage.files import WEIGHTS_NAME
from tests.runtime.factories import BOTH, CLEAR, check_feature, run


def store_in_8_bits(compute_dtype):
    def switch_on(pipe):
        if compute_dtype != torch.float32:
            pipe.to(compute_dtype)
        pipe.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=compute_dtype)

    return switch_on


FEATURES = {
    "bfloat16": lambda pipe: pipe.to(torch.bfloat16),
    "float16": lambda pipe: pipe.to(torch.float16),
    "bfloat16 and back": lambda pipe: pipe.to(torch.bfloat16).to(torch.float32),
    "float64 and back": lambda pipe: pipe.unet.to(torch.float64).to(torch.float32),
    "float8, computed in float32": store_in_8_bits(torch.float32),
    "float8, computed in bfloat16": store_in_8_bits(torch.bfloat16),
}


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_a_cast_model_keeps_the_motion(make_pipe, feature, motion):
    # The motion by hand stays float32 throughout and is rounded to the activations' dtype where it is added.
    clips = check_feature(make_pipe, motion, FEATURES[feature])
    assert not torch.equal(clips.plain_with, clips.plain) or feature == "float64 and back"


@pytest.mark.parametrize("feature", ["bfloat16", "float8, computed in bfloat16"])
def test_a_cast_model_keeps_the_numbers_of_the_embedding(feature, motion, motion_first, tmp_path):
    pipe = enable_motion_embedding(BOTH["animatediff"]())
    source = motion(pipe.unet)
    if not motion_first:
        FEATURES[feature](pipe)
    pipe.load_motion_embedding(source)
    if motion_first:
        FEATURES[feature](pipe)
    run(pipe)
    saved = load_file(pipe.save_motion_embedding(tmp_path / "saved") / WEIGHTS_NAME)
    assert saved.keys() == source.keys()
    assert all(saved[key].dtype == torch.float32 for key in source)
    assert all(torch.equal(saved[key], source[key]) for key in source)


@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_automatic_mixed_precision_keeps_the_motion(make_pipe, motion):
    def run_mixed(pipe):
        with torch.autocast("cpu", torch.bfloat16):
            return run(pipe)

    clips = check_feature(make_pipe, motion, lambda pipe: None, run=run_mixed)
    assert (clips.plain - run(make_pipe())).abs().max() > 0  # autocast does something


def test_another_memory_format_keeps_the_motion(motion):
    # Of the model of AnimateDiff alone: the other one has convolutions in three dimensions, which torch refuses here.
    def switch_on(pipe):
        pipe.unet.to(memory_format=torch.channels_last)

    clips = check_feature(BOTH["animatediff"], motion, switch_on)
    torch.testing.assert_close(clips.plain_with, clips.plain, atol=CLEAR / 1000, rtol=0)  # other kernels
    torch.testing.assert_close(clips.moved_with, clips.moved, atol=CLEAR / 1000, rtol=0)
