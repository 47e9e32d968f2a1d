"""Latents, noise and targets, against the pipelines themselves."""

import inspect

import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder

from diffusers_motion_embed.architectures import find_architecture, supported_models
from diffusers_motion_embed.architectures.encoding import encode_frames
from diffusers_motion_embed.architectures.noising import ContinuousDiffusion, Flow, noising_of


@pytest.fixture
def vae_latents(family, pipe):
    """What the VAE itself makes of the clip, (1, channels, frames, height, width)."""
    pixels = torch.tensor(family.frames()).permute(3, 0, 1, 2)[None] / 127.5 - 1
    with torch.no_grad():
        if not family.frame_by_frame:
            return pipe.vae.encode(pixels).latent_dist.mode()
        pictures = [pipe.vae.encode(picture).latent_dist.mode() for picture in pixels.unbind(2)]
    return torch.stack(pictures, dim=2)


@torch.no_grad()
def decoded(family, vae, latents):
    """The clip of the VAE's own latents, (1, frames, 3, height, width), from 0 to 1."""
    if family.frame_by_frame:
        options = {"num_frames": latents.shape[2]} if isinstance(vae, AutoencoderKLTemporalDecoder) else {}
        clip = vae.decode(latents[0].transpose(0, 1), **options).sample[None]
    else:
        clip = vae.decode(latents).sample
        clip = clip.transpose(1, 2) if clip.shape[1] == 3 else clip
    return (clip / 2 + 0.5).clamp(0, 1)


def level_of(scheduler, timestep):
    """The share of noise, or of the schedule, at which the pipeline calls its model."""
    noising = noising_of(scheduler)
    index = (scheduler.timesteps - timestep).abs().argmin()
    if isinstance(noising, Flow):
        return 1 - scheduler.sigmas[index] if noising.invert else scheduler.sigmas[index]
    if isinstance(noising, ContinuousDiffusion):
        return (scheduler.sigmas[index].log() - noising.low) / (noising.high - noising.low)
    return (timestep + 0.5) / scheduler.config.num_train_timesteps


def test_latents_are_normalised_as_the_family_does_it(family, pipe, vae_latents):
    latents = encode_frames(pipe, family.frames(), chunk_size=3)
    torch.testing.assert_close(latents, family.normalise(pipe.vae, vae_latents), atol=1e-5, rtol=1e-5)


def test_a_model_that_predicts_the_target_draws_the_clip(family, pipe, model, vae_latents):
    """Through the pipeline's own steps and its own decoding, from noise."""
    latents = encode_frames(pipe, family.frames())
    layout, noising = find_architecture(model).input_layout(model), noising_of(pipe.scheduler)

    def predict_target(module, args, kwargs, output):
        given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        noisy = layout.restore(given.get("sample", given.get("hidden_states")), latents.shape)[:, : latents.shape[1]]
        timestep = given["timestep"].double().max()
        level = level_of(pipe.scheduler, timestep).double().reshape(1)
        nothing = torch.zeros_like(latents)
        of_clip, timesteps, _ = noising.add_noise(latents, nothing, level)
        of_noise, *_ = noising.add_noise(nothing, nothing + 1, level)
        assert timesteps.item() == pytest.approx(timestep.item(), abs=1 if timestep > 2 else 1e-3)
        _, _, target = noising.add_noise(latents, (noisy - of_clip) / of_noise, level)
        arranged = layout.arrange(target)
        output[0].narrow(layout.channel_axis, 0, arranged.shape[layout.channel_axis]).copy_(arranged)

    for each in supported_models(pipe).values():
        each.register_forward_hook(predict_target, with_kwargs=True)
    video = pipe(**family.arguments(family.frames(), num_inference_steps=3, output_type="pt"))[0]
    torch.testing.assert_close(video, decoded(family, pipe.vae, vae_latents), atol=1e-3, rtol=1e-3)
