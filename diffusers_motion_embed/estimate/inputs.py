"""What a pipeline gives its model besides the noisy clip, made up from the model's settings."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.embeddings import get_3d_rotary_pos_embed_allegro
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from diffusers_motion_embed.architectures import find_architecture, patch_size
from diffusers_motion_embed.architectures.conditioning import Conditioning


SOUND_TOKENS = 126  # of LTX-2's five seconds
TEXT_WIDTHS = (
    "encoder_hid_dim",
    "text_dim",
    "text_embed_dim",
    "in_text_dim",
    "caption_channels",
    "cross_attention_dim",
)


@dataclass(frozen=True)
class Subject:
    """A model and what it is given, for one clip.

    Args:
        model: A model of a supported class, with or without numbers.
        shape: Frames, height and width of the clip's latents.
        num_text_tokens: Length of the text.
    """

    model: ModelMixin
    shape: tuple[int, int, int]
    num_text_tokens: int

    @property
    def grid(self) -> tuple[int, ...]:
        """The clip's frames, height and width in tokens."""
        return tuple(size // patch for size, patch in zip(self.shape, patch_size(self.model), strict=True))

    def setting(self, *names: str) -> int:
        """The first of the named settings that the model has."""
        found = next(value for name in names if (value := getattr(self.model.config, name, None)))
        return found[0] if isinstance(found, (list, tuple)) else found

    def zeros(self, *shape: int) -> Tensor:
        """Zeros in the model's type."""
        return torch.zeros(*shape, dtype=self.model.dtype)

    def clip(self, channels: int) -> Tensor:
        """A clip as the model takes it."""
        layout = find_architecture(self.model).input_layout(self.model)
        return layout.arrange(self.zeros(1, channels, *self.shape))

    def text(self, width: int) -> Tensor:
        """Text features."""
        features = self.zeros(1, self.num_text_tokens, width)
        return find_architecture(self.model).text_features(features, self.shape[0])

    def mask(self, num_tokens: int | None = None) -> Tensor:
        """A mask in which all tokens count."""
        return torch.ones(1, num_tokens or self.num_text_tokens, dtype=torch.bool)


def conditioning_of(subject: Subject) -> Conditioning:
    """What the model gets with a clip, batch 1: of the right shapes and types, all zeros."""
    architecture = find_architecture(subject.model)
    known = inspect.signature(type(subject.model).forward).parameters
    makers = {**ARGUMENTS, **OF_CLASS.get(architecture.model_class, {})}
    arguments = {name: make(subject) for name, make in makers.items() if name in known}
    timestep = arguments.pop("timestep", torch.zeros(1))
    input_name = "sample" if "sample" in known else "hidden_states"
    return Conditioning(
        {name: value for name, value in arguments.items() if value is not None},
        input_name,
        subject.clip(_num_input_channels(subject)),
        timestep,
        architecture.input_layout(subject.model),
        subject.shape[0] if architecture.text_per_frame else 1,
    )


def _num_input_channels(subject: Subject) -> int:
    channels = subject.setting("in_channels", "in_visual_dim")
    # Kandinsky 5 gets a picture and a mask with it.
    return 2 * channels + 1 if getattr(subject.model.config, "visual_cond", False) else channels


def _added(subject: Subject) -> dict[str, Tensor] | None:
    config = subject.model.config
    if getattr(config, "addition_embed_type", None) != "text_time":
        return None
    width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    return {"text_embeds": subject.zeros(1, width), "time_ids": subject.zeros(1, 6)}


def _added_times(subject: Subject) -> Tensor:
    config = subject.model.config
    return subject.zeros(1, config.projection_class_embeddings_input_dim // config.addition_time_embed_dim)


def _guidance(subject: Subject) -> Tensor | None:
    return subject.zeros(1) if getattr(subject.model.config, "guidance_embeds", False) else None


def _rotations(subject: Subject) -> tuple[Tensor, Tensor] | None:
    config = subject.model.config
    if not getattr(config, "use_rotary_positional_embeddings", False):
        return None
    frames, height, width = subject.grid
    angles = torch.zeros(frames * height * width, config.attention_head_dim)
    return angles, angles


def _rotations_of_allegro(subject: Subject) -> tuple:
    frames, height, width = subject.grid
    tables: Any = get_3d_rotary_pos_embed_allegro(
        embed_dim=subject.model.config.attention_head_dim,
        crops_coords=((0, 0), (height, width)),
        grid_size=(height, width),
        temporal_size=frames,
        interpolation_scale=(1.0, 1.0, 1.0),
    )
    *frequencies, rows, columns, depths = tables
    positions = torch.cartesian_prod(rows.long(), columns.long(), depths.long())
    return tuple(frequencies), tuple(positions.T[:, None])


# By the names of the arguments of the models' forward. None leaves an argument out.
ARGUMENTS: Mapping[str, Callable[[Subject], Any]] = {
    "encoder_hidden_states": lambda subject: subject.text(subject.setting(*TEXT_WIDTHS)),
    "pooled_projections": lambda subject: subject.zeros(1, subject.setting("pooled_projection_dim", "in_text_dim2")),
    "added_cond_kwargs": _added,
    "added_time_ids": _added_times,
    "guidance": _guidance,
    "image_rotary_emb": _rotations,
    "num_frames": lambda subject: subject.shape[0],
    "height": lambda subject: subject.shape[1],
    "width": lambda subject: subject.shape[2],
}
_masked: Mapping[str, Callable[[Subject], Any]] = {"encoder_attention_mask": lambda subject: subject.mask()}
OF_CLASS: Mapping[str, Mapping[str, Callable[[Subject], Any]]] = {
    "I2VGenXLUNet": {
        "fps": lambda subject: torch.ones(1, dtype=torch.long),
        "image_latents": lambda subject: subject.clip(subject.model.config.in_channels),
        "image_embeddings": lambda subject: subject.zeros(1, subject.setting("cross_attention_dim")),
    },
    "UNetSpatioTemporalConditionModel": {
        "encoder_hidden_states": lambda subject: subject.zeros(1, 1, subject.setting("cross_attention_dim"))
    },
    "WanVACETransformer3DModel": {
        "control_hidden_states": lambda subject: subject.clip(subject.model.config.vace_in_channels)
    },
    "AnyFlowTransformer3DModel": dict.fromkeys(
        ("timestep", "r_timestep"), lambda subject: torch.ones(1, subject.shape[0])
    ),
    "HunyuanVideoTransformer3DModel": _masked,
    "HunyuanVideo15Transformer3DModel": {
        **_masked,
        "encoder_hidden_states_2": lambda subject: subject.text(subject.setting("text_embed_2_dim")),
        "encoder_attention_mask_2": lambda subject: subject.mask(),
        "image_embeds": lambda subject: subject.zeros(1, 1, subject.setting("image_embed_dim")),
    },
    "LTXVideoTransformer3DModel": _masked,
    "LTX2VideoTransformer3DModel": {
        **_masked,
        "audio_hidden_states": lambda subject: subject.zeros(1, SOUND_TOKENS, subject.model.config.audio_in_channels),
        "audio_encoder_hidden_states": lambda subject: subject.text(subject.setting(*TEXT_WIDTHS)),
        "audio_num_frames": lambda subject: SOUND_TOKENS,
    },
    "MochiTransformer3DModel": _masked,
    "AllegroTransformer3DModel": {**_masked, "image_rotary_emb": _rotations_of_allegro},
    "Kandinsky5Transformer3DModel": {
        "visual_rope_pos": lambda subject: [torch.arange(size) for size in subject.grid],
        "text_rope_pos": lambda subject: torch.arange(subject.num_text_tokens),
    },
    "CosmosTransformer3DModel": {
        "fps": lambda subject: 16,
        "padding_mask": lambda subject: subject.zeros(1, 1, *subject.shape[1:]),
    },
    "MotifVideoTransformer3DModel": _masked,
}
