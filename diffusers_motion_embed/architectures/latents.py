"""Initial noise in the form that a pipeline's `latents` argument takes."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffusers_motion_embed.architectures.components import supported_models
from diffusers_motion_embed.architectures.conditioning import call_parameters, capture_conditioning
from diffusers_motion_embed.architectures.encoding import (
    SPATIAL_FACTORS,
    TEMPORAL_FACTORS,
    first_factor,
    restore_statistics,
)
from diffusers_motion_embed.architectures.layouts import Layout
from diffusers_motion_embed.architectures.table import find_architecture
from diffusers_motion_embed.errors import UnsupportedModelError, VideoError


# Pipelines that arrange their `latents` differently from their model's input.
AXES = {"AnyFlowPipeline": "bcfhw"}

# Pipelines whose `latents` are the whole input of their model, with further channels and a first frame without noise.
WHOLE_INPUT = {"Kandinsky5T2VPipeline", "Kandinsky5I2VPipeline"}
WITH_FIRST_FRAME = {"Kandinsky5I2VPipeline", "LTXImageToVideoPipeline", "LTX2ImageToVideoPipeline"}

# Pipelines that take their `latents` as their VAE makes them, (batch, channels, frames, height, width).
AS_OF_VAE = {"LTX2ImageToVideoPipeline"}

# Pipelines that apply the scheduler's `init_noise_sigma` only to noise that they draw themselves.
UNSCALED = {
    "AnimateDiffVideoToVideoPipeline",
    "AnimateDiffVideoToVideoControlNetPipeline",
    "EasyAnimatePipeline",
    "EasyAnimateControlPipeline",
    "EasyAnimateInpaintPipeline",
}

# Pipelines whose `latents` are not noise, and what they are instead (diffusers 0.42.1).
_CLEAN = "takes a clip without noise as `latents`, and draws the noise itself"
_FAILS = "fails with any `latents`"
NOT_NOISE = {
    "LTXConditionPipeline": _CLEAN,
    "LTX2ConditionPipeline": _CLEAN,
    "LTX2DFRPipeline": _CLEAN,
    "LTX2DFRTemporalRefinePipeline": _CLEAN,
    "LTX2HDRPipeline": _CLEAN,
    "LTX2InContextPipeline": _CLEAN,
    "LTXI2VLongMultiPromptPipeline": _CLEAN,
    "SkyReelsV2DiffusionForcingPipeline": _FAILS,
    "SkyReelsV2DiffusionForcingImageToVideoPipeline": _FAILS,
    "SkyReelsV2DiffusionForcingVideoToVideoPipeline": _FAILS,
    "VideoToVideoSDPipeline": "has an argument `latents` and ignores it",
}

# Attribute of the latents that `pipeline_latents` returns: the axes that they are arranged by. Copies do not have it.
ARRANGEMENT = "_motion_embed_arrangement"


@torch.no_grad()
def pipeline_latents(pipe: Any, noise: Tensor, call_arguments: Mapping[str, Any] | None = None) -> Tensor:
    """Arrange noise, such as that of `invert_clip`, `mix_noise` or `load_inverted_noise`, as a pipeline's `latents`.

    Most pipelines take noise as it is. CogVideoX, LTX-Video, LTX-2, Kandinsky 5 and Stable Video Diffusion arrange it
    differently, and some of their image-to-video pipelines expect the first frame and further channels with it.

    Args:
        pipe: A diffusers video pipeline, or a modular one.
        noise: Latent noise with variance 1, (batch, channels, frames, height, width).
        call_arguments: Further arguments of the pipeline's call: `image` for pipelines that begin with a picture.

    Returns:
        The `latents` argument for the pipeline's call, with the dtype and device of `noise`. The height, width and
        number of frames of the call must be those of the noise.

    Raises:
        UnsupportedModelError: If the pipeline does not take noise.
        ValueError: If its `latents` hold a picture and there is no `image` among `call_arguments`.
        VideoError: If `noise` has another shape.
    """
    name, layout = type(pipe).__name__, _layout(pipe)
    if name in NOT_NOISE or "latents" not in call_parameters(pipe):
        reason = NOT_NOISE.get(name, "takes no `latents`")
        raise UnsupportedModelError(f"{name} {reason}, so it cannot begin with given noise.")
    channels = _num_channels(pipe)
    if not isinstance(noise, Tensor) or noise.ndim != 5 or noise.shape[1] != channels:
        got = tuple(noise.shape) if isinstance(noise, Tensor) else type(noise).__name__
        raise VideoError(f"noise must be (batch, {channels} channels, frames, height, width), got {got}.")
    if name in UNSCALED:
        noise = noise * float(getattr(pipe.scheduler, "init_noise_sigma", 1.0))
    if name in WHOLE_INPUT | WITH_FIRST_FRAME:
        latents = _whole_latents(pipe, noise, call_arguments)
    else:
        latents = layout.arrange(noise)
    setattr(latents, ARRANGEMENT, layout.axes)
    return latents


def _whole_latents(pipe: Any, noise: Tensor, call_arguments: Mapping[str, Any] | None) -> Tensor:
    """Noise with the first frame and the further channels that the pipeline itself would put to it."""
    name, layout = type(pipe).__name__, _layout(pipe)
    if name in WITH_FIRST_FRAME and (call_arguments or {}).get("image") is None:
        raise ValueError(
            f"The latents of {name} hold the first frame: give the picture that it begins with, "
            'call_arguments={"image": image}.'
        )
    made = _own_latents(pipe, noise, call_arguments).to(noise)
    made = made.expand(len(noise), *made.shape[1:])
    own, rest = made.split([noise.shape[1], made.shape[layout.channel_axis] - noise.shape[1]], layout.channel_axis)
    if name in WITH_FIRST_FRAME:
        noise = torch.cat([layout.restore(own, noise.shape)[:, :, :1], noise[:, :, 1:]], dim=2)
    if name in AS_OF_VAE:
        return restore_statistics(pipe.vae, noise)
    return torch.cat([layout.arrange(noise), rest], layout.channel_axis)


def check_arrangement(pipe: Any, given: Mapping[str, Any]) -> None:
    """Say so if the `latents` among a call's arguments are, or may be, noise that was not arranged for the pipeline.

    Raises:
        VideoError: If they cannot be anything else.
    """
    latents, name = given.get("latents"), type(pipe).__name__
    # LTX-2 takes a clip as its VAE makes it, and adds noise of that scale.
    if name in NOT_NOISE or not isinstance(latents, Tensor) or latents.ndim != 5 or given.get("noise_scale"):
        return
    layout, channels = _layout(pipe), _num_channels(pipe)
    if layout.axes in ("bcfhw", getattr(latents, ARRANGEMENT, None)) or latents.shape[1] != channels:
        return
    fits = latents.shape[layout.channel_axis] in (channels, 2 * channels + 1)  # with a picture and its mask
    arranges = f"{name} arranges its latents in another way than (batch, channels, frames, height, width), got "
    if (layout.axes != "packed" and fits) or name.startswith("LTX2"):
        warnings.warn(
            f"{arranges}{tuple(latents.shape)}, which may be either. If they come from invert_clip, mix_noise or "
            "load_inverted_noise, give it latents=pipeline_latents(pipe, noise).",
            stacklevel=4,
        )
    else:
        raise VideoError(f"{arranges}{tuple(latents.shape)}. Give it latents=pipeline_latents(pipe, noise).")


def _layout(pipe: Any) -> Layout:
    model = next(iter(supported_models(pipe).values()), None)
    if model is None:
        raise UnsupportedModelError(f"{type(pipe).__name__} has no model that takes motion embeddings.")
    layout = find_architecture(model).input_layout(model)
    return Layout(layout.tokens, AXES.get(type(pipe).__name__, layout.axes), layout.patch_size)


def _num_channels(pipe: Any) -> int:
    config = pipe.vae.config
    return getattr(config, "latent_channels", None) or config.z_dim


def _own_latents(pipe: Any, noise: Tensor, call_arguments: Mapping[str, Any] | None) -> Tensor:
    """What the pipeline itself makes for one clip when no `latents` are given."""
    frames, height, width = noise.shape[2:]
    spatial, temporal = first_factor(pipe, SPATIAL_FACTORS), first_factor(pipe, TEMPORAL_FACTORS)
    blank = np.zeros(((frames - 1) * temporal + 1, height * spatial, width * spatial, 3), np.uint8)
    component = next(iter(supported_models(pipe)))
    return capture_conditioning(pipe, component, blank, "", call_arguments).model_input
