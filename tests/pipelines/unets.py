"""Tiny pipelines whose models have layers of their own for time."""

import diffusers
from diffusers import (
    AnimateDiffSDXLPipeline,
    AutoencoderKLTemporalDecoder,
    DDIMScheduler,
    EulerDiscreteScheduler,
    I2VGenXLPipeline,
    LattePipeline,
    PIAPipeline,
    StableVideoDiffusionPipeline,
)

from tests.conftest import make_animatediff, make_text_to_video
from tests.models.zoo import ZOO
from tests.pipelines.components import (
    clip_text,
    clip_vision,
    picture_vae,
    sdxl_text,
    t5,
)
from tests.pipelines.family import Family, scaled


def denoiser(name: str, **changes):
    """A tiny model of the class, as in the zoo of models but for some settings."""
    return getattr(diffusers, name)(**{**ZOO[name].settings, **changes})


def ddim(**settings) -> DDIMScheduler:
    return DDIMScheduler(clip_sample=False, timestep_spacing="trailing", **settings)


def _with_ddim(pipe):
    pipe.scheduler = ddim()  # whose two steps are both at high noise
    return pipe


def _animatediff_sdxl():
    unet = denoiser(
        "UNetMotionModel",
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16 + 6 * 8,
        cross_attention_dim=32,
    )
    return AnimateDiffSDXLPipeline(vae=picture_vae(), **sdxl_text(), unet=unet, motion_adapter=None, scheduler=ddim())


def _pia():
    unet = denoiser("UNetMotionModel", in_channels=9)
    return PIAPipeline(vae=picture_vae(), **clip_text(), unet=unet, scheduler=ddim())


def _stable_video_diffusion():
    vae = AutoencoderKLTemporalDecoder(
        latent_channels=4,
        block_out_channels=(32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        layers_per_block=1,
    )
    image_encoder, feature_extractor = clip_vision(224)
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        interpolation_type="linear",
        prediction_type="v_prediction",
        sigma_max=700.0,
        sigma_min=0.002,
        steps_offset=1,
        timestep_spacing="leading",
        timestep_type="continuous",
        use_karras_sigmas=True,
    )
    unet = denoiser("UNetSpatioTemporalConditionModel")
    return StableVideoDiffusionPipeline(vae, image_encoder, unet, scheduler, feature_extractor)


def _i2vgen_xl():
    image_encoder, feature_extractor = clip_vision()
    return I2VGenXLPipeline(
        vae=picture_vae(),
        **clip_text(),
        image_encoder=image_encoder,
        feature_extractor=feature_extractor,
        unet=denoiser("I2VGenXLUNet"),
        scheduler=ddim(beta_schedule="squaredcos_cap_v2", rescale_betas_zero_snr=True, prediction_type="v_prediction"),
    )


def _latte():
    transformer = denoiser("LatteTransformer3DModel", video_length=4)
    return LattePipeline(**t5(), vae=picture_vae(), transformer=transformer, scheduler=ddim())


_UNET = {
    "component": "unet",
    "normalise": scaled,
    "frame_by_frame": True,
    "clip": (4, 16, 24),
    "wrong_clips": ((4, 17, 24), (4, 16, 25)),
}

FAMILIES = {
    "TextToVideoSD": Family(make=lambda: _with_ddim(make_text_to_video()), **_UNET),
    "AnimateDiff": Family(make=lambda: _with_ddim(make_animatediff()), **_UNET),
    "AnimateDiffSDXL": Family(make=_animatediff_sdxl, **_UNET),
    "PIA": Family(make=_pia, takes=("prompt", "image"), **_UNET),
    "StableVideoDiffusion": Family(
        make=_stable_video_diffusion,
        takes=("image",),
        plain={"min_guidance_scale": 1.0, "max_guidance_scale": 1.0},
        drawn_axes="bfchw",
        drawn_before="pixels",
        **_UNET,
    ),
    # Its default, clip_skip=1, fails with transformers 5.
    "I2VGenXL": Family(make=_i2vgen_xl, takes=("prompt", "image"), settings={"clip_skip": None}, **_UNET),
    "Latte": Family(
        make=_latte,
        frames_argument="video_length",
        settings={"clean_caption": False},
        **{**_UNET, "component": "transformer"},
    ),
}
