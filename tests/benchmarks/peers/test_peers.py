"""Every method learns something on the tiny model, and leaves nothing behind."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.peers import METHODS, NoisePrior, Reference
from benchmarks.peers.dmt import differences
from benchmarks.peers.generation import generator_of
from benchmarks.peers.spatial_query_key import SpatialQueryKey, SpatialQueryKeyEmbedding
from benchmarks.peers.tracked_path import TrackedPath
from benchmarks.peers.training import acting, denoiser, motion_attentions
from benchmarks.tiny_world.pipelines import GENERATION, TINY_WAN, load_tiny_pipeline
from benchmarks.tiny_world.references import OBJECT_REFERENCES, reference_frames
from diffusers_motion_embed.adapter.state import EmbeddingState
from tests.helpers import make_config


ALL = {**METHODS, "spatial query-key": SpatialQueryKeyEmbedding()}
PROMPT, SEED = "a yellow ring on a gray background", 3


@pytest.fixture(scope="module")
def pipe():
    return load_tiny_pipeline()


@pytest.fixture(scope="module")
def reference():
    name = "figure_eight"
    return Reference(reference_frames(name), OBJECT_REFERENCES[name].appearance.prompt)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setitem(GENERATION, "num_inference_steps", 2)


def state_of(model: nn.Module):
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    hooks = sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.modules())
    return flags, hooks, [name for name, _ in model.named_modules()], vars(model).keys() - {"_modules"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_a_method_changes_clips_and_afterwards_nothing_is_left_of_it(name, pipe, reference):
    _, model = denoiser(pipe)
    plain, before = generator_of(pipe)([PROMPT], [SEED]), state_of(model)
    with ALL[name].learn(pipe, reference, num_samples=8, seed=0) as transfer:
        generated = transfer.generate([PROMPT], [SEED])
        assert transfer.num_bytes > 0
    assert generated.shape == plain.shape
    assert np.any(generated != plain)
    with contextlib.suppress(KeyboardInterrupt), ALL[name].learn(pipe, reference, num_samples=4, seed=0):
        raise KeyboardInterrupt
    assert np.array_equal(generator_of(pipe)([PROMPT], [SEED]), plain)
    assert state_of(model) == before


@pytest.mark.parametrize(
    ("name", "numbers_of_a_layer"),
    [
        ("motion embedding", lambda width: 16 * width * (1 + 4 * 4)),
        ("spatial query-key", None),  # whose layers have different grids
        ("temporal LoRA", lambda width: 4 * 8 * 2 * width),
        ("VMC", lambda width: 4 * width * width + width),
    ],
)
def test_bytes(name, numbers_of_a_layer, pipe, reference):
    _, model = denoiser(pipe)
    widths = [model.get_submodule(path).to_q.in_features for path in motion_attentions(model)]
    with ALL[name].learn(pipe, reference, num_samples=4, seed=0) as transfer:
        if numbers_of_a_layer is None:
            assert transfer.num_bytes > 4 * sum(16 * width * 2 * 4 * 4 for width in widths)
        else:
            assert transfer.num_bytes == 4 * sum(map(numbers_of_a_layer, widths))


def test_a_tracked_path_is_three_numbers_for_each_latent_frame():
    pipe, look = load_tiny_pipeline(TINY_WAN), OBJECT_REFERENCES["zigzag"].appearance
    plain = generator_of(pipe)([PROMPT], [SEED])
    with TrackedPath().learn(pipe, Reference(reference_frames("zigzag", 17), look.prompt), 0, seed=0) as transfer:
        assert transfer.num_bytes == 9 * 3 * 4
        assert np.any(transfer.generate([PROMPT], [SEED]) != plain)
    assert np.array_equal(generator_of(pipe)([PROMPT], [SEED]), plain)


def test_what_was_learned_acts_in_its_part_of_the_denoising_only(pipe):
    _, model = denoiser(pipe)
    parameter = model.conv_out.bias
    plain = {"bias": parameter.detach().clone()}
    seen = []
    watch = model.conv_out.register_forward_pre_hook(lambda module, args: seen.append(module.bias[0].item()))
    try:
        with torch.no_grad():
            parameter.add_(1)
        with acting(model, {"bias": parameter}, plain, 0.0, 0.3):
            generator_of(pipe)([PROMPT], [SEED])  # in two steps: at the start of the schedule, and half way
    finally:
        watch.remove()
        with torch.no_grad():
            parameter.copy_(plain["bias"])
    assert seen == pytest.approx([plain["bias"][0].item() + 1, plain["bias"][0].item()])


def test_a_peer_learns(pipe, reference):
    """The denoising loss of the reference falls, at noise that was not trained on."""
    _, model = denoiser(pipe)
    latents = torch.randn(1, pipe.unet.config.in_channels, 16, 8, 8, generator=torch.Generator().manual_seed(5))
    text = torch.zeros(1, 3, model.config.cross_attention_dim)

    def outputs():
        with torch.no_grad():
            return model(latents, 950, text).sample

    plain = outputs()
    changes = []
    for num_samples in (4, 40):
        with METHODS["temporal LoRA"].learn(pipe, reference, num_samples, seed=0):
            changes.append((outputs() - plain).norm().item())
    assert 0 < changes[0] < changes[1]


def test_differences_of_space_time_features():
    features = torch.tensor([[[[1.0, 3.0]]], [[[5.0, 5.0]]]])  # 2 frames, 1 channel, 1 x 2 positions: means 2 and 5
    assert differences(features)[..., 0].tolist() == [[0.0, -3.0], [3.0, 0.0]]


def test_a_query_key_part_with_positions():
    qk = torch.arange(2 * 1 * 3 * 4.0).view(2, 1, 3, 4)
    tensors = {"qk": qk, "v": torch.zeros(1, 1, 3, 4)}
    embedding = SpatialQueryKey(tensors, EmbeddingState(make_config(num_frames=3)))
    offset = embedding.offset("qk", 3, (2, 1), torch.device("cpu"))
    assert torch.equal(offset, qk.flatten(0, 1))


def test_a_prior_mixes_the_variance_asked_for():
    inverted = torch.full((1, 1, 2, 8, 8), 3.0)
    seeds = list(range(40))
    for share in (0.0, 0.5, 1.0):
        latents = NoisePrior(share=share).latents(inverted, seeds)
        assert latents.shape == (40, 1, 2, 8, 8)
        assert latents.mean().item() == pytest.approx(3 * share**0.5, abs=0.1)
        assert latents.var().item() == pytest.approx(1 - share, abs=0.1)
