"""Learning a motion embedding from one reference clip: the loop, and what it needs prepared once."""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from tqdm.auto import tqdm

from diffusers_motion_embed.adapter.registry import (
    add_embedding,
    registry_of,
    remove_embedding,
    set_active,
    set_debias,
    set_timing,
)
from diffusers_motion_embed.adapter.selection import embedding_shapes, select_layers
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import AdapterNameError, MotionEmbeddingError, UnsupportedModelError, VideoError
from diffusers_motion_embed.files import EmbeddingTensors
from diffusers_motion_embed.loaders import LoadReport, base_name, supported_models
from diffusers_motion_embed.training.config import TrainingConfig
from diffusers_motion_embed.training.losses import base_loss, debiased_temporal_loss


logger = logging.getLogger(__name__)


class TrainingDivergedError(MotionEmbeddingError, ArithmeticError):
    """The loss is no longer a finite number."""


def train_motion_embedding(
    pipe: Any,
    frames: np.ndarray,
    prompt: str,
    config: TrainingConfig | None = None,
    *,
    embedding_config: MotionEmbeddingConfig | None = None,
    adapter_name: str = "default",
    callback: Callable[[int, float], None] | None = None,
    progress_bar: bool = True,
) -> LoadReport:
    """Learn the motion of one clip. The embedding is loaded on the pipeline afterwards, as the only active one.

    Args:
        pipe: A text-to-video pipeline whose model takes motion embeddings. Its weights do not change.
        frames: The reference clip, (frames, height, width, 3), uint8 from 0 to 255.
        prompt: What the clip shows; what it names need not be learned.
        config: Options of the run.
        embedding_config: Which layers, parts, value grid; frames and sizes are filled in from the clip.
        adapter_name: Under which the embedding is loaded.
        callback: Called after every step with its number, from 1, and its loss. The embedding can be saved from it;
            an exception from it ends the run and takes the embedding off.
        progress_bar: Whether to show one.

    Returns:
        What is loaded.

    Raises:
        UnsupportedModelError: If the pipeline cannot be trained this way.
        VideoError: If the clip is of a size that the pipeline cannot take.
        AdapterNameError: If `adapter_name` is in use.
        TargetModulesError: If `embedding_config` asks for no layer.
        TrainingDivergedError: If the loss becomes infinite or NaN; the embedding is then taken off again.
    """
    config = config or TrainingConfig()
    component, model = _check_pipeline(pipe)
    _check_inputs(pipe, frames, prompt)
    if adapter_name in registry_of(model).loaded:
        raise AdapterNameError(f"A motion embedding named {adapter_name!r} is loaded already; choose another name.")

    latents = encode_frames(pipe, frames)
    prompt_embeds = encode_prompt(pipe, prompt)
    embedding_config = replace(
        embedding_config or MotionEmbeddingConfig(),
        num_frames=len(frames),
        num_latent_frames=latents.shape[2],
        height=frames.shape[1],
        width=frames.shape[2],
        latent_height=latents.shape[3],
        latent_width=latents.shape[4],
        model_class=find_architecture(model).model_class,
        base_model_name_or_path=base_name(pipe, model),
        component=component,
        training={"prompt": prompt, **asdict(config)},
    )
    if embedding_config.timing is None:  # elsewhere it was never trained, and would add appearance without motion
        low, high = config.timestep_range
        step = 1 / pipe.scheduler.config.num_train_timesteps  # the lowest level itself was trained
        embedding_config.timing = (1 - high, min(1.0, 1 - low + step))
    paths = select_layers(model, embedding_config)
    embedding_config.target_modules = paths
    tensors = new_embedding(model, embedding_config, paths)

    was_active = {name: loaded.scale for name, loaded in registry_of(model).loaded.items() if loaded.active}
    add_embedding(model, adapter_name, embedding_config, tensors)
    registry = registry_of(model)
    was_enabled, registry.enabled = registry.enabled, True
    try:
        set_active(model, {adapter_name: 1.0})
        set_timing(registry, [adapter_name], 0.0, 1.0)
        # Without a value part nothing of it would be learned.
        through = config.debias_in_training and embedding_config.debias != "free_placement"
        set_debias(registry, [adapter_name], embedding_config.debias if through else "identity")
        with _frozen(model):
            _optimize(pipe, model, tensors, latents, prompt_embeds, config, callback, progress_bar)
        set_debias(registry, [adapter_name], embedding_config.debias)
        set_timing(registry, [adapter_name], *embedding_config.timing)
    except BaseException:
        remove_embedding(model, adapter_name)
        set_active(model, was_active)
        raise
    finally:
        registry.enabled = was_enabled
        registry.refresh()
    return LoadReport(
        adapter_name, component, len(tensors), embedding_config.num_frames, embedding_config.debias, prompt
    )


@torch.no_grad()
def encode_frames(pipe: Any, frames: np.ndarray, chunk_size: int = 8) -> Tensor:
    """The clip as the model sees it.

    Args:
        pipe: Its VAE is used.
        frames: (frames, height, width, 3), uint8.
        chunk_size: Frames that go through the VAE at once.

    Returns:
        Scaled latents, (1, channels, frames, height, width), in the VAE's dtype.
    """
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).to(pipe.vae.device, pipe.vae.dtype) / 127.5 - 1
    means = [pipe.vae.encode(chunk).latent_dist.mean for chunk in pixels.split(chunk_size)]
    return (torch.cat(means) * pipe.vae.config.scaling_factor).permute(1, 0, 2, 3)[None]


@torch.no_grad()
def encode_prompt(pipe: Any, prompt: str) -> Tensor:
    """Text features of the prompt, (1, tokens, channels)."""
    prompt_embeds, _ = pipe.encode_prompt(prompt, pipe.text_encoder.device, 1, False)
    return prompt_embeds


