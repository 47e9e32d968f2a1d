"""What a base model will need on a device, before its weights are downloaded."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

from diffusers_motion_embed.architectures.checks import check_pipeline
from diffusers_motion_embed.architectures.encoding import check_clip
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import UnsupportedModelError
from diffusers_motion_embed.estimate.placement import (
    OFFLOADS,
    QUANTIZATIONS,
    STREAMING,
    resident_bytes,
    weight_bytes,
)
from diffusers_motion_embed.estimate.stages import (
    Stage,
    decoding_stage,
    denoising_stage,
    encoding_stage,
    text_stages,
    training_stage,
)
from diffusers_motion_embed.estimate.weightless import settings_folder, weightless_pipeline
from diffusers_motion_embed.training.config import TrainingConfig
from diffusers_motion_embed.training.recipes import EmbeddingOptions, Options, component_of, settings_for


RUNS = ("training", "training, recomputing", "generation")
UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
NEEDS_NUMBERS = (DataDependentOutputException, DynamicOutputShapeException)


@dataclass(frozen=True)
class MemoryEstimate:
    """What training and generation need on a device.

    Args:
        pipeline: Name of the pipeline's class.
        weights: Bytes of each component's weights, by its name.
        stages: The stages of each of `RUNS`.
        needs: Bytes at the peak, by offloading, quantization and run.
    """

    pipeline: str
    weights: dict[str, int]
    stages: dict[str, list[Stage]]
    needs: dict[tuple[str, str, str], int]

    def table(self, memory: int | None = None) -> str:
        """All of it in words and as a table.

        Args:
            memory: Bytes of a device. What does not fit into it is marked.
        """
        heads = ("offloading", "quantization", *RUNS)
        rows = [
            (offload, bits, *(self._cell(self.needs[offload, bits, run], memory) for run in RUNS))
            for offload in OFFLOADS
            for bits in QUANTIZATIONS
        ]
        lines = [
            f"{self.pipeline}, weights: {_listed(self.weights)}",
            *(f"{run}, beside weights: {_listed(_peaks(self.stages[run]))}" for run in RUNS),
            "",
            *_aligned([heads, *rows]),
        ]
        if memory is not None:
            lines += ["", f"Marked with - is what does not fit into {gigabytes(memory)}."]
        return "\n".join(lines)

    def fits(self, memory: int, run: str) -> list[tuple[str, str]]:
        """The pairs of offloading and quantization with which a run fits into so many bytes."""
        return [
            (offload, bits) for (offload, bits, name), need in self.needs.items() if name == run and need <= memory
        ]

    @staticmethod
    def _cell(need: int, memory: int | None) -> str:
        return f"{'-' if memory is not None and need > memory else ' '} {gigabytes(need)}"


def estimate_memory(
    pretrained_model_name_or_path: str,
    num_frames: int,
    height: int,
    width: int,
    *,
    config: Options | None = None,
    embedding_config: EmbeddingOptions | None = None,
    motion_adapter: str | None = None,
    dtype: torch.dtype = torch.float32,
    guided: bool = True,
    revision: str | None = None,
    token: str | bool | None = None,
) -> MemoryEstimate:
    """What training an embedding and generating with it will need, from the settings of a base pipeline alone.

    Every stage runs without numbers, and what it allocates is counted. What kernels need for themselves, and what the
    device's allocator keeps, comes on top.

    Args:
        pretrained_model_name_or_path: A folder, or a repository on the Hub, of which no weights are downloaded.
        num_frames: Number of frames of the reference and of generated clips.
        height: Height of the clips, in pixels.
        width: Width of the clips, in pixels.
        config: Options of the training run; by default those of the recipe for the model's class. A dictionary says
            what differs from the recipe.
        embedding_config: Layers, parts and grids, and which model of a pipeline with two, in the same two ways.
        motion_adapter: AnimateDiff motion adapter for an image model: a folder or a repository.
        dtype: The type of the weights.
        guided: Whether clips are generated with guidance.
        revision: Which revision of the base's repository.
        token: Access token; by default that of the current login.

    Raises:
        UnsupportedModelError: If the pipeline takes no motion embeddings, or needs numbers to tell what it allocates.
        VideoError: If the pipeline cannot take clips of this size.
    """
    adapter = settings_folder(motion_adapter, token=token) if motion_adapter else None
    pipe = weightless_pipeline(settings_folder(pretrained_model_name_or_path, revision, token), dtype, adapter)
    component, model = check_pipeline(pipe, component_of(embedding_config))
    config, embedding_config = settings_for(model, config, embedding_config)
    clip = (num_frames, height, width)
    check_clip(pipe, np.broadcast_to(np.uint8(0), (*clip, 3)), model)
    try:
        stages = _stages(pipe, component, clip, config, embedding_config, guided)
    except NEEDS_NUMBERS as error:
        raise UnsupportedModelError(
            f"What {type(pipe).__name__} allocates depends on the numbers that it computes ({error}), so it cannot be "
            "told without weights."
        ) from error
    models = {name: each for name, each in pipe.components.items() if isinstance(each, nn.Module)}
    needs = {
        (offload, bits, run): need_of_run(stages, run, models, offload, QUANTIZATIONS[bits])
        for offload in OFFLOADS
        for bits in QUANTIZATIONS
        for run in RUNS
    }
    weights = {name: weight_bytes(each) for name, each in models.items()}
    return MemoryEstimate(type(pipe).__name__, weights, stages, needs)


def parse_memory(text: str) -> int:
    """Bytes of a size such as "16GB".

    Raises:
        ValueError: If it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MG]i?B)\s*", text)
    if match is None:
        raise ValueError(f"A size of memory is a number and a unit ({', '.join(UNITS)}), such as 16GB; got {text!r}.")
    return round(float(match[1]) * UNITS[match[2]])


