"""Noise and targets against the schedulers of diffusers: a model that predicted the target would get the clip back."""

import pytest
import torch
from diffusers import (
    CogVideoXDDIMScheduler,
    DDIMScheduler,
    DDPMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)

from diffusers_motion_embed import UnsupportedModelError
from diffusers_motion_embed.architectures.noising import noising_of


SHAPE = (2, 3, 4, 5, 6)


@pytest.fixture
def clip():
    return torch.randn(SHAPE)


@pytest.fixture
def noise():
    return torch.randn(SHAPE)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("scheduler_class", [DDIMScheduler, CogVideoXDDIMScheduler])
def test_diffusion_is_that_of_the_scheduler(scheduler_class, prediction_type, clip, noise):
    scheduler = scheduler_class(prediction_type=prediction_type)
    levels = torch.tensor([0.25, 0.9], dtype=torch.float64)
    noisy, timesteps, target = noising_of(scheduler).add_noise(clip, noise, levels)
    assert timesteps.tolist() == [250, 900]
    torch.testing.assert_close(noisy, scheduler.add_noise(clip, noise, timesteps))
    expected = noise if prediction_type == "epsilon" else scheduler.get_velocity(clip, noise, timesteps)
    torch.testing.assert_close(target, expected)


def test_pure_noise_is_the_last_timestep(clip, noise):
    _, timesteps, _ = noising_of(DDPMScheduler()).add_noise(clip, noise, torch.ones(2, dtype=torch.float64))
    assert timesteps.tolist() == [999, 999]


@pytest.mark.parametrize("invert", [False, True], ids=["from-noise-down", "counting-up"])
def test_one_step_along_a_flow_target_gives_the_clip(invert, clip, noise):
    scheduler = FlowMatchEulerDiscreteScheduler(invert_sigmas=invert)
    scheduler.set_timesteps(4)
    step = 1
    sigma = scheduler.sigmas[step].item()
    level = 1 - sigma if invert else sigma
    levels = torch.full((2,), level, dtype=torch.float64)
    noisy, timesteps, target = noising_of(scheduler).add_noise(clip, noise, levels)
    torch.testing.assert_close(noisy, (1 - level) * clip + level * noise)
    torch.testing.assert_close(timesteps, scheduler.timesteps[step].expand(2), rtol=1e-4, atol=1e-2)
    scheduler.sigmas[step + 1] = 1.0 if invert else 0.0  # all the rest in one step
    moved = scheduler.step(target, scheduler.timesteps[step], noisy).prev_sample
    torch.testing.assert_close(moved, clip, atol=1e-4, rtol=1e-4)


def test_the_flow_of_multistep_schedulers_is_the_same(clip, noise):
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    scheduler.set_timesteps(6)
    sigma = scheduler.sigmas[2]
    levels = sigma.double().expand(2)
    noisy, timesteps, target = noising_of(scheduler).add_noise(clip, noise, levels)
    assert timesteps.tolist() == pytest.approx([scheduler.timesteps[2].item()] * 2, abs=1)
    scheduler._step_index = 2
    torch.testing.assert_close(scheduler.convert_model_output(target, sample=noisy), clip, atol=1e-4, rtol=1e-4)


def test_continuous_noise_is_that_of_stable_video_diffusion(clip, noise):
    scheduler = EulerDiscreteScheduler(
        prediction_type="v_prediction",
        timestep_type="continuous",
        timestep_spacing="leading",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
    )
    scheduler.set_timesteps(10)
    step = 4
    sigma = scheduler.sigmas[step].double()
    level = (sigma.log() - torch.tensor(0.002).double().log()) / torch.tensor(700 / 0.002).double().log()
    noisy, timesteps, target = noising_of(scheduler).add_noise(clip, noise, level.expand(2))
    torch.testing.assert_close(timesteps, scheduler.timesteps[step].float().expand(2), rtol=1e-4, atol=1e-4)
    dirty = clip + sigma.float() * noise
    torch.testing.assert_close(noisy, scheduler.scale_model_input(dirty, scheduler.timesteps[step]))
    denoised = scheduler.step(target, scheduler.timesteps[step], dirty).pred_original_sample
    torch.testing.assert_close(denoised, clip, atol=1e-3, rtol=1e-3)


def test_other_predictions_are_refused():
    with pytest.raises(UnsupportedModelError, match="prediction_type 'sample'"):
        noising_of(DDPMScheduler(prediction_type="sample"))
