"""Given noise: every pipeline begins with it as with its own, and draws a clip again from its inverted noise."""

import contextlib
import re
import warnings
from dataclasses import replace

import pytest
import torch
from diffusers import (
    CogVideoXImageToVideoPipeline,
    EulerDiscreteScheduler,
    Kandinsky5I2VPipeline,
)

import diffusers_motion_embed as dme
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.architectures.encoding import TEMPORAL_FACTORS, encode_frames, first_factor
from tests.pipelines.conftest import FAMILIES, make_pipe
from tests.pipelines.ltx import ltx2
from tests.pipelines.test_training import NoFloat64
from tests.pipelines.transformers import cogvideox, kandinsky5
from tests.pipelines.wan import wan_parts
from tests.versions import found, is_older


# Relatives of these pipelines that want more of their latents, or arrange them otherwise.
RELATIVES = {
    "AnyFlow": replace(FAMILIES["Wan"], make=lambda: any_flow()),
    "CogVideoX1.5ImageToVideo": replace(
        FAMILIES["CogVideoX1.5"],
        make=lambda: cogvideox(CogVideoXImageToVideoPipeline, in_channels=8, patch_size_t=2, patch_bias=False),
        takes=("prompt", "image"),
        drawn_before="latents",
    ),
    "LTX2ImageToVideo": replace(
        FAMILIES["LTX2"],
        make=lambda: ltx2("LTX2ImageToVideoPipeline"),
        takes=("prompt", "image"),
        gives_first_frame=True,
        settings={**FAMILIES["LTX2"].settings, **({} if is_older("diffusers", "0.42") else {"image_crf": 0})},
    ),
    "Kandinsky5ImageToVideo": replace(
        FAMILIES["Kandinsky5"],
        make=lambda: kandinsky5(Kandinsky5I2VPipeline),
        clip=(21, 16, 32),  # it compares the first four latent frames with later ones
        takes=("prompt", "image"),
        gives_first_frame=True,
    ),
}


def any_flow():
    scheduler = found("diffusers.FlowMapEulerDiscreteScheduler", first="0.39")()
    parts = {**wan_parts("AnyFlowTransformer3DModel"), "scheduler": scheduler}
    return found("diffusers.AnyFlowPipeline", first="0.39")(**parts)


def inverted(family, pipe, steps):
    with NoFloat64():
        return dme.invert_clip(
            pipe,
            family.frames(),
            "a red circle",
            num_inference_steps=steps,
            call_arguments=family.settings,
            progress_bar=False,
        )


def call_arguments(family, seed=0):
    """What `pipeline_latents` wants to know of a call: the picture to begin with, and what goes into every call."""
    given = family.arguments(family.frames(seed))
    return {**family.settings, **{name: given[name] for name in ("image",) if name in family.takes}}


def drawn_noise(family, latents):
    """The noise that the pipeline draws with seed 0, (1, channels, frames, height, width), and the generator then."""
    generator = torch.Generator().manual_seed(0)
    sizes = dict(zip("bcfhw", latents.shape, strict=True))
    _, height, width = family.clip
    before = {"pixels": 3 * height * width, "latents": latents[0, :, 0].numel(), None: 0}[family.drawn_before]
    torch.randn(before, generator=generator)
    noise = torch.randn([sizes[axis] for axis in family.drawn_axes], generator=generator)
    return noise.permute(*(family.drawn_axes.index(axis) for axis in "bcfhw")), generator


ADVICE = r"latents=pipeline_latents\(pipe, noise\)"


def with_as_many_frames_as_channels(family, pipe):
    """The family with such a clip, so that shapes do not show whether frames and channels have changed places."""
    if family.drawn_axes == "bcfhw" or family.gives_first_frame:
        return family
    frames = (pipe.vae.config.latent_channels - 1) * first_factor(pipe, TEMPORAL_FACTORS) + 1
    return replace(family, clip=(frames, *family.clip[1:]))


