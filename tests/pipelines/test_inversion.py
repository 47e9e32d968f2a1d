"""Inverted noise: the pipeline draws the clip again from it."""

import pytest
import torch
from diffusers import EulerDiscreteScheduler

import diffusers_motion_embed as dme
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.architectures.encoding import encode_frames
from tests.pipelines.conftest import FAMILIES, make_pipe


def inverted(family, pipe, steps):
    return dme.invert_clip(
        pipe,
        family.frames(),
        "a red circle",
        num_inference_steps=steps,
        call_arguments=family.settings,
        progress_bar=False,
    )


def assert_drawn_again(family, pipe, share):
    """Assert that inverted noise leaves at most a share of the squared error of random noise."""
    latents, noise = encode_frames(pipe, family.frames()), inverted(family, pipe, 20)
    assert noise.shape == latents.shape
    model = getattr(pipe, family.component)
    layout = find_architecture(model).input_layout(model)

    def error(noise):
        drawn = family.generate(pipe, latents=layout.arrange(noise), num_inference_steps=20)
        return (layout.restore(drawn, latents.shape) - latents).square().mean().item()

    assert error(noise) < share * error(torch.randn_like(noise))


@pytest.mark.parametrize(
    "name", ["Wan", "WanImageToVideo", "LTX", "HunyuanVideo", "Mochi", "EasyAnimate", "CogVideoX"]
)
def test_generating_from_it_gives_the_clip_again(name):
    assert_drawn_again(FAMILIES[name], make_pipe(FAMILIES[name]), share=0.04)


def test_schedulers_of_any_spacing():
    pipe = make_pipe(FAMILIES["AnimateDiff"])
    pipe.scheduler = EulerDiscreteScheduler(timestep_spacing="linspace")
    assert_drawn_again(FAMILIES["AnimateDiff"], pipe, share=0.3)


@torch.no_grad()
def test_noise_levels_are_those_of_the_pipelines_scheduler():
    """v-prediction by hand at CogVideoX's shifted levels: x0 = √a·x - √(1-a)·v, e = √a·v + √(1-a)·x."""
    family, pipe = FAMILIES["CogVideoX"], make_pipe(FAMILIES["CogVideoX"])
    calls = []
    pipe.transformer.register_forward_pre_hook(lambda module, args, kwargs: calls.append(kwargs), with_kwargs=True)
    found = inverted(family, pipe, 4)
    x, a = encode_frames(pipe, family.frames()), torch.tensor(1.0)
    for call, timestep in zip(calls[-4:], (249, 499, 749, 999), strict=True):
        v = pipe.transformer(**{**call, "hidden_states": x.transpose(1, 2)})[0].transpose(1, 2)
        x0, e = a.sqrt() * x - (1 - a).sqrt() * v, a.sqrt() * v + (1 - a).sqrt() * x
        a = pipe.scheduler.alphas_cumprod[timestep].float()
        x = a.sqrt() * x0 + (1 - a).sqrt() * e
        assert call["timestep"].item() == timestep
    torch.testing.assert_close(found, x, atol=1e-4, rtol=1e-4)
