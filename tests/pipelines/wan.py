"""Tiny pipelines around Wan's VAE."""

from diffusers import (
    ClassifierFreeGuidance,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    SanaVideoPipeline,
    SkyReelsV2Pipeline,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanVACEPipeline,
)
from transformers import CLIPVisionModel

from tests.pipelines.components import clip_vision, gemma2, t5, umt5, wan_vae
from tests.pipelines.family import Family, standardised
from tests.pipelines.unets import denoiser
from tests.versions import found


def unipc() -> UniPCMultistepScheduler:
    return UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)


def wan_parts(model_class: str = "WanTransformer3DModel", **changes) -> dict:
    return {**umt5(), "vae": wan_vae(), "transformer": denoiser(model_class, **changes), "scheduler": unipc()}


def wan():
    return WanPipeline(**wan_parts())


def wan_of_two_models():
    """As Wan 2.2, with a model for high and one for low noise."""
    return WanPipeline(**wan_parts(), transformer_2=denoiser("WanTransformer3DModel"), boundary_ratio=0.875)


def _wan_of_expanded_timesteps(pipeline_class):
    """As Wan 2.2 of 5 B, whose VAE shrinks further, and whose first frame may be given."""
    settings = {
        "in_channels": 12,
        "out_channels": 12,
        "patch_size": 2,
        "is_residual": True,
        "scale_factor_spatial": 8,
        "decoder_base_dim": 4,
    }
    parts = {**wan_parts(), "vae": wan_vae(**settings)}
    return pipeline_class(**parts, expand_timesteps=True)


def _wan_image_to_video():
    image_encoder, image_processor = clip_vision(model_class=CLIPVisionModel)
    parts = wan_parts(in_channels=4 + 4 + 4, image_dim=16, added_kv_proj_dim=24)
    return WanImageToVideoPipeline(**parts, image_encoder=image_encoder, image_processor=image_processor)


def _wan_image_to_video_of_two_models():
    settings = {"in_channels": 4 + 4 + 4}
    second = denoiser("WanTransformer3DModel", **settings)
    return WanImageToVideoPipeline(**wan_parts(**settings), transformer_2=second, boundary_ratio=0.9)


def _wan_vace():
    return WanVACEPipeline(**wan_parts("WanVACETransformer3DModel", vace_in_channels=2 * 4 + 4 * 4))


def _sky_reels_v2():
    return SkyReelsV2Pipeline(**wan_parts("SkyReelsV2Transformer3DModel"))


def _sana_video():
    transformer = denoiser("SanaVideoTransformer3DModel", sample_size=30)
    scheduler = DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=7.0)
    return SanaVideoPipeline(**gemma2(), vae=wan_vae(), transformer=transformer, scheduler=scheduler)


def _motif_video():
    return found("diffusers.MotifVideoPipeline", first="0.39")(
        **t5(),
        vae=wan_vae(),
        transformer=denoiser("MotifVideoTransformer3DModel", in_channels=9),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        guider=ClassifierFreeGuidance(),
    )


_WAN = {
    "normalise": standardised,
    "settings": {"max_sequence_length": 8},
}
_LARGE = {"clip": (9, 32, 64), "wrong_clips": ((8, 32, 64), (9, 24, 64), (9, 32, 72))}

FAMILIES = {
    "Wan": Family(make=wan, **_WAN),
    "Wan2.2": Family(make=wan_of_two_models, **_WAN),
    "Wan2.2-5B": Family(make=lambda: _wan_of_expanded_timesteps(WanPipeline), **_LARGE, **_WAN),
    "WanImageToVideo": Family(make=_wan_image_to_video, takes=("prompt", "image"), **_WAN),
    "WanImageToVideo2.2": Family(make=_wan_image_to_video_of_two_models, takes=("prompt", "image"), **_WAN),
    "WanImageToVideo2.2-5B": Family(
        make=lambda: _wan_of_expanded_timesteps(WanImageToVideoPipeline),
        takes=("prompt", "image"),
        gives_first_frame=True,
        **_LARGE,
        **_WAN,
    ),
    "WanVACE": Family(make=_wan_vace, **_WAN),
    "SkyReelsV2": Family(make=_sky_reels_v2, **_WAN),
    "SanaVideo": Family(
        make=_sana_video,
        frames_argument="frames",
        clip=(9, 32, 64),
        wrong_clips=((8, 32, 64), (9, 28, 64), (9, 32, 68)),
        normalise=standardised,
        settings={"max_sequence_length": 8, "complex_human_instruction": None, "use_resolution_binning": False},
    ),
    "MotifVideo": Family(make=_motif_video, plain={}, **_WAN),
}