def new_embedding(model: nn.Module, config: MotionEmbeddingConfig, paths: list[str]) -> EmbeddingTensors:
    """Zero tensors that require gradients: an embedding with which the model still computes what it did before."""
    device = next(model.parameters()).device
    tensors: EmbeddingTensors = {}
    for path, shape in embedding_shapes(model, config, paths).items():
        sizes = {"qk": (shape.num_frames, shape.channels), "v": (*shape.grid, shape.num_frames, shape.channels)}
        tensors[path] = {part: torch.zeros(sizes[part], device=device, requires_grad=True) for part in config.parts}
    return tensors


def prediction_target(scheduler: DDPMScheduler, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
    """What the model is to predict, by the scheduler's `prediction_type`."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return noise
    if kind == "v_prediction":
        return scheduler.get_velocity(latents, noise, timesteps)
    raise UnsupportedModelError(f"The scheduler's prediction_type is {kind!r}; expected epsilon or v_prediction.")


def _optimize(
    pipe: Any,
    model: nn.Module,
    tensors: EmbeddingTensors,
    latents: Tensor,
    prompt_embeds: Tensor,
    config: TrainingConfig,
    callback: Callable[[int, float], None] | None,
    progress_bar: bool,
) -> None:
    device = latents.device.type
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(config.mixed_precision)
    # Half-precision gradients underflow without scaling, whether half comes from autocast or from the weights.
    scaler = torch.amp.GradScaler(device, enabled=torch.float16 in (dtype, model.dtype))
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    parameters = [tensor for parts in tensors.values() for tensor in parts.values()]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    shape = {
        "constant": lambda step: 1.0,
        "cosine": lambda step: 0.5 * (1 + math.cos(math.pi * step / config.max_train_steps)),
    }[config.lr_scheduler]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
    generator = torch.Generator().manual_seed(config.seed)  # on the CPU, so that a seed means the same everywhere
    batch = latents.to(model.dtype).expand(config.train_batch_size, -1, -1, -1, -1)
    prompt_embeds = prompt_embeds.to(model.dtype).expand(config.train_batch_size, -1, -1)
    prompt_embeds = find_architecture(model).text_features(prompt_embeds, batch.shape[2])
    low, high = (round(edge * scheduler.config.num_train_timesteps) for edge in config.timestep_range)

    progress = tqdm(range(1, config.max_train_steps + 1), desc="motion embedding", disable=not progress_bar)
    for step in progress:
        noise = torch.randn(batch.shape, generator=generator).to(batch)
        timesteps = torch.randint(low, high, (len(batch),), generator=generator).to(batch.device)
        noisy_latents = scheduler.add_noise(batch, noise, timesteps)
        with torch.autocast(device, dtype, enabled=dtype is not None):
            prediction = model(noisy_latents, timesteps, encoder_hidden_states=prompt_embeds, return_dict=False)[0]
        target = prediction_target(scheduler, batch, noise, timesteps)
        if config.loss == "base":
            loss = base_loss(prediction, target)
        else:
            loss = debiased_temporal_loss(prediction, target, generator)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        optimizer.zero_grad()
        if callback is not None or step % 10 == 0 or step == config.max_train_steps:  # reading the loss waits for it
            value = loss.item()
            if not math.isfinite(value):
                raise _diverged(f"loss became {value} at step {step}", config)
            progress.set_postfix(loss=f"{value:.4f}", refresh=False)
            if callback is not None:
                callback(step, value)
    if not all(tensor.isfinite().all() for tensor in parameters):
        raise _diverged("embedding holds NaN or infinite numbers after the last step", config)
    for tensor in parameters:
        tensor.requires_grad_(False)


def _diverged(what: str, config: TrainingConfig) -> TrainingDivergedError:
    return TrainingDivergedError(
        f"The {what}. Lower learning_rate ({config.learning_rate}), or use another mixed_precision "
        f"({config.mixed_precision})."
    )


def _check_pipeline(pipe: Any) -> tuple[str, nn.Module]:
    models = supported_models(pipe)
    missing = [name for name in ("vae", "text_encoder", "scheduler") if getattr(pipe, name, None) is None]
    if not models or missing:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} cannot be trained: it has "
            + (f"no {', '.join(missing)}." if models else "no model that takes motion embeddings.")
        )
    component, model = next(iter(models.items()))
    if getattr(model.config, "addition_embed_type", None) is not None:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} wants more than text features, which training does not give."
        )
    if hasattr(model, "_hf_hook"):
        raise UnsupportedModelError(
            "The pipeline's model is offloaded. Train with the model on its device: call pipe.reset_device_map() or "
            "pipe.remove_all_hooks(), then pipe.to(device)."
        )
    return component, model


def _check_inputs(pipe: Any, frames: np.ndarray, prompt: str) -> None:
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError(f"A prompt is needed that says what the reference shows; got {prompt!r}.")
    if not isinstance(frames, np.ndarray) or frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        described = f"{frames.dtype} {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise VideoError(f"frames must be a uint8 array of shape (frames, height, width, 3), got {described}.")
    factor = pipe.vae_scale_factor
    height, width = frames.shape[1:3]
    if height % factor or width % factor:
        raise VideoError(
            f"Height {height} and width {width} must be multiples of {factor}, because the VAE shrinks pictures by "
            f"that factor; for instance {max(1, height // factor) * factor} x {max(1, width // factor) * factor}."
        )


@contextlib.contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode and without weight gradients, as it was afterwards."""
    was_training = model.training
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        model.train(was_training)
        for parameter in trainable:
            parameter.requires_grad_(True)
