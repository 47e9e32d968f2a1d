"""Tiny pipelines of the other models in which all tokens of a clip attend to each other."""

import torch
from diffusers import (
    AllegroPipeline,
    AutoencoderKLAllegro,
    AutoencoderKLCogVideoX,
    AutoencoderKLCosmos,
    AutoencoderKLHunyuanVideo,
    AutoencoderKLHunyuanVideo15,
    AutoencoderKLMagvit,
    AutoencoderKLMochi,
    ClassifierFreeGuidance,
    CogVideoXDDIMScheduler,
    CogVideoXImageToVideoPipeline,
    CogVideoXPipeline,
    ConfigMixin,
    Cosmos2VideoToWorldPipeline,
    CosmosTextToWorldPipeline,
    EasyAnimatePipeline,
    EDMEulerScheduler,
    EulerAncestralDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15Pipeline,
    HunyuanVideoPipeline,
    Kandinsky5T2VPipeline,
    MochiPipeline,
    ModelMixin,
)
from transformers import (
    ByT5Tokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    T5Config,
    T5EncoderModel,
)

from tests.pipelines.components import (
    QwenTokenizer,
    clip_text,
    llama,
    qwen_text,
    qwen_vl,
    t5,
    t5_settings,
    wan_vae,
    word_tokenizer,
)
from tests.pipelines.family import Family, scaled, standardised
from tests.pipelines.unets import denoiser


def cogvideox(pipeline_class=CogVideoXPipeline, **changes):
    vae = AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 3,
        up_block_types=("CogVideoXUpBlock3D",) * 3,
        block_out_channels=(8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
    )
    transformer = denoiser("CogVideoXTransformer3DModel", attention_head_dim=16, out_channels=4, **changes)
    scheduler = CogVideoXDDIMScheduler(
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        snr_shift_scale=3.0,
        timestep_spacing="trailing",
    )
    return pipeline_class(**t5(), vae=vae, transformer=transformer, scheduler=scheduler)


def hunyuan_vae() -> AutoencoderKLHunyuanVideo:
    return AutoencoderKLHunyuanVideo(
        latent_channels=4,
        down_block_types=("HunyuanVideoDownBlock3D",) * 3,
        up_block_types=("HunyuanVideoUpBlock3D",) * 3,
        block_out_channels=(8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        spatial_compression_ratio=4,
    )


def _hunyuan_video():
    return HunyuanVideoPipeline(
        **llama(),
        **clip_text("_2", max_position_embeddings=77),
        transformer=denoiser("HunyuanVideoTransformer3DModel", pooled_projection_dim=16, guidance_embeds=True),
        vae=hunyuan_vae(),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
    )


def _mochi():
    vae = AutoencoderKLMochi(
        encoder_block_out_channels=(32,) * 4,
        decoder_block_out_channels=(32,) * 4,
        layers_per_block=(1,) * 5,
        add_attention_block=(False,) * 5,
    )
    return MochiPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        vae=vae,
        **t5(),
        transformer=denoiser("MochiTransformer3DModel", in_channels=12, max_sequence_length=8),
    )


def _allegro():
    vae = AutoencoderKLAllegro(
        block_out_channels=(8,) * 4, layers_per_block=1, norm_num_groups=2, latent_channels=4, sample_size=16
    )
    vae.enable_tiling()  # it works in tiles of a fixed size only
    vae.kernel, vae.stride = (8, 16, 32), (8, 16, 32)
    return AllegroPipeline(
        **t5(),
        vae=vae,
        transformer=denoiser("AllegroTransformer3DModel"),
        scheduler=EulerAncestralDiscreteScheduler(),
    )


def _easy_animate():
    vae = AutoencoderKLMagvit(
        latent_channels=4,
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        norm_num_groups=2,
    )
    text_encoder = qwen_vl(Qwen2VLForConditionalGeneration, Qwen2VLConfig)
    return EasyAnimatePipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=word_tokenizer(),
        transformer=denoiser("EasyAnimateTransformer3DModel"),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    )


def kandinsky5(pipeline_class=Kandinsky5T2VPipeline):
    return pipeline_class(
        transformer=denoiser("Kandinsky5Transformer3DModel", in_text_dim2=16, visual_cond=True),
        vae=hunyuan_vae(),
        text_encoder=qwen_vl(Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLConfig),
        tokenizer=word_tokenizer(QwenTokenizer),
        **clip_text("_2", max_position_embeddings=77),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
    )


