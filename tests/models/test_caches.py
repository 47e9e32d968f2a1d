"""Caches of diffusers, which leave out what they think has hardly changed since the last step, beside a motion."""

import pytest
import torch
from diffusers import (
    FirstBlockCacheConfig,
    PyramidAttentionBroadcastConfig,
    TaylorSeerCacheConfig,
)

from diffusers_motion_embed import load_motion_embedding, set_motion_scale, unload_motion_embedding
from tests.models.zoo import ZOO, Clip, make_model
from tests.versions import found


NAMES = (
    "WanTransformer3DModel",
    "CogVideoXTransformer3DModel",
    "HunyuanVideoTransformer3DModel",
    "LTXVideoTransformer3DModel",
    "MochiTransformer3DModel",
)
TIMESTEPS = (900, 700, 650, 600, 300)

# Every one leaves out, in these steps, what the test would otherwise see computed.
CACHES = {
    "FirstBlockCache": lambda step: FirstBlockCacheConfig(threshold=10.0),
    "MagCache": lambda step: found("diffusers.MagCacheConfig", first="0.39")(
        threshold=1.0, num_inference_steps=len(TIMESTEPS), mag_ratios=torch.ones(len(TIMESTEPS))
    ),
    "PyramidAttentionBroadcast": lambda step: PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        current_timestep_callback=lambda: TIMESTEPS[step[0]],
    ),
    "TaylorSeer": lambda step: TaylorSeerCacheConfig(
        cache_interval=2, disable_cache_before_step=2, cache_identifiers=[r".*attn1?"]
    ),
}


@torch.no_grad()
def denoise(model, step):
    """The predictions of all steps for one noisy clip."""
    predictions = []
    model._reset_stateful_cache()  # as pipelines do at the end of a call
    for step[0], timestep in enumerate(TIMESTEPS):
        torch.manual_seed(2)
        inputs = ZOO[type(model).__name__].inputs(Clip())
        inputs["timestep"] = torch.full_like(inputs["timestep"], timestep)
        with model.cache_context("cond"):
            predictions.append(model(**inputs, return_dict=False)[0])
    return torch.stack(predictions)


@pytest.mark.parametrize("cache", CACHES)
@pytest.mark.parametrize("name", NAMES)
def test_a_cache_keeps_the_motion(name, cache, embedding_dict):
    step = [0]
    cached_first, motion_first = make_model(name), make_model(name)
    layers = list(ZOO[name].layers)
    motion = embedding_dict(cached_first, target_modules=layers, value_grid=(1, 1), parts=ZOO[name].parts)
    # A model of its own: diffusers 0.39 finds no cache that is enabled after the first call.
    uncached_model = make_model(name)
    uncached = denoise(uncached_model, step)
    load_motion_embedding(uncached_model, motion)
    uncached_moved = denoise(uncached_model, step)
    load_motion_embedding(motion_first, motion)

    for model in (cached_first, motion_first):
        model.enable_cache(CACHES[cache](step))
    plain = denoise(cached_first, step)
    assert not torch.equal(plain, uncached)  # plain diffusers: the cache does something
    load_motion_embedding(cached_first, motion)
    moved = denoise(cached_first, step)
    assert not torch.equal(moved, uncached_moved)
    assert (moved - plain).abs().max() > 1e-3
    assert torch.equal(denoise(motion_first, step), moved)
    for model in (cached_first, motion_first):
        set_motion_scale(model, 0.0)
        assert torch.equal(denoise(model, step), plain)
        unload_motion_embedding(model)
        assert torch.equal(denoise(model, step), plain)
    motion_first.disable_cache()
    assert torch.equal(denoise(motion_first, step), uncached)