@pytest.mark.parametrize("name", [*FAMILIES, *RELATIVES])
def test_given_noise_is_as_good_as_the_pipelines_own(name):
    family = {**FAMILIES, **RELATIVES}[name]
    pipe = dme.enable_motion_embedding(make_pipe(family))
    family = with_as_many_frames_as_channels(family, pipe)
    noise, generator = drawn_noise(family, encode_frames(pipe, family.frames()))

    def generate(latents):
        # What else is drawn is drawn after the noise, or before.
        rest = {} if family.drawn_before or family.draws_always else {"generator": generator.clone_state()}
        return family.generate(pipe, latents=latents, **rest)

    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=f".*{ADVICE}")
        given = generate(dme.pipeline_latents(pipe, noise, call_arguments(family)))
    torch.testing.assert_close(given, family.generate(pipe), atol=1e-4, rtol=1e-4)

    # Without the function the outcome is the same, or the pipeline says that it may not be, or it refuses.
    taken = None
    with warnings.catch_warnings(record=True) as caught, contextlib.suppress(dme.VideoError):
        taken = generate(noise)
    told = taken is None or any(re.search(ADVICE, str(warning.message)) for warning in caught)
    assert told == (taken is None or not torch.equal(taken, given))


GIVES_A_FRAME = {name: family for name, family in {**FAMILIES, **RELATIVES}.items() if family.gives_first_frame}


@pytest.mark.parametrize("family", GIVES_A_FRAME.values(), ids=GIVES_A_FRAME)
def test_a_given_frame_stays_clean_at_every_step(family):
    pipe, seen = make_pipe(family), []
    model = getattr(pipe, family.component)
    clean, layout = encode_frames(pipe, family.frames()), find_architecture(model).input_layout(model)
    model.register_forward_hook(lambda *call: seen.append(call[2]["hidden_states"].clone()), with_kwargs=True)
    noise = inverted(family, pipe, 3)
    shown = [layout.restore(each, clean.shape)[:, : clean.shape[1]] for each in seen]
    assert len(shown) == 3
    assert all(torch.equal(each[:, :, 0], clean[:, :, 0]) for each in (*shown, noise))
    assert all(not torch.equal(noise[:, :, number], clean[:, :, number]) for number in range(1, clean.shape[2]))


@pytest.mark.parametrize("name", ["CogVideoX", "LTX", "Kandinsky5"])
def test_noise_that_was_not_arranged_is_refused(name):
    family, pipe = FAMILIES[name], make_pipe(FAMILIES[name])
    noise = torch.randn_like(encode_frames(pipe, family.frames()))
    with pytest.raises(dme.VideoError, match=ADVICE):
        family.generate(pipe, latents=noise)


def test_latents_with_a_picture_need_the_picture():
    pipe = make_pipe(FAMILIES["LTXImageToVideo"])
    noise = torch.randn_like(encode_frames(pipe, FAMILIES["LTXImageToVideo"].frames()))
    with pytest.raises(ValueError, match=r'call_arguments=\{"image": image\}'):
        dme.pipeline_latents(pipe, noise)


def assert_drawn_again(family, pipe, share, steps):
    """Assert that inverted noise leaves at most a share of the squared error of random noise."""
    latents, noise = encode_frames(pipe, family.frames()), inverted(family, pipe, steps)
    assert noise.shape == latents.shape
    layout = find_architecture(getattr(pipe, family.component)).input_layout(getattr(pipe, family.component))

    def error(noise):
        given = dme.pipeline_latents(pipe, noise, call_arguments(family))
        drawn = family.generate(pipe, latents=given, num_inference_steps=steps)
        return (layout.restore(drawn, latents.shape) - latents).square().mean().item()

    assert error(noise) < share * error(torch.randn_like(noise))


# These cannot give it again: the first has no inversion, the second draws noise at every step, the next two go on with
# a second model, and the last returns latents as its VAE makes them.
NOT_AGAIN = ("StableVideoDiffusion", "Allegro", "Wan2.2", "WanImageToVideo2.2", "LTX2")


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in NOT_AGAIN])
def test_generating_from_it_gives_the_clip_again(name):
    assert_drawn_again(FAMILIES[name], make_pipe(FAMILIES[name]), share=0.1, steps=10)


def test_schedulers_of_any_spacing():
    pipe = make_pipe(FAMILIES["AnimateDiff"])
    pipe.scheduler = EulerDiscreteScheduler(timestep_spacing="linspace")
    assert_drawn_again(FAMILIES["AnimateDiff"], pipe, share=0.3, steps=20)


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