def _hunyuan_video15():
    vae = AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(8, 8, 8), layers_per_block=1, spatial_compression_ratio=4
    )
    glyphs = T5EncoderModel(T5Config(**{**t5_settings(), "vocab_size": 384}))
    pipe = HunyuanVideo15Pipeline(
        text_encoder=qwen_text(),
        tokenizer=word_tokenizer(),
        transformer=denoiser("HunyuanVideo15Transformer3DModel", in_channels=9, text_embed_2_dim=16),
        vae=vae,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
        text_encoder_2=glyphs,
        tokenizer_2=ByT5Tokenizer(),
        guider=ClassifierFreeGuidance(),
    )
    pipe.system_message, pipe.prompt_template_encode_start_idx = "a", 2
    pipe.tokenizer_max_length, pipe.tokenizer_2_max_length, pipe.vision_num_semantic_tokens = 8, 8, 3
    return pipe


class _NothingUnsafe(ModelMixin, ConfigMixin):
    """In place of Cosmos' guardrail, which is a package of its own."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))  # pipelines ask it for its device

    def check_text_safety(self, prompt):
        return True


def _cosmos(pipeline_class, **parts):
    return pipeline_class(**t5(), safety_checker=_NothingUnsafe(), **parts)


def _cosmos1():
    vae = AutoencoderKLCosmos(
        latent_channels=4,
        encoder_block_out_channels=(8,) * 3,
        decode_block_out_channels=(8,) * 3,
        attention_resolutions=(),
        num_layers=1,
        patch_size=2,
        spatial_compression_ratio=4,
        temporal_compression_ratio=4,
        latents_mean=None,
        latents_std=None,
    )
    scheduler = EDMEulerScheduler(sigma_min=0.002, sigma_max=80, sigma_data=0.5, final_sigmas_type="sigma_min")
    transformer = denoiser("CosmosTransformer3DModel")
    return _cosmos(CosmosTextToWorldPipeline, vae=vae, transformer=transformer, scheduler=scheduler)


def _cosmos2():
    scheduler = FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
    transformer = denoiser("CosmosTransformer3DModel", in_channels=5)  # one channel marks the given frames
    return _cosmos(Cosmos2VideoToWorldPipeline, vae=wan_vae(), transformer=transformer, scheduler=scheduler)


_TEXT = {"settings": {"max_sequence_length": 8}}

FAMILIES = {
    "CogVideoX": Family(make=cogvideox, normalise=scaled, drawn_axes="bfchw", **_TEXT),
    "CogVideoX1.5": Family(
        make=lambda: cogvideox(patch_size_t=2, patch_bias=False),
        normalise=scaled,
        clip=(13, 16, 32),
        wrong_clips=((9, 16, 32), (13, 12, 32), (13, 16, 36)),
        drawn_axes="bfchw",
        **_TEXT,
    ),
    "CogVideoXImageToVideo": Family(
        make=lambda: cogvideox(CogVideoXImageToVideoPipeline, in_channels=8),
        normalise=scaled,
        takes=("prompt", "image"),
        drawn_axes="bfchw",
        drawn_before="latents",
        **_TEXT,
    ),
    "HunyuanVideo": Family(
        make=_hunyuan_video,
        normalise=scaled,
        plain={},  # the scale of its guidance is an input of the model
        settings={
            "max_sequence_length": 8,
            "prompt_template": {"template": "on black: {}", "crop_start": 3},
        },
    ),
    "Mochi": Family(
        make=_mochi,
        normalise=standardised,
        clip=(13, 16, 32),
        wrong_clips=((12, 16, 32), (13, 24, 32), (13, 16, 40)),
        **_TEXT,
    ),
    "Allegro": Family(
        make=_allegro,
        normalise=scaled,
        clip=(16, 16, 32),
        wrong_clips=((18, 16, 32), (16, 24, 32), (16, 16, 40)),
        settings={"max_sequence_length": 8, "clean_caption": False},
    ),
    "EasyAnimate": Family(make=_easy_animate, normalise=scaled),
    "Kandinsky5": Family(make=kandinsky5, normalise=scaled, drawn_axes="bfhwc", rounds=True, **_TEXT),
    "HunyuanVideo15": Family(make=_hunyuan_video15, normalise=scaled, plain={}),
}

# Pipelines that are not trained, and take embeddings all the same.
UNTRAINED = {
    "Cosmos1": Family(make=_cosmos1, normalise=scaled),
    "Cosmos2": Family(make=_cosmos2, normalise=standardised, takes=("prompt", "image")),
}
