"""Inverted noise and its mixes."""

from typing import get_args

import numpy as np
import pytest
import torch
from diffusers import (
    AnimateDiffVideoToVideoPipeline,
    DDIMScheduler,
    EulerDiscreteScheduler,
    VideoToVideoSDPipeline,
)

import diffusers_motion_embed as dme
from diffusers_motion_embed.architectures.offloading import is_offloaded
from diffusers_motion_embed.noise import NOISE_KEY, NOISE_NAME, NoiseMix
from tests.conftest import make_animatediff, make_text_to_video
from tests.helpers import NUM_FRAMES, generate, module_names
from tests.training.test_offloading import OFFLOADS


def frames():
    return np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, 16, 16, 3), dtype=np.uint8)


def inverted(pipe, **arguments):
    return dme.invert_clip(pipe, frames(), num_inference_steps=5, progress_bar=False, **arguments)


@torch.no_grad()
def inverted_by_hand(pipe, prompt=""):
    """x[t + 200] = √a[t + 200]·x0 + √(1 - a[t + 200])·e, with x0 and e as the model sees them at t + 1."""
    unet, vae = pipe.unet, pipe.vae
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    alphas = torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)])  # alphas[t + 1] of timestep t
    pixels = torch.tensor(frames()).permute(0, 3, 1, 2) / 127.5 - 1
    x = vae.encode(pixels).latent_dist.mean.permute(1, 0, 2, 3)[None] * vae.config.scaling_factor
    tokens = pipe.tokenizer([prompt], padding="max_length", max_length=16, return_tensors="pt").input_ids
    text = pipe.text_encoder(tokens)[0]
    if type(unet).__name__ == "UNetMotionModel":
        text = text.repeat_interleave(NUM_FRAMES, 0)
    before = 0
    for t in range(0, 1000, 200):
        e = unet(x, t, encoder_hidden_states=text).sample
        x0 = (x - (1 - alphas[before]).sqrt() * e) / alphas[before].sqrt()
        x = (alphas[t + 1].sqrt() * x0 + (1 - alphas[t + 1]).sqrt() * e).float()
        before = t + 1
    return x


@pytest.mark.parametrize("prompt", ["", "a red circle"])
def test_inversion_is_that_of_ddim(pipe, prompt):
    noise = inverted(pipe, prompt=prompt)
    assert noise.shape == (1, 4, NUM_FRAMES, 8, 8)
    torch.testing.assert_close(noise, inverted_by_hand(pipe, prompt), atol=1e-4, rtol=1e-4)


def test_motion_takes_no_part_and_stays_as_it_was(text_to_video, embedding_dict):
    without = inverted(text_to_video)
    text_to_video.load_motion_embedding(embedding_dict(text_to_video.unet))
    before, names = generate(text_to_video), module_names(text_to_video.unet)
    assert torch.equal(inverted(text_to_video), without)
    assert torch.equal(generate(text_to_video), before)
    assert module_names(text_to_video.unet) == names
    text_to_video.disable_motion_embedding_layers()
    disabled = generate(text_to_video)
    inverted(text_to_video)
    assert torch.equal(generate(text_to_video), disabled)


@pytest.mark.parametrize("offload", OFFLOADS.values(), ids=OFFLOADS)
def test_an_offloaded_pipeline_gives_the_same(offload):
    expected, pipe = inverted(make_text_to_video()), make_text_to_video()
    offload(pipe)
    torch.testing.assert_close(inverted(pipe), expected, atol=1e-5, rtol=1e-4)  # files are read to other addresses
    assert all(is_offloaded(each) for each in (pipe.unet, pipe.vae, pipe.text_encoder))


def test_what_cannot_be_inverted_is_told(text_to_video):
    with pytest.raises(dme.VideoError, match="must be a multiple of 2"):
        dme.invert_clip(text_to_video, frames()[:, :15])
    text_to_video.scheduler = EulerDiscreteScheduler(prediction_type="v_prediction", timestep_type="continuous")
    with pytest.raises(dme.UnsupportedModelError, match="EulerDiscreteScheduler has no inversion here"):
        inverted(text_to_video)
    text_to_video.scheduler = DDIMScheduler(prediction_type="sample")
    with pytest.raises(dme.UnsupportedModelError, match="DDIMScheduler with prediction_type 'sample'"):
        inverted(text_to_video)
    with pytest.raises(dme.UnsupportedModelError):
        inverted(text_to_video.vae)


