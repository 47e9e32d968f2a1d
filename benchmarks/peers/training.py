"""Training any parameters of a model by the package's own steps, and using them in a part of the denoising."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.peers.method import Reference
from benchmarks.tiny_world.pipelines import training_arguments
from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.selection import select_layers
from diffusers_motion_embed.adapter.timing import Timing
from diffusers_motion_embed.architectures import find_architecture, supported_models
from diffusers_motion_embed.architectures.conditioning import capture_conditioning
from diffusers_motion_embed.architectures.encoding import encode_frames
from diffusers_motion_embed.architectures.noising import noising_of
from diffusers_motion_embed.training import RECIPES, TrainingConfig
from diffusers_motion_embed.training.optimization import Optimization


Parameters = Mapping[str, nn.Parameter]

# What makes motion embeddings learn sooner and hold steady, which serves other methods too.
HELPED = TrainingConfig(**RECIPES["default"].training)
TIMING = RECIPES["default"].embedding["timing"]


def helped(learning_rate: float) -> TrainingConfig:
    """These settings at another learning rate."""
    return replace(HELPED, learning_rate=learning_rate)


def within(config: TrainingConfig, num_samples: int, seed: int) -> TrainingConfig:
    """The settings with as many steps as the budget has samples for."""
    samples = config.train_batch_size * config.gradient_accumulation_steps
    return replace(config, max_train_steps=max(1, num_samples // samples), seed=seed)


def denoiser(pipe: Any) -> tuple[str, nn.Module]:
    """Name and model of what makes clips of noise."""
    return next(iter(supported_models(pipe).items()))


def motion_attentions(model: nn.Module) -> list[str]:
    """Paths of the attention layers that mix frames and are adapted by default."""
    return select_layers(model, MotionEmbeddingConfig())


def train(
    pipe: Any, reference: Reference, parameters: Parameters, config: TrainingConfig, frames_apart: bool = False
) -> None:
    """Train parameters of the pipeline's model on the reference, all else frozen.

    Args:
        pipe: Carries the parameters.
        reference: The clip.
        parameters: By name.
        config: Steps, learning rate, loss, noise levels.
        frames_apart: Train on single frames instead of the clip.
    """
    component, model = denoiser(pipe)
    latents = encode_frames(pipe, reference.frames)
    num_frames = 1 if frames_apart else len(reference.frames)
    arguments = training_arguments(pipe)
    conditioning = capture_conditioning(pipe, component, reference.frames[:num_frames], reference.prompt, arguments)
    clips = latents[0].transpose(0, 1).unsqueeze(2) if frames_apart else latents
    tensors = {name: {"v": parameter} for name, parameter in parameters.items()}
    with only_trained(model, parameters):
        run = Optimization(
            model, noising_of(pipe.scheduler), clips, [conditioning] * len(clips), [], tensors, {}, config
        )
        for _ in tqdm(range(config.max_train_steps), "training", leave=False):
            run.step()
        run.logs()  # raises if the loss is no longer finite


@contextlib.contextmanager
def only_trained(model: nn.Module, parameters: Parameters) -> Iterator[None]:
    """The model in evaluation mode with gradients for these parameters alone, as it was afterwards."""
    was_training = model.training
    needed = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval().requires_grad_(False)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        model.train(was_training)
        for parameter, flag in needed.items():
            parameter.requires_grad_(flag)
            parameter.grad = None


@contextlib.contextmanager
def restored(parameters: Parameters) -> Iterator[dict[str, Tensor]]:
    """The numbers of these parameters, which they have again afterwards."""
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        yield before
    finally:
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(before[name])


@contextlib.contextmanager
def acting(
    model: nn.Module, parameters: Parameters, plain: Mapping[str, Tensor], start: float, end: float
) -> Iterator[None]:
    """The parameters as they are within a part of the noise schedule, and plain outside of it.

    Args:
        model: Carries the parameters.
        parameters: As learned.
        plain: Their numbers without what was learned.
        start: Share of the schedule after which they act; 0 is pure noise.
        end: Share of the schedule before which they act; 1 is the finished clip.
    """
    learned = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    architecture, timing = find_architecture(model), Timing(start, end)

    def choose(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        timestep = kwargs["timestep"] if "timestep" in kwargs else args[architecture.timestep_position]
        timing.observe(architecture.share_done(timestep))
        numbers = learned if timing.is_whole or timing.gate else plain
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(numbers[name])

    hook = model.register_forward_pre_hook(choose, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def num_bytes(parameters: Parameters) -> int:
    """Of the parameters as float32."""
    return 4 * sum(parameter.numel() for parameter in parameters.values())
