"""Tiny pipelines of LTX-Video and LTX-2."""

from diffusers import (
    AutoencoderKLLTXVideo,
    FlowMatchEulerDiscreteScheduler,
    LTXImageToVideoPipeline,
    LTXPipeline,
)

from tests.pipelines.components import gemma2, t5
from tests.pipelines.family import Family, standardised_by_buffers
from tests.pipelines.unets import denoiser
from tests.versions import found


def _ltx(pipeline_class=LTXPipeline):
    vae = AutoencoderKLLTXVideo(
        latent_channels=4,
        block_out_channels=(8,) * 4,
        decoder_block_out_channels=(8,) * 4,
        layers_per_block=(1,) * 5,
        decoder_layers_per_block=(1,) * 5,
        spatio_temporal_scaling=(True, True, False, False),
        decoder_spatio_temporal_scaling=(True, True, False, False),
        patch_size=4,
    )
    vae.encoder.conv_out.conv.bias.data[-1] = -1e3  # no variance: what is drawn of a picture is the mean
    vae.latents_mean[:], vae.latents_std[:] = vae.latents_mean.uniform_(), vae.latents_std.uniform_(0.5, 2)
    transformer = denoiser("LTXVideoTransformer3DModel")
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift_terminal=0.1)
    return pipeline_class(scheduler=scheduler, vae=vae, **t5(), transformer=transformer)


def _since_ltx2(name):
    return found(f"diffusers.{name}", first="0.39")


def ltx2(pipeline_class="LTX2Pipeline"):
    vae = _since_ltx2("AutoencoderKLLTX2Video")(
        latent_channels=4,
        block_out_channels=(8,) * 2,
        decoder_block_out_channels=(8,) * 2,
        down_block_types=("LTX2VideoDownBlock3D",) * 2,
        layers_per_block=(1,) * 3,
        decoder_layers_per_block=(1,) * 3,
        spatio_temporal_scaling=(True, True),
        decoder_spatio_temporal_scaling=(True, True),
        decoder_inject_noise=(False,) * 3,
        downsample_type=("spatiotemporal",) * 2,
        upsample_type=("spatiotemporal",) * 2,
        upsample_residual=(False, False),
        upsample_factor=(1, 1),
    )
    vae.latents_mean[:], vae.latents_std[:] = vae.latents_mean.uniform_(), vae.latents_std.uniform_(0.5, 2)
    audio_vae = _since_ltx2("AutoencoderKLLTX2Audio")(
        base_channels=4, ch_mult=(1, 1, 1), num_res_blocks=1, latent_channels=2, mel_bins=8, norm_type="pixel"
    )
    connectors = _since_ltx2("pipelines.ltx2.LTX2TextConnectors")(
        caption_channels=16,
        text_proj_in_factor=2,
        video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=8,
        video_connector_num_layers=1,
        video_connector_num_learnable_registers=None,
        audio_connector_num_attention_heads=2,
        audio_connector_attention_head_dim=8,
        audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=None,
    )
    return _since_ltx2(pipeline_class)(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae,
        audio_vae=audio_vae,
        **gemma2(),
        connectors=connectors,
        transformer=denoiser("LTX2VideoTransformer3DModel"),
        vocoder=_since_ltx2("pipelines.ltx2.LTX2Vocoder")(
            in_channels=8 * 2,
            hidden_channels=8,
            out_channels=2,
            upsample_kernel_sizes=[4, 4],
            upsample_factors=[2, 2],
            resnet_kernel_sizes=[3],
            resnet_dilations=[[1, 3]],
        ),
    )


LTX = {
    "normalise": standardised_by_buffers,
    "clip": (9, 32, 64),
    "wrong_clips": ((8, 32, 64), (9, 24, 64), (9, 32, 72)),
}
_TEXT = {"settings": {"max_sequence_length": 8}}

FAMILIES = {
    "LTX": Family(
        make=_ltx,
        **LTX,
        **_TEXT,
    ),
    "LTXImageToVideo": Family(
        make=lambda: _ltx(LTXImageToVideoPipeline),
        **LTX,
        takes=("prompt", "image"),
        gives_first_frame=True,
        drawn_before="latents",
        **_TEXT,
    ),
    "LTX2": Family(
        make=ltx2,
        draws_always=True,
        **LTX,
        plain={"guidance_scale": 1.0, "audio_guidance_scale": 1.0},
        settings={
            "max_sequence_length": 8,
            "stg_scale": 0.0,
            "modality_scale": 1.0,
            "audio_stg_scale": 0.0,
            "audio_modality_scale": 1.0,
        },
    ),
}