def noise(seed=0, shape=(1, 3, 4, 8, 8)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def mixed(mix, z, seed=1, **arguments):
    return dme.mix_noise(z, mix, generator=torch.Generator().manual_seed(seed), **arguments)


def test_blend_is_the_papers_formula():
    z = noise()
    expected = 0.3**0.5 * z + 0.7**0.5 * noise(1)
    torch.testing.assert_close(mixed("blend", z, share=0.3), expected)
    assert torch.equal(mixed("blend", z, share=1.0), z)


@pytest.mark.parametrize("mix", ["frequency", "low_pass"])
def test_means_come_from_the_reference_and_details_from_fresh_noise(mix):
    z = noise(0, (1, 3, 4, 16, 16)) + 5
    fresh, found = noise(1, (1, 3, 4, 16, 16)), mixed(mix, z)
    assert found.mean() == pytest.approx(z.mean().item(), abs=0.05)

    def details(clip):
        # What differs between neighbours two pixels wide is fast in both axes.
        return clip[..., ::2, ::2] - clip[..., 1::2, ::2] - clip[..., ::2, 1::2] + clip[..., 1::2, 1::2]

    def likeness(first, second):
        return torch.corrcoef(torch.stack([details(first).flatten(), details(second).flatten()]))[0, 1].item()

    assert likeness(found, fresh) > 0.9
    assert abs(likeness(found, z)) < 0.2


def test_low_pass_weighs_each_frequency_by_a_gaussian():
    z = torch.zeros(1, 1, 4, 8, 8)
    wave = torch.cos(2 * torch.pi * torch.arange(8) / 8)  # a quarter of the highest frequency
    z[0, 0] = wave
    weight = np.exp(-(0.25**2) / (2 * 0.5**2))
    fresh = noise(1, z.shape)
    found = mixed("low_pass", z, cutoff=0.5) - mixed("low_pass", torch.zeros_like(z), cutoff=0.5)
    torch.testing.assert_close(found[0, 0, 0, 0], (weight * wave).float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(mixed("low_pass", fresh, cutoff=0.5), fresh, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("factor", [3, 4, 5])
def test_low_frequencies_stay_in_their_place_whatever_the_factor_leaves_over(factor):
    ramp = torch.arange(30.0).expand(1, 1, 2, 30, 30)
    found = mixed("frequency", ramp, factor=factor) - mixed("frequency", torch.zeros_like(ramp), factor=factor)
    inside = slice(2 * factor, -2 * factor)  # beyond, the edges' values are repeated
    torch.testing.assert_close(found[..., inside], ramp[..., inside], atol=0.1, rtol=0)


def test_a_factor_as_large_as_the_picture_takes_its_mean():
    z = noise(shape=(1, 2, 3, 49, 49))
    found = mixed("frequency", z, factor=49) - mixed("frequency", torch.zeros_like(z), factor=49)
    assert all(each.std() < 1e-5 for each in found.flatten(0, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mix", get_args(NoiseMix))
def test_half_precision_is_mixed_too(mix, dtype):
    z = noise().to(dtype)
    found = mixed(mix, z)
    assert found.dtype == dtype
    # What is fresh is drawn in that type, by the same generator.
    torch.testing.assert_close(found.float(), mixed(mix, z.float()), atol=0.05, rtol=0.05)


def test_frequency_blend_is_both():
    z = noise()
    generator = torch.Generator().manual_seed(1)
    first, second = (torch.randn(z.shape, generator=generator) for _ in range(2))
    frequency = mixed("frequency", z)
    torch.testing.assert_close(mixed("frequency_blend", z, share=0.4), 0.4**0.5 * frequency + 0.6**0.5 * second)
    assert torch.equal(mixed("frequency", first), first) or torch.allclose(mixed("frequency", first), first, atol=1e-5)


def test_several_videos_and_generators():
    z = noise()
    both = dme.mix_noise(z, num_videos=2, generator=[torch.Generator().manual_seed(seed) for seed in (1, 2)])
    assert torch.equal(both[:1], mixed("blend", z, seed=1))
    assert torch.equal(both[1:], mixed("blend", z, seed=2))


def test_noise_for_a_pipeline_that_does_not_scale_what_it_is_given():
    """Video-to-video from noise alone is AnimateDiff's own pipeline, with Euler's scheduler, whose noise is large."""
    pipe = make_animatediff()
    pipe.scheduler = EulerDiscreteScheduler(timestep_spacing="trailing")
    latents = noise(shape=(1, 4, NUM_FRAMES, 8, 8))
    expected = generate(pipe, latents=dme.pipeline_latents(pipe, latents))
    parts = {name: part for name, part in pipe.components.items() if part is not None}
    other = AnimateDiffVideoToVideoPipeline(**parts)
    other.set_progress_bar_config(disable=True)
    settings = {"strength": 1.0, "num_inference_steps": 2, "guidance_scale": 3.0, "output_type": "pt"}
    given = dme.pipeline_latents(other, latents)
    found = other(prompt="a red circle", height=16, width=16, latents=given, **settings).frames
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_pipelines_that_take_no_noise_say_so():
    pipe = dme.enable_motion_embedding(make_text_to_video(VideoToVideoSDPipeline))
    with pytest.raises(dme.UnsupportedModelError, match="has an argument `latents` and ignores it"):
        dme.pipeline_latents(pipe, noise())
    with pytest.raises(dme.UnsupportedModelError, match="no model that takes"):
        dme.pipeline_latents(pipe.vae, noise())
    for wrong in (noise()[0], noise()[:, :2], noise().numpy()):
        with pytest.raises(dme.VideoError, match=r"must be \(batch, 4 channels, frames.* got "):
            dme.pipeline_latents(make_text_to_video(), wrong)


@pytest.mark.parametrize("make_pipe", [make_text_to_video, make_animatediff])
def test_the_mix_is_what_a_pipeline_takes_as_latents(make_pipe):
    pipe = make_pipe()
    latents = mixed("blend", inverted(pipe))
    clips = [generate(pipe, latents=latents, seed=seed) for seed in (1, 2)]
    assert torch.equal(*clips)
    assert not torch.equal(clips[0], generate(pipe, seed=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mix": "mean"}, "mix must be one of blend, frequency, frequency_blend, low_pass; got 'mean'"),
        ({"share": 1.5}, "share must lie within 0 and 1"),
        ({"factor": 0}, "factor must be a whole number"),
        ({"mix": "frequency", "factor": 2.5}, "factor must be a whole number"),
        ({"cutoff": 0.0}, "cutoff be positive"),
        ({"mix": "frequency", "factor": 1000}, "factor 1000 leaves nothing of noise"),
    ],
)
def test_mixes_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        dme.mix_noise(noise(), **arguments)
    for wrong in (noise()[0], noise().int(), noise() * torch.nan, noise().numpy()):
        with pytest.raises(ValueError, match="must hold finite floats"):
            dme.mix_noise(wrong)


def test_noise_is_kept_in_a_folder(tmp_path):
    z = noise()
    assert dme.save_inverted_noise(tmp_path / "embedding", z).name == NOISE_NAME
    assert torch.equal(dme.load_inverted_noise(tmp_path / "embedding"), z)
    assert torch.equal(dme.load_inverted_noise(tmp_path, subfolder="embedding"), z)
    path = tmp_path / "embedding" / NOISE_NAME
    with pytest.raises(ValueError, match="must hold finite floats"):
        dme.save_inverted_noise(tmp_path / "embedding", z * torch.nan)
    others = ({"other": z}, {NOISE_KEY: torch.cat([z, z])})
    for content in (path.read_bytes()[:-8], b"", *map(dme.noise.save, others)):
        path.write_bytes(content)
        with pytest.raises(dme.EmbeddingFileError, match=NOISE_NAME):
            dme.load_inverted_noise(tmp_path / "embedding")
    path.unlink()
    with pytest.raises(dme.EmbeddingNotFoundError, match="stored on request only"):
        dme.load_inverted_noise(tmp_path / "embedding")
