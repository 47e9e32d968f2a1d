"""Twins compute the same with inputs of another size, and learn the same."""

import copy

import numpy as np
import pytest
import torch

from benchmarks.tiny_world.pipelines import TINY_ANIMATEDIFF, TINY_T2V, TINY_WAN, generate, load_tiny_pipeline
from benchmarks.tiny_world.twins import enlarge_inputs, main
from diffusers_motion_embed.adapter.registry import embedding_tensors
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from tests.helpers import NUM_FRAMES, make_config


def input_sizes(pipe, paths):
    """The clip that a pipeline makes, and the root mean squares of the inputs of layers, by path."""
    model, sizes = getattr(pipe, "unet", None) or pipe.transformer, {}
    hooks = []
    for path in paths:

        def note(module, args, path=path):
            sizes.setdefault(path, args[0].square().mean().sqrt())

        hooks.append(model.get_submodule(f"{path}.to_q").register_forward_pre_hook(note))
    clip = generate(pipe, ["a red ring on a checkered navy background"], [0])
    for hook in hooks:
        hook.remove()
    return clip, sizes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "factors"),
    [(TINY_T2V, [8.0, 0.5]), (TINY_ANIMATEDIFF, [8.0, 0.5]), (TINY_WAN, [8.0])],
    ids=lambda value: getattr(value, "name", ""),
)
def test_twins_make_the_same_clips_with_inputs_of_other_sizes(folder, factors, tmp_path):
    pipe = load_tiny_pipeline(folder)
    model = getattr(pipe, "unet", None) or pipe.transformer
    main(
        [
            *("--pretrained_model_name_or_path", str(folder), "--output_dir", str(tmp_path)),
            *("--factors", *map(str, factors)),
        ]
    )
    layers = enlarge_inputs(type(model).from_config(model.config), factors)
    assert set(layers.values()) == set(factors)
    clip, sizes = input_sizes(pipe, layers)
    twins_clip, twins_sizes = input_sizes(load_tiny_pipeline(tmp_path), layers)
    assert abs(clip.astype(int) - twins_clip).max() <= 1
    for path, factor in layers.items():
        torch.testing.assert_close(twins_sizes[path], factor * sizes[path], rtol=1e-3, atol=0)


def learned(pipe):
    """What three steps learn, by layer."""
    frames = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, 16, 16, 3), dtype=np.uint8)
    options = TrainingConfig(max_train_steps=3, gradient_accumulation_steps=1)
    train_motion_embedding(pipe, frames, "a red circle", options, embedding_config=make_config(), progress_bar=False)
    return embedding_tensors(pipe.unet, "default")


@pytest.mark.parametrize("factors", [(8.0,), (0.125,), (8.0, 0.5)], ids=str)
def test_a_twin_learns_the_same(text_to_video, factors):
    twin = copy.deepcopy(text_to_video)
    factor_of = enlarge_inputs(twin.unet, factors)
    original = learned(text_to_video)
    for path, parts in learned(twin).items():
        for part, tensor in parts.items():
            torch.testing.assert_close(tensor, factor_of[path] * original[path][part], atol=1e-4, rtol=1e-3)
