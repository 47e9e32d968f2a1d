"""The models that are measured: of middling size, with random weights. A further model class is one entry here."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.registry import add_embedding
from diffusers_motion_embed.adapter.selection import select_layers
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.storage.embedding import Embedding, EmbeddingTensors
from diffusers_motion_embed.training.preparation import new_embedding


TEXT_TOKENS, TEXT_WIDTH = 16, 128
ALL_LAYERS = ".*"


@dataclass(frozen=True)
class Size:
    """Of a model and its clips.

    Args:
        channels: Of each level of a UNet; of a transformer one number, its width.
        num_frames: As latents.
        height: In latent pixels.
        width: In latent pixels.
        head_dim: Channels of one attention head.
        groups: Of group norms.
        num_layers: Of a transformer.
    """

    channels: tuple[int, ...]
    num_frames: int
    height: int
    width: int
    head_dim: int = 32
    groups: int = 32
    num_layers: int = 8

    def __str__(self) -> str:
        channels = "-".join(map(str, self.channels))
        return f"{channels} channels, {self.num_frames} frames of {self.height} x {self.width}"


@dataclass(frozen=True)
class Subject:
    """One model class at one size.

    Args:
        model_class: Name of the diffusers class.
        settings: Of its constructor.
        clip: Its noisy clip.
        size: Of model and clip.
        text_per_frame: Whether it wants the text features once for every frame.
    """

    model_class: str
    settings: Callable[[Size], dict[str, Any]]
    clip: Callable[[Size], dict[str, Tensor]]
    size: Size
    text_per_frame: bool = False

    def __str__(self) -> str:
        return f"{self.model_class}, {self.size}"

    def build(self) -> nn.Module:
        """The model, frozen as for inference, with seeded weights of which none is zero."""
        torch.manual_seed(0)
        model = getattr(diffusers, self.model_class)(**self.settings(self.size)).eval().requires_grad_(False)
        for parameter in model.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.02)
        return model

    def inputs(self) -> dict[str, Tensor]:
        """Arguments of one denoising forward, batch 1."""
        copies = self.size.num_frames if self.text_per_frame else 1
        return {
            **self.clip(self.size),
            "timestep": torch.tensor([500]),
            "encoder_hidden_states": torch.randn(copies, TEXT_TOKENS, TEXT_WIDTH),
        }

    def at(self, size: Size) -> "Subject":
        """The same at another size."""
        return replace(self, size=size)


def twin(model: nn.Module) -> nn.Module:
    """Another model that shares the weights, so that both find them in the same place of memory."""
    return copy.deepcopy(model, {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]})


def embed(
    model: nn.Module, size: Size, target_modules: str | None = None, parts: tuple[str, ...] = ("qk", "v")
) -> EmbeddingTensors:
    """Put an embedding with random numbers on the model, with value grids as they are by default.

    Args:
        model: A model of a supported class.
        size: Of the clips.
        target_modules: Regular expression for the adapted layers; by default the model class's own choice.
        parts: Parts of the embedding.

    Returns:
        The embedding's tensors, which require gradients.
    """
    config = MotionEmbeddingConfig(
        num_frames=size.num_frames,
        num_latent_frames=size.num_frames,
        latent_height=size.height,
        latent_width=size.width,
        value_grid=find_architecture(model).value_grid,
        target_modules=target_modules,
        parts=parts,
    )
    tensors = new_embedding(model, config, select_layers(model, config))
    with torch.no_grad():
        for parts in tensors.values():
            for tensor in parts.values():
                tensor.normal_(std=0.1)
    add_embedding(model, "motion", Embedding(config, tensors))
    return tensors


def _levels(size: Size, kind: str) -> dict[str, Any]:
    """Settings of UNets, which have no attention at their deepest level."""
    attentions = len(size.channels) - 1
    return {
        "sample_size": (size.height, size.width),
        "block_out_channels": size.channels,
        "layers_per_block": 2,
        "norm_num_groups": size.groups,
        "cross_attention_dim": TEXT_WIDTH,
        "down_block_types": (f"CrossAttnDownBlock{kind}",) * attentions + (f"DownBlock{kind}",),
        "up_block_types": (f"UpBlock{kind}",) + (f"CrossAttnUpBlock{kind}",) * attentions,
    }


def _wan(size: Size) -> dict[str, Any]:
    (width,) = size.channels
    return {
        "num_attention_heads": width // size.head_dim,
        "attention_head_dim": size.head_dim,
        "ffn_dim": 4 * width,
        "num_layers": size.num_layers,
        "text_dim": TEXT_WIDTH,
        "freq_dim": 64,
    }


def _frames(size: Size, channels: int) -> Tensor:
    return torch.randn(1, channels, size.num_frames, size.height, size.width)


FOUR_LEVELS = Size((64, 128, 256, 256), 16, 16, 24)
WIDER = Size((128, 256, 512, 512), 16, 16, 16)  # between that and the real ones, which begin with 320 channels

UNET_3D = Subject(
    "UNet3DConditionModel",
    lambda size: _levels(size, "3D") | {"attention_head_dim": size.head_dim},
    lambda size: {"sample": _frames(size, 4)},
    FOUR_LEVELS,
)
UNET_MOTION = Subject(
    "UNetMotionModel",
    lambda size: (
        _levels(size, "Motion")
        | {"num_attention_heads": size.channels[0] // size.head_dim}
        | {"motion_num_attention_heads": size.channels[0] // size.head_dim}
    ),
    lambda size: {"sample": _frames(size, 4)},
    FOUR_LEVELS,
    text_per_frame=True,
)
WAN = Subject(
    "WanTransformer3DModel",
    _wan,
    lambda size: {"hidden_states": _frames(size, 16)},
    Size((512,), 8, 16, 24, head_dim=64),
)

SUBJECTS = (UNET_3D, UNET_MOTION, WAN)

# For tests, which only want to see that everything runs.
TOY_UNET = Size((8, 16), 4, 4, 4, head_dim=4, groups=4)
TOY_SIZES = {UNET_3D: TOY_UNET, UNET_MOTION: TOY_UNET, WAN: Size((16,), 2, 4, 4, head_dim=8, num_layers=2)}
