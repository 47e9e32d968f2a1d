"""What the stages of training and generation allocate beside weights, by running them without numbers."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor, nn
from transformers import PreTrainedModel

from diffusers_motion_embed.adapter.registry import in_training, remove_embedding
from diffusers_motion_embed.adapter.selection import select_layers
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.architectures.conditioning import batches, call_parameters
from diffusers_motion_embed.architectures.encoding import encode_pixels, sees_clips
from diffusers_motion_embed.architectures.noising import noising_of
from diffusers_motion_embed.config import LAYER_PARTS, MotionEmbeddingConfig
from diffusers_motion_embed.estimate.inputs import Subject, conditioning_of
from diffusers_motion_embed.estimate.live_bytes import LiveBytes, stored_bytes
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.training.config import TrainingConfig
from diffusers_motion_embed.training.optimization import Optimization
from diffusers_motion_embed.training.preparation import new_embedding
from diffusers_motion_embed.training.recompute import recomputation, streamed_layers


ADAPTER_NAME = "estimate"
Placement = Literal["offloaded", "whole", "streamed"]

# Their pipelines ask for the prediction with the prompt and for that without it in turn, the others at once.
IN_TURN = (
    "WanTransformer3DModel",
    "WanVACETransformer3DModel",
    "SkyReelsV2Transformer3DModel",
    "ChronoEditTransformer3DModel",
    "HunyuanVideoTransformer3DModel",
    "Kandinsky5Transformer3DModel",
    "CosmosTransformer3DModel",
    "MotifVideoTransformer3DModel",
)


@dataclass(frozen=True)
class Stage:
    """A part of a run in which one component computes.

    Args:
        name: For people.
        component: Name of the component.
        activations: Bytes of everything but weights, at the peak.
        placement: What offloading does with the component's weights: "offloaded" as chosen, "whole" on the device
            with any, or "streamed", one layer at a time, by group and sequential offloading.
    """

    name: str
    component: str
    activations: int
    placement: Placement = "offloaded"


def text_stages(pipe: Any) -> Iterator[Stage]:
    """Encoding the prompt, by each of the pipeline's text encoders."""
    for name, encoder in pipe.components.items():
        if isinstance(encoder, PreTrainedModel) and name.startswith("text_encoder"):
            tokens = torch.zeros(1, num_text_tokens(pipe, encoder), dtype=torch.long)
            with torch.no_grad(), LiveBytes() as live:
                encoder(input_ids=tokens)
            yield Stage("text encoding", name, live.peak)


def num_text_tokens(pipe: Any, encoder: PreTrainedModel | None = None) -> int:
    """How many tokens a prompt becomes, as far as the pipeline's call and the settings of its first encoder say."""
    asked = call_parameters(pipe).get("max_sequence_length")
    encoder = encoder or getattr(pipe, "text_encoder", None)
    longest = getattr(getattr(encoder, "config", None), "max_position_embeddings", None)
    return min(number for number in (asked, longest, 512) if isinstance(number, int))


def encoding_stage(pipe: Any, clip: tuple[int, int, int]) -> tuple[Stage, Tensor]:
    """Encoding a reference of this many frames, height and width. Also the latents, without numbers."""
    with _mode(pipe.vae):
        frames = torch.zeros(*clip, 3, dtype=torch.uint8)
    with LiveBytes() as live:
        latents = encode_pixels(pipe.vae, frames)
    return Stage("VAE encoding", "vae", live.peak), latents


