"""What a pipeline gives its model besides the noisy clip: text features, rotations, sizes, a first picture.

Pipelines differ in all of these. So the pipeline itself is asked: it is called, and stopped when it calls its model.
"""

import contextlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from diffusers_motion_embed.architectures.bare import bare_models
from diffusers_motion_embed.architectures.components import supported_models
from diffusers_motion_embed.architectures.encoding import check_finite
from diffusers_motion_embed.architectures.layouts import Layout, VideoSize
from diffusers_motion_embed.architectures.noising import to_device
from diffusers_motion_embed.architectures.table import find_architecture
from diffusers_motion_embed.errors import UnsupportedModelError, VideoError


# Without guidance, a pipeline gives its model only what belongs to the prompt.
GUIDANCE = re.compile(r"((min|max|audio)_)?guidance_scale(_2)?")

# Tensors whose first axis does not count clips.
SHARED = ("control_hidden_states_scale",)

# Names that pipelines use for the number of frames.
FRAMES = ("num_frames", "frames", "video_length")

# Arguments that repeat the noise level.
TIMES = ("sigma", "r_timestep")

# Arguments that another model computes from the noisy clip.
MADE_OF_NOISE = ("down_block_additional_residuals",)


class _Called(BaseException):
    """The model was called. Not an `Exception`, so that no pipeline takes it for a failure of its own."""

    def __init__(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        names = inspect.signature(type(module).forward).parameters
        self.arguments = {**dict(zip(list(names)[1:], args, strict=False)), **kwargs}


@dataclass(frozen=True)
class Conditioning:
    """The arguments of one model call, for one clip or for several.

    Args:
        arguments: The arguments by name, as the pipeline gave them, without the next two.
        input_name: Name of the argument that holds the noisy clip.
        model_input: The noisy clip as the model takes it. It may have more channels than a clip.
        timestep: One for each clip, or one for every token, with zeros for given frames.
        layout: Layout of the base model's input.
        num_text_copies: Copies of one clip's text features, for a model that takes them once for every frame.
        given: Which latent frames the pipeline gives without noise, (frames,), bool; None if `timestep` shows them.
    """

    arguments: dict[str, Any]
    input_name: str
    model_input: Tensor
    timestep: Tensor
    layout: Layout
    num_text_copies: int = 1
    given: Tensor | None = None

    def inputs(self, noisy_latents: Tensor, timesteps: Tensor) -> dict[str, Any]:
        """All arguments of a model call.

        Args:
            noisy_latents: (batch, channels, frames, height, width).
            timesteps: (batch,).
        """
        noisy, axis = self.layout.arrange(noisy_latents), self.layout.channel_axis
        num_channels = noisy.shape[axis]
        rest = self.model_input.narrow(axis, num_channels, self.model_input.shape[axis] - num_channels)
        of_clips = timesteps
        if self.timestep.ndim > 1:
            timesteps = timesteps.view(-1, *[1] * (self.timestep.ndim - 1)) * (self.timestep != 0)
        repeated = {name: self.arguments[name] for name in TIMES if self.arguments.get(name) is not None}
        # LTX-2 repeats the level of the clip, whatever tokens have.
        times = {name: timesteps if value.ndim > 1 else of_clips for name, value in repeated.items()}
        if "audio_hidden_states" in self.arguments:  # the sound stays pure noise, whatever the clip's noise level
            times["audio_timestep"] = self.timestep.max().expand(len(timesteps))
            times["audio_sigma"] = times["audio_timestep"]
        noisy = torch.cat([noisy.to(rest), rest], dim=axis)
        return {**self.arguments, **times, self.input_name: noisy, "timestep": timesteps, "return_dict": False}

    def prediction(self, output: tuple[Tensor, ...] | Tensor, like: Tensor) -> Tensor:
        """The clip in the model's output, (batch, channels, frames, height, width), without a variance or the like.

        Args:
            output: The base model's output.
            like: A clip of the same shape.
        """
        video = output[0] if isinstance(output, (tuple, list)) else output
        return self.layout.restore(video, like.shape)[:, : like.shape[1]]

    def given_frames(self, num_frames: int) -> Tensor:
        """Which latent frames, such as the first, the pipeline gives without noise; (num_frames,), bool."""
        if self.given is not None:
            return self.given
        if self.timestep.ndim < 2:
            return torch.zeros(num_frames, dtype=torch.bool, device=self.timestep.device)
        return (self.timestep[0].flatten().unflatten(0, (num_frames, -1)) == 0).any(1)

    def check_size(self, latents: Tensor) -> None:
        """Raise a `VideoError` unless the pipeline makes a clip of the size of `latents`, arranged as for `inputs`."""
        made = self.layout.video_size((self.model_input,), self.arguments)
        sizes = zip(latents.shape[2:], self.layout.patch_size, strict=True)
        frames, height, width = (size // patch for size, patch in sizes)
        wanted = VideoSize(frames, height, width, made.in_blocks)
        if made != wanted:
            raise VideoError(
                "For the reference clip the pipeline gives its model "
                f"{made.num_frames} x {made.height} x {made.width} tokens (frames, height, width), and the clip has "
                f"{wanted.num_frames} x {wanted.height} x {wanted.width}. Read it with another size, or say more in "
                "call_arguments."
            )

    def tensors(self) -> list[Tensor]:
        """Everything that the pipeline gave, for comparing conditionings."""
        return [*_tensors(self.arguments), self.model_input]


def batches(conditionings: list[Conditioning]) -> Iterator[tuple[list[int], Conditioning]]:
    """Groups of clips that go through the model at once: the clips' numbers, and one conditioning for the group.

    Some pipelines cut text features to the length of the prompt. Clips with such prompts go through one by one.
    """
    alike: dict[tuple, list[int]] = {}
    for number, conditioning in enumerate(conditionings):
        alike.setdefault(tuple(tensor.shape for tensor in conditioning.tensors()), []).append(number)
    for numbers in alike.values():
        yield numbers, _join_all([conditionings[number] for number in numbers])


def _join_all(conditionings: list[Conditioning]) -> Conditioning:
    if len(conditionings) == 1:
        return conditionings[0]
    first, names = conditionings[0], conditionings[0].arguments
    copies = {"encoder_hidden_states": first.num_text_copies}
    return replace(
        first,
        arguments={
            name: _join([c.arguments[name] for c in conditionings], copies.get(name, 1), name) for name in names
        },
        model_input=torch.cat([c.model_input for c in conditionings]),
        timestep=torch.cat([c.timestep for c in conditionings]) if first.timestep.ndim > 1 else first.timestep,
    )


def _join(values: list[Any], copies: int, name: str) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {key: _join([value[key] for value in values], 1, key) for key in first}
    if isinstance(first, (list, tuple)):  # picture features; fewer axes mean positions, the same for all clips
        return [
            _join(list(entries), 1, name) if isinstance(entries[0], Tensor) and entries[0].ndim > 2 else entries[0]
            for entries in zip(*values, strict=True)
        ]
    is_of_clips = isinstance(first, Tensor) and first.ndim > 0 and len(first) == copies and name not in SHARED
    return torch.cat(values) if is_of_clips else first


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _tensors(entry)


def call_parameters(pipe: Any) -> dict[str, Any]:
    """The arguments that the pipeline's call takes by name, with their defaults; required ones have `inspect`'s empty.

    The call of a modular pipeline takes the arguments that its blocks ask for.
    """
    from diffusers.modular_pipelines.modular_pipeline import ModularPipeline  # imports all of scipy.stats

    if isinstance(pipe, ModularPipeline):
        return {each.name: each.default for each in pipe.blocks.inputs if each.name}
    parameters = inspect.signature(type(pipe).__call__).parameters
    return {name: parameter.default for name, parameter in parameters.items() if name != "self"}


def clip_arguments(pipe: Any, frames: np.ndarray, prompt: str | None) -> dict[str, Any]:
    """Arguments for a clip of this size and prompt, as far as the pipeline takes them.

    Pipelines that begin with a picture get the first frame. Those that change a clip get the clip.

    Args:
        pipe: A diffusers video pipeline.
        frames: (frames, height, width, 3), uint8.
        prompt: The prompt; None for pipelines without one.
    """
    known = call_parameters(pipe)
    pictures = [Image.fromarray(frame) for frame in frames]
    wanted = {
        "prompt": prompt,
        "image": pictures[0],
        "video": pictures,
        "strength": 1.0,
        "height": frames.shape[1],
        "width": frames.shape[2],
        "use_resolution_binning": False,  # it would choose another size
        **dict.fromkeys(FRAMES, len(frames)),
    }
    if "strength" not in known and "video" in known and known["video"] is None:
        del wanted["video"]  # a control clip such as VACE's, not the clip to start from
    return {name: value for name, value in wanted.items() if name in known}


def gives_text(call_arguments: Mapping[str, Any]) -> bool:
    """Whether text features stand in for the prompt."""
    return any(name.startswith("prompt_embeds") for name in call_arguments)


def capture_conditioning(
    pipe: Any,
    component: str,
    frames: np.ndarray,
    prompt: str | None,
    call_arguments: Mapping[str, Any] | None = None,
) -> Conditioning:
    """What the pipeline gives its model for a clip of this size and prompt, without guidance.

    Args:
        pipe: A diffusers video pipeline.
        component: Name of its model.
        frames: (frames, height, width, 3), uint8.
        prompt: The prompt; None for pipelines without one.
        call_arguments: Further arguments of the pipeline's call, which override those chosen here. If `prompt_embeds`
            of any name is among them, the pipeline gets no prompt.

    Raises:
        UnsupportedModelError: If the pipeline does not call a model, calls one with several clips at once, or gives it
            something that another model computes from the noisy clip.
    """
    model = supported_models(pipe)[component]
    architecture = find_architecture(model)
    known = call_parameters(pipe)
    call_arguments = call_arguments or {}
    if gives_text(call_arguments):
        prompt = None
    plain = {"num_inference_steps": 2, "output_type": "latent", "generator": torch.Generator().manual_seed(0)}
    if not getattr(model.config, "guidance_embeds", False):  # an input of the model, in place of guidance
        plain |= dict.fromkeys(filter(GUIDANCE.fullmatch, known), 1.0)
    if getattr(pipe.config, "boundary_ratio", None) is None:
        plain.pop("guidance_scale_2", None)
    plain = {name: value for name, value in plain.items() if name in known}
    arguments = _stopped_call(pipe, {**clip_arguments(pipe, frames, prompt), **plain, **call_arguments})
    made_of_noise = [name for name in MADE_OF_NOISE if arguments.get(name) is not None]
    if made_of_noise:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} gives its model {', '.join(made_of_noise)}, which depend on the noise, so it "
            "cannot be trained. Train with the pipeline of the same model that has no ControlNet, such as "
            "AnimateDiffPipeline.from_pipe(pipe), and load the embedding here."
        )
    input_name = "sample" if "sample" in arguments else "hidden_states"
    model_input = arguments.pop(input_name)
    timestep = to_device(torch.as_tensor(arguments.pop("timestep")), model_input.device)
    arguments.pop("return_dict", None)
    if len(model_input) != 1:
        raise UnsupportedModelError(
            f"{type(pipe).__name__} gives its model {len(model_input)} clips at once for one prompt; training needs "
            "one. Switch its guidance off."
        )
    check_finite(model_input, f"The VAE of {type(pipe).__name__}")
    copies = model_input.shape[2] if architecture.text_per_frame else 1
    # Kandinsky 5 marks the given frames in a channel.
    given = model_input[0, :, 0, 0, -1] == 1 if getattr(model, "visual_cond", False) else None
    return Conditioning(arguments, input_name, model_input, timestep, architecture.input_layout(model), copies, given)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw random numbers from a seed for a while. Afterwards every device goes on as if nothing had been drawn."""
    # Without one, torch 2.6 raises an error where later versions give None.
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    devices = range(torch.accelerator.device_count())  # a seed is for all; torch warns of several that are not named
    with torch.random.fork_rng(devices, device_type=accelerator.type if accelerator else "cpu"):
        torch.manual_seed(seed)
        yield


@torch.no_grad()
def _stopped_call(pipe: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the pipeline's first call of a model, by name."""

    def stop(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        raise _Called(module, args, kwargs)

    with bare_models(pipe) as models, _without_progress_bars(pipe):
        handles = [model.register_forward_pre_hook(stop, with_kwargs=True, prepend=True) for model in models]
        try:
            with seeded(0):  # some pipelines draw without their generator
                pipe(**arguments)
        except _Called as called:
            return called.arguments
        finally:
            for handle in handles:
                handle.remove()
    raise UnsupportedModelError(f"{type(pipe).__name__} does not call its model.")


@contextlib.contextmanager
def _without_progress_bars(pipe: Any) -> Iterator[None]:
    """Hide the progress bars of the pipeline or, if it is modular, of its blocks for a while."""
    holders = [pipe] if hasattr(pipe, "progress_bar") else list(_blocks_with_bars(pipe._blocks))
    before = [getattr(holder, "_progress_bar_config", {}) for holder in holders]
    for holder, settings in zip(holders, before, strict=True):
        holder.set_progress_bar_config(**{**settings, "disable": True})
    try:
        yield
    finally:
        for holder, settings in zip(holders, before, strict=True):
            holder.set_progress_bar_config(**settings)


def _blocks_with_bars(block: Any) -> Iterator[Any]:
    if hasattr(block, "progress_bar"):
        yield block
    for part in getattr(block, "sub_blocks", {}).values():
        yield from _blocks_with_bars(part)
