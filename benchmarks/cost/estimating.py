"""What `estimate_memory` says, over what torch's allocator gives out in training and generation.

Weights are random, and the models are between the embedded ones and real ones.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, AutoencoderKLWan, DiffusionPipeline, UNet3DConditionModel, WanTransformer3DModel
from torch.profiler import ProfilerActivity, profile

from benchmarks.cost.timing import Figure
from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed.estimate import estimate_memory
from diffusers_motion_embed.estimate.memory import RUNS
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding


EXAMPLES = Path(__file__).parents[2] / "examples"
CLIP = (9, 64, 96)  # frames, height, width in pixels
PROMPT = "a red bar on a black background"


def make_unet_pipeline() -> DiffusionPipeline:
    """The embedded UNet3DConditionModel pipeline with a wider model and VAE."""
    pipe = DiffusionPipeline.from_pretrained(EXAMPLES / "tiny-t2v", dtype=torch.float32)
    levels = (32, 64, 128, 128)
    unet = UNet3DConditionModel(
        block_out_channels=levels, attention_head_dim=32, cross_attention_dim=pipe.unet.config.cross_attention_dim
    )
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    vae = AutoencoderKL(block_out_channels=levels, layers_per_block=2, latent_channels=4, **kinds)
    return type(pipe)(**{**pipe.components, "unet": unet, "vae": vae})


def make_wan_pipeline() -> DiffusionPipeline:
    """The embedded Wan pipeline with a larger model, and with a narrow VAE.

    3D convolutions on a CPU copy all windows of their input, which no GPU does and no estimate counts. In a narrow VAE
    this is less than what the model's stages allocate.
    """
    pipe = DiffusionPipeline.from_pretrained(EXAMPLES / "tiny-wan", dtype=torch.float32)
    transformer = WanTransformer3DModel(
        num_attention_heads=8,
        attention_head_dim=64,
        ffn_dim=2048,
        num_layers=16,
        freq_dim=64,
        text_dim=pipe.transformer.config.text_dim,
    )
    vae = AutoencoderKLWan(base_dim=4)
    return type(pipe)(**{**pipe.components, "transformer": transformer, "vae": vae})


PIPELINES: dict[str, Callable[[], DiffusionPipeline]] = {
    "UNet3DConditionModel": make_unet_pipeline,
    "WanTransformer3DModel": make_wan_pipeline,
}


def measure_estimates(
    pipelines: dict[str, Callable[[], DiffusionPipeline]] = PIPELINES, clip: tuple[int, int, int] = CLIP
) -> list[Figure]:
    """The estimate over what is measured, of each pipeline and run, without weights and without decoding."""
    figures = []
    for name, make in pipelines.items():
        with tempfile.TemporaryDirectory() as folder:
            make().save_pretrained(folder)
            estimated = estimate_memory(folder, *clip, config=TrainingConfig(gradient_accumulation_steps=1))
            for run in RUNS:
                stages = [stage for stage in estimated.stages[run] if stage.name != "VAE decoding"]
                expected = max(stage.activations for stage in stages)
                measured = _measured(run, folder, clip)
                figures.append(Figure(f"memory of {run}, {name}", measured, "bytes"))
                figures.append(Figure(f"estimate over memory of {run}, {name}", expected / measured))
    return figures


def _measured(run: str, folder: str, clip: tuple[int, int, int]) -> int:
    """Bytes that a run allocates at its peak."""
    pipe: Any = enable_motion_embedding(DiffusionPipeline.from_pretrained(folder, dtype=torch.float32))
    pipe.set_progress_bar_config(disable=True)
    frames = np.random.default_rng(0).integers(0, 256, (*clip, 3), dtype=np.uint8)
    config = TrainingConfig(
        max_train_steps=2, gradient_accumulation_steps=1, gradient_checkpointing=run == "training, recomputing"
    )
    size = {"num_frames": clip[0], "height": clip[1], "width": clip[2]}
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        if run == "generation":
            pipe(PROMPT, num_inference_steps=1, output_type="latent", **size)
        else:
            train_motion_embedding(pipe, frames, PROMPT, config, progress_bar=False)
    events = profiler.profiler.kineto_results.events()
    return int(np.cumsum([event.nbytes() for event in events if event.name() == "[memory]"]).max())