def training_stage(
    pipe: Any,
    component: str,
    latents: Tensor,
    config: TrainingConfig,
    embedding_config: MotionEmbeddingConfig,
) -> Stage:
    """The steps of training."""
    model = getattr(pipe, component)
    architecture = find_architecture(model)
    frames, height, width = latents.shape[2:]
    size, recomputes = (frames, height, width), config.gradient_checkpointing
    for_positions = _copies_for_positions(model, embedding_config, size, recomputes)
    completed = replace(
        embedding_config,
        parts=LAYER_PARTS if for_positions else embedding_config.parts,
        value_grid=embedding_config.value_grid or architecture.value_grid,
        num_frames=frames,
        num_latent_frames=frames // architecture.input_layout(model).patch_size[0],
        latent_height=height,
        latent_width=width,
    )
    completed.target_modules = select_layers(model, completed)
    tensors = {
        path: {part: _mode(model).from_tensor(tensor) for part, tensor in parts.items()}
        for path, parts in new_embedding(model, completed, completed.target_modules).items()
    }
    frames, height, width = latents.shape[2:]
    conditioning = conditioning_of(Subject(model, (frames, height, width), num_text_tokens(pipe)))
    # Losses are scaled with half precision of 16 bits of float16 alone, which needs numbers.
    precision = "bf16" if config.mixed_precision == "fp16" else config.mixed_precision
    accumulates = config.gradient_accumulation_steps > 1
    config = replace(config, gradient_accumulation_steps=1, mixed_precision=precision)
    embedding, layers = Embedding(completed, tensors), architecture.layers if config.gradient_checkpointing else None
    with in_training(model, ADAPTER_NAME, embedding, "identity"), recomputation(model, layers):
        run = Optimization(model, noising_of(pipe.scheduler), latents, [conditioning], [], tensors, {}, config)
        with LiveBytes() as live:
            run.step()
    remove_embedding(model, ADAPTER_NAME)
    learned = stored_bytes(tensor for parts in tensors.values() for tensor in parts.values())
    placement: Placement = "streamed" if streamed_layers(model, config) else "whole"
    # Itself, two of AdamW, and the gradient of earlier passes; that of the last pass is seen.
    copies = 4 if accumulates else 3
    kept = stored_bytes([latents, *conditioning.tensors()]) + copies * learned
    return Stage("training steps", component, live.peak + kept + for_positions, placement)


def _copies_for_positions(
    model: Any, embedding_config: MotionEmbeddingConfig, shape: tuple[int, int, int], recomputes: bool
) -> int:
    """Bytes that the position part keeps where a model writes over its queries and keys; 0 elsewhere.

    Without numbers, such a model has no gradients of that part. With numbers, the queries and keys of a layer and
    those turned by a quarter are kept, in float32.
    """
    rotary = find_architecture(model).find_rotary(model)
    if isinstance(rotary, str) or not rotary.writes_in_place or "p" not in embedding_config.parts:
        return 0
    layers = find_architecture(model).attention_paths(model)
    tokens = math.prod(Subject(model, shape, 0).grid)
    widths = [model.get_submodule(path).to_q.out_features for path in layers[: 1 if recomputes else None]]
    return sum(4 * 4 * tokens * width for width in widths)


def denoising_stage(pipe: Any, component: str, latents: Tensor, guided: bool) -> Stage:
    """One prediction of generation, with guidance or not."""
    model = getattr(pipe, component)
    frames, height, width = latents.shape[2:]
    conditioning = conditioning_of(Subject(model, (frames, height, width), num_text_tokens(pipe)))
    at_once = guided and find_architecture(model).model_class not in IN_TURN
    ((_, batch),) = batches([conditioning] * (2 if at_once else 1))
    noisy = latents.to(model.dtype).expand(2 if at_once else 1, *latents.shape[1:])
    with torch.no_grad(), LiveBytes() as live:
        model(**batch.inputs(noisy, torch.zeros(len(noisy))))
    kept = 3 * stored_bytes([latents]) + stored_bytes(conditioning.tensors()) * (2 if guided else 1)
    return Stage("denoising", component, live.peak + kept)


def decoding_stage(pipe: Any, latents: Tensor) -> Stage:
    """Decoding what was generated, in the chunks that the pipeline uses by default."""
    vae = pipe.vae
    latents = latents.to(vae.dtype)
    with torch.no_grad(), LiveBytes() as live:
        if sees_clips(vae.decoder) and not _takes_pictures(vae):
            kept = _decoded(vae, latents)
        else:
            pictures = latents[0].transpose(0, 1)
            size = call_parameters(pipe).get("decode_chunk_size") or len(pictures)
            kept = torch.cat([_decoded(vae, chunk) for chunk in pictures.split(size)])
    del kept
    return Stage("VAE decoding", "vae", live.peak + stored_bytes([latents]))


def _takes_pictures(vae: Any) -> bool:
    """Whether its decoder sees clips, and is given their frames as pictures, with their number."""
    return isinstance(vae, AutoencoderKLTemporalDecoder)


def _decoded(vae: Any, latents: Tensor) -> Tensor:
    frames = {"num_frames": len(latents)} if _takes_pictures(vae) else {}
    return vae.decode(latents, **frames, return_dict=False)[0]


def _mode(model: nn.Module) -> Any:
    """In which the model has no numbers."""
    parameter: Any = next(model.parameters())
    return parameter.fake_mode