def gigabytes(size: int) -> str:
    """Bytes for people, in units of 10^9."""
    return f"{size / 1e9:.2f} GB"


def _stages(
    pipe: Any,
    component: str,
    clip: tuple[int, int, int],
    config: TrainingConfig,
    embedding_config: MotionEmbeddingConfig,
    guided: bool,
) -> dict[str, list[Stage]]:
    texts = list(text_stages(pipe))
    encoding, latents = encoding_stage(pipe, clip)
    steps = [
        training_stage(pipe, component, latents, replace(config, gradient_checkpointing=recompute), embedding_config)
        for recompute in (False, True)
    ]
    made = [denoising_stage(pipe, component, latents, guided), decoding_stage(pipe, latents)]
    parts = ([*texts, encoding, steps[0]], [*texts, encoding, steps[1]], [*texts, *made])
    return dict(zip(RUNS, parts, strict=True))


def need_of_run(
    stages: dict[str, list[Stage]], run: str, models: dict[str, nn.Module], offload: str, bits: int | None
) -> int:
    """Bytes on the device at the peak of a run.

    Args:
        stages: The stages of each of `RUNS`.
        run: One of `RUNS`.
        models: The pipeline's components by name.
        offload: One of `OFFLOADS`.
        bits: How many the weights of linear layers have; None if they are not quantized.
    """
    may_stream = offload in STREAMING and bits is None  # quantized weights cannot come and go
    if may_stream and any(stage.placement == "streamed" for stage in stages[run]):
        run = "training, recomputing"  # in any case
    return max(_need_of(stage, models, offload, bits, may_stream) for stage in stages[run])


def _need_of(stage: Stage, models: dict[str, nn.Module], offload: str, bits: int | None, may_stream: bool) -> int:
    def resident(name: str, offload: str) -> int:
        return resident_bytes(models[name], offload, None if name == "vae" else bits)

    if offload == "none":
        return stage.activations + sum(resident(name, offload) for name in models)
    if stage.placement != "offloaded":
        offload = "group" if stage.placement == "streamed" and may_stream else "model"
    return stage.activations + resident(stage.component, offload)


def _peaks(stages: Iterable[Stage]) -> dict[str, int]:
    names = [stage.name for stage in stages]
    return {name: max(stage.activations for stage in stages if stage.name == name) for name in names}


def _listed(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {gigabytes(size)}" for name, size in sizes.items())


def _aligned(rows: list[Any]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
