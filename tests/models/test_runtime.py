"""Runtime features on a model where all tokens attend to each other; the others are in tests/runtime."""

import pytest
import torch
from diffusers.hooks import apply_group_offloading

from diffusers_motion_embed import (
    load_motion_embedding,
    set_motion_frame_policy,
)
from tests.models.zoo import ZOO, Clip, make_model, run


NAMES = ["WanTransformer3DModel", "CogVideoXTransformer3DModel", "HunyuanVideoTransformer3DModel"]
SIZE = {"latent_height": 4, "latent_width": 8}


@pytest.fixture(params=NAMES)
def model(request):
    return make_model(request.param)


@pytest.fixture
def embedding(embedding_dict):
    def make(model):
        layers = list(ZOO[type(model).__name__].layers)
        return embedding_dict(model, target_modules=layers, value_grid=(2, 2), **SIZE)

    return make


def test_half_precision_keeps_the_embedding_in_full(model, embedding):
    load_motion_embedding(model, embedding(model))
    expected = run(model)
    model.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        half = run(model)
    layer = model._motion_embedding_registry.layers[ZOO[type(model).__name__].layers[0]]
    assert layer.embeddings["default_0"].v.dtype == torch.float32
    torch.testing.assert_close(half.float(), expected, atol=0.15, rtol=0.15)


def test_offloaded_groups_compute_the_same(model, embedding):
    load_motion_embedding(model, embedding(model))
    expected = run(model)
    apply_group_offloading(model, torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1)
    assert torch.equal(run(model), expected)


def test_clips_of_another_length_follow_the_policy(model, embedding):
    load_motion_embedding(model, embedding(model))
    clip = Clip(1, 6, 4, 8)
    stretched = run(model, clip)
    set_motion_frame_policy(model, "hold")
    assert not torch.equal(run(model, clip), stretched)
    set_motion_frame_policy(model, "error")
    with pytest.raises(ValueError, match="6 frames"):
        run(model, clip)
