"""The settings of well-known bases, and pipelines of these sizes with random weights.

The largest text encoders are left out: features of random numbers stand in for what they would give.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKL,
    AutoencoderKLCogVideoX,
    AutoencoderKLLTXVideo,
    AutoencoderKLWan,
    CogVideoXDDIMScheduler,
    CogVideoXPipeline,
    CogVideoXTransformer3DModel,
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    LTXPipeline,
    LTXVideoTransformer3DModel,
    TextToVideoSDPipeline,
    UNet3DConditionModel,
    UNetMotionModel,
    UniPCMultistepScheduler,
    WanPipeline,
    WanTransformer3DModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from diffusers_motion_embed.estimate.weightless import cast_weights


TOKENIZER = Path(__file__).parents[2] / "examples/tiny-t2v/tokenizer"  # of few words; the encoders have all theirs

Clip = tuple[int, int, int]  # frames, height and width in pixels


@dataclass(frozen=True)
class Base:
    """A base model.

    Args:
        name: For people.
        pipeline: The pipeline's class.
        denoiser: Name and maker of the component that is trained.
        vae: Makes the VAE.
        scheduler: Makes the scheduler.
        small: The clip that two cores can bear.
        usual: The clip that people train on.
        text: Makes the text encoder; None leaves it out.
        others: Further arguments of the pipeline's class.
    """

    name: str
    pipeline: type[DiffusionPipeline]
    denoiser: tuple[str, Callable[[], nn.Module]]
    vae: Callable[[], nn.Module]
    scheduler: Callable[[], Any]
    small: Clip
    usual: Clip
    text: Callable[[], nn.Module] | None = None
    others: dict[str, Any] = field(default_factory=dict)

    def pipe(self, dtype: torch.dtype, device: str = "cpu") -> DiffusionPipeline:
        """The pipeline with random weights, in inference mode.

        Args:
            dtype: Of all weights but the VAE's, which are float32: in bfloat16, processors without instructions for it
                take hundreds of times as long for convolutions.
            device: Where the weights are; "meta" makes none.
        """
        name, make = self.denoiser
        makers = {name: make, **({"text_encoder": self.text} if self.text else {})}
        with torch.device(device):
            models = {name: cast_weights(make(), dtype) for name, make in makers.items()}
            models["vae"] = cast_weights(self.vae(), torch.float32)
        tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER) if self.text else None
        parts = {"tokenizer": tokenizer, "text_encoder": None, "scheduler": self.scheduler(), **self.others, **models}
        pipe = self.pipeline(**parts)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def write_settings(self, folder: Path) -> None:
        """Write what a repository of this base holds besides weights."""
        pipe = self.pipe(torch.float32, "meta")
        pipe.save_config(folder)
        for name, component in pipe.components.items():
            if hasattr(component, "save_config"):
                component.save_config(folder / name)
            elif isinstance(component, nn.Module):
                component.config.save_pretrained(folder / name)


def _sd_vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
    )


def _sd_scheduler() -> DDIMScheduler:
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)


def _clip_text(width: int, layers: int, heads: int) -> Callable[[], CLIPTextModel]:
    return lambda: CLIPTextModel(
        CLIPTextConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            max_position_embeddings=77,
        )
    )


BASES = {
    base.name: base
    for base in (
        Base(
            "ZeroScope",
            TextToVideoSDPipeline,
            ("unet", lambda: UNet3DConditionModel(cross_attention_dim=1024, attention_head_dim=64)),
            _sd_vae,
            _sd_scheduler,
            small=(6, 192, 192),
            usual=(24, 320, 576),
            text=_clip_text(1024, 23, 16),
        ),
        Base(
            "AnimateDiff on Stable Diffusion 1.5",
            AnimateDiffPipeline,
            (
                "unet",
                lambda: UNetMotionModel(
                    cross_attention_dim=768, num_attention_heads=8, motion_max_seq_length=32, sample_size=64
                ),
            ),
            _sd_vae,
            _sd_scheduler,
            small=(6, 192, 192),
            usual=(16, 512, 512),
            text=_clip_text(768, 12, 12),
            others={"motion_adapter": None},
        ),
        Base(
            "Wan 2.1 1.3B",
            WanPipeline,
            (
                "transformer",
                lambda: WanTransformer3DModel(
                    num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30, cross_attn_norm=True
                ),
            ),
            AutoencoderKLWan,
            lambda: UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
            small=(5, 64, 64),
            usual=(33, 480, 832),
        ),
        Base(
            "CogVideoX 2B",
            CogVideoXPipeline,
            ("transformer", CogVideoXTransformer3DModel),
            lambda: AutoencoderKLCogVideoX(
                block_out_channels=(128, 256, 256, 512),
                down_block_types=("CogVideoXDownBlock3D",) * 4,
                up_block_types=("CogVideoXUpBlock3D",) * 4,
                layers_per_block=3,
            ),
            lambda: CogVideoXDDIMScheduler(prediction_type="v_prediction"),
            small=(5, 64, 64),
            usual=(49, 480, 720),
        ),
        Base(
            "LTX-Video 2B",
            LTXPipeline,
            ("transformer", LTXVideoTransformer3DModel),
            AutoencoderKLLTXVideo,
            lambda: FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05),
            small=(9, 128, 128),
            usual=(97, 512, 704),
        ),
    )
}
