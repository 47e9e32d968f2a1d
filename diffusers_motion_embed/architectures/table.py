"""The table of model classes: which attention layers of each mix frames, and how their input is laid out.

Models are known by the names of their classes, so none of these classes is imported. A new class with a known layout
is one entry here.
"""

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from diffusers_motion_embed.architectures.layouts import Layout, Tokens
from diffusers_motion_embed.architectures.rotary import Rotary
from diffusers_motion_embed.errors import UnsupportedModelError, VideoError


ROPE = Rotary()

# The authors adapt the layers with 1280 channels, ZeroScope's deep blocks (the defaults of their published code). A
# model without such layers is too small to tell deep blocks from shallow ones.
LARGE_WIDTH = 1280


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What is specific to one model class.

    Args:
        model_class: Name of the diffusers class; subclasses count as well.
        attention: Regular expression for the paths of the attention layers that mix frames. If the layers see pictures
            of several sizes, its group "pictures" is the path of the module around the attention that receives
            (batch · frames, channels, height, width).
        component: Name under which pipelines hold the model.
        tokens: How the attention's input arranges a clip, see `layouts.Layout`.
        axes: Axes of the base model's input, see `layouts.Layout`.
        default_paths: Regular expression for the layers that are adapted by default. In a UNet that has layers of 1280
            channels, only those are adapted.
        value_grid: Default grid of the value part.
        recipe: Name of the training recipe that the class gets by default, see `training.recipes`.
        rotary: Where the model keeps its rotary positions, which the position part moves. If it has none, the reason
            why it takes no position part, in words.
        layers: Regular expression for the paths of the layers whose activations training can forget and compute again.
        streams: Whether most of the model's weights are in `layers`, so that in training these can come and go.
        text_per_frame: Whether the model takes the text features once for every frame, (batch · frames, tokens,
            channels), rather than once for every clip.
        spatial_attention: Regular expression for the paths of the attention layers that see single frames; None if
            there are none.
        timestep_position: Position of the timestep among the arguments of the model's forward.
        timesteps: The timesteps of pure noise and of the finished clip; None if pipelines differ.
        frame_positions: Name of the model's setting for the number of frames that have learned positions; None if the
            model needs no positions or makes them for any number.
        only_full_clips: Whether it takes only clips of exactly that many frames, or single pictures.
        first_frame_alone: Whether VAEs that compress time make one latent frame of the first frame alone, and each
            further one of as many frames as they compress to one. Otherwise the first latent frame is made of as many
            too.
        pictures_before: Name of the pipelines' argument for pictures that the model gets as frames before those of the
            clip; None if there is none.
    """

    model_class: str
    attention: str
    component: str = "transformer"
    tokens: Tokens = "video_first"
    axes: str = "bcfhw"
    default_paths: str = ".*"
    value_grid: tuple[int, int] = (1, 1)
    recipe: str = "rotary"
    rotary: Rotary | str = ROPE
    layers: str = r"\w*blocks\.\d+"
    streams: bool = True
    text_per_frame: bool = False
    spatial_attention: str | None = None
    timestep_position: int = 1
    timesteps: tuple[float, float] | None = (1000.0, 0.0)
    frame_positions: str | None = None
    only_full_clips: bool = False
    first_frame_alone: bool = True
    pictures_before: str | None = None

    @property
    def has_levels(self) -> bool:
        """Whether layers see pictures of several sizes."""
        return "(?P<pictures>" in self.attention

    def check_frames(self, model: ModelMixin, num_frames: int) -> None:
        """Raise a `VideoError` unless `model` has a position for each of `num_frames` frames."""
        limit = getattr(model.config, self.frame_positions) if self.frame_positions else None
        if limit is None or num_frames == limit:
            return
        if num_frames > limit or (self.only_full_clips and num_frames != 1):
            kind = "just" if self.only_full_clips else "at most"
            raise VideoError(
                f"{type(model).__name__} has positions for {kind} {limit} frames ({self.frame_positions}), and the "
                f"clip has {num_frames}. Use {limit} of them."
            )

    def input_layout(self, model: ModelMixin) -> Layout:
        """How `model` arranges a clip in its input."""
        return Layout(self.tokens, self.axes, patch_size(model))

    def layout(self, model: ModelMixin) -> Layout:
        """How the layers of `model` arrange a clip."""
        return Layout(self.tokens, "nchw") if self.has_levels else self.input_layout(model)

    def place(self, path: str) -> tuple[str | int, ...]:
        """Where the attention at `path` is in the model, in the terms of LoRA's block scales.

        Returns:
            Section, block if the section has several, and number of the transformer in it: ("down", "block_1", 0),
            ("mid", 0), ("transformer_in",) or ("blocks", 12).
        """
        section, *names = (self.size_module(path) or path).split(".")
        numbers = [name for name in names if name.isdigit()]
        section = section.removesuffix("s").removesuffix("_block") if self.has_levels else section
        return (section, *(f"block_{number}" for number in numbers[:-1]), *map(int, numbers[-1:]))

    def size_module(self, path: str) -> str:
        """Path of the module whose input shows the clip's size to the attention at `path`; "" is the model."""
        match = re.fullmatch(self.attention, path) if self.has_levels else None
        return match["pictures"] if match else ""

    def find_rotary(self, model: nn.Module) -> Rotary | str:
        """Where `model` keeps its rotary positions; if it has none, the reason why it takes no position part."""
        setting = self.rotary.setting if isinstance(self.rotary, Rotary) else None
        if setting is not None and not getattr(model.config, setting):
            return f"its positions are learned or sinusoids, not rotary ({setting} is False)"
        return self.rotary

    @property
    def rotary_path(self) -> str | None:
        """Path under which the position part is stored; None if the class takes none."""
        return self.rotary.path if isinstance(self.rotary, Rotary) else None

    def share_done(self, timestep: Tensor | float) -> Tensor | None:
        """Share of the noise schedule that is done: 0 is pure noise, 1 the end; a 0-dim tensor, or None if unknown.

        Args:
            timestep: What the model receives, of any shape. If there are several, the noisiest counts, because given
                clean frames may have a timestep of their own.
        """
        if self.timesteps is None:
            return None
        noise, clean = self.timesteps
        return ((noise - torch.as_tensor(timestep)) / (noise - clean)).min()

    def default_targets(self, paths: list[str], widths: list[int]) -> list[str]:
        """The layers that are adapted by default: in a large UNet the widest ones, as in the paper.

        Args:
            paths: Paths of all layers that mix frames.
            widths: Number of channels of each.
        """
        candidates = [pair for pair in zip(paths, widths, strict=True) if re.fullmatch(self.default_paths, pair[0])]
        widest = max((width for _, width in candidates), default=0)
        least = widest if widest >= LARGE_WIDTH else 0
        return [path for path, width in candidates if width >= least]

    def attention_paths(self, model: nn.Module) -> list[str]:
        """Paths of all attention layers of `model` that mix frames, in the model's order."""
        return [path for path, _ in model.named_modules() if re.fullmatch(self.attention, path)]

    def text_features(self, prompt_embeds: Tensor, num_frames: int) -> Tensor:
        """Text features in the form that the model takes, from (batch, tokens, channels)."""
        return prompt_embeds.repeat_interleave(num_frames, dim=0) if self.text_per_frame else prompt_embeds

    def dry_run_inputs(self, model: ModelMixin, num_frames: int, height: int, width: int) -> dict[str, Any]:
        """Arguments for a UNet's forward pass without numbers (torch's meta device), at a latent size."""
        config = model.config

        def empty(*shape: int) -> Tensor:
            return torch.empty(*shape, device="meta")

        sizes = {"b": 1, "c": config.in_channels, "f": num_frames, "h": height, "w": width}
        text_width = config.cross_attention_dim
        text_width = text_width[0] if isinstance(text_width, (list, tuple)) else text_width
        inputs: dict[str, Any] = {
            "sample": empty(*(sizes[axis] for axis in self.axes)),
            "timestep": torch.empty(1, dtype=torch.long, device="meta"),
            "encoder_hidden_states": self.text_features(empty(1, 1, text_width), num_frames),
        }
        if getattr(config, "addition_embed_type", None) == "text_time":
            text_width = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
            inputs["added_cond_kwargs"] = {"text_embeds": empty(1, text_width), "time_ids": empty(1, 6)}
        if self.model_class == "UNetSpatioTemporalConditionModel":
            num_ids = config.projection_class_embeddings_input_dim // config.addition_time_embed_dim
            inputs["added_time_ids"] = empty(1, num_ids)
        if self.model_class == "I2VGenXLUNet":
            inputs |= {
                "fps": torch.empty(1, dtype=torch.long, device="meta"),
                "image_latents": inputs["sample"],
                "image_embeddings": empty(1, text_width),
            }
        return inputs


def patch_size(model: ModelMixin) -> tuple[int, int, int]:
    """Frames, height and width of the model's input that make one token, from either of diffusers' settings."""
    size = getattr(model.config, "patch_size", 1)
    if isinstance(size, (list, tuple)):
        frames, height, width = size
        return frames, height, width
    return (getattr(model.config, "patch_size_t", None) or 1, size, size)


_APART = "its layers that mix frames see every place on its own, so there are no places to move"
_ARGUMENT = partial(Rotary, argument="image_rotary_emb")
_COGVIDEOX = _ARGUMENT(path="patch_embed", setting="use_rotary_positional_embeddings", writes_in_place=True)
_WAN = Rotary(token_axis=-3)

_SECTION = r"(?:down_blocks\.\d+|mid_block|up_blocks\.\d+)"
_unet = partial(
    Architecture,
    component="unet",
    tokens="rows",
    value_grid=(4, 4),
    recipe="default",
    rotary=_APART,
    default_paths=r"(down|up)_blocks\..*",
    # These layers save the most memory for the least work. Convolutions over pictures and the smallest pictures do the
    # opposite. The last two temporal blocks are left out: when the backward pass reaches them, there is most room,
    # because nothing has been recomputed yet.
    layers=(
        r"(?!up_blocks\.3\.(temp_attentions|motion_modules)\.[12]\.)"
        r"(down|up)_blocks\..*(transformer_blocks\.\d+|temp_convs\.\d+\.conv\d|temporal_res_block)"
    ),
    streams=False,
    spatial_attention=rf"{_SECTION}\.attentions\.\d+\.transformer_blocks\.\d+\.attn[12]",
)
_temporal_unet = partial(
    _unet,
    attention=rf"(?P<pictures>{_SECTION}\.temp_attentions\.\d+|transformer_in)\.transformer_blocks\.\d+\.attn[12]",
)

ARCHITECTURES = (
    # Models with separate layers that mix frames.
    _temporal_unet(model_class="UNet3DConditionModel"),  # ZeroScope, ModelScope, VideoCrafter2
    _temporal_unet(model_class="I2VGenXLUNet"),
    _unet(  # AnimateDiff, PIA
        model_class="UNetMotionModel",
        attention=rf"(?P<pictures>{_SECTION}\.motion_modules\.\d+)\.transformer_blocks\.\d+\.attn[12]",
        recipe="default",
        text_per_frame=True,
        frame_positions="motion_max_seq_length",
    ),
    _unet(  # Stable Video Diffusion; the second attention of its temporal blocks sees the picture, not frames
        model_class="UNetSpatioTemporalConditionModel",
        attention=rf"(?P<pictures>{_SECTION}\.attentions\.\d+)\.temporal_transformer_blocks\.\d+\.attn1",
        axes="bfchw",
        timesteps=(1.64, -1.55),  # a quarter of the logarithm of the noise's strength, from 700 to 0.002
    ),
    Architecture(
        model_class="LatteTransformer3DModel",
        attention=r"temporal_transformer_blocks\.\d+\.attn1",
        tokens="rows",
        value_grid=(4, 4),
        recipe="default",
        rotary=_APART,
        spatial_attention=r"transformer_blocks\.\d+\.attn[12]",
        frame_positions="video_length",
        only_full_clips=True,
    ),
    # Models in which all tokens of a clip attend to each other.
    Architecture(model_class="WanTransformer3DModel", attention=r"blocks\.\d+\.attn1", rotary=_WAN),
    Architecture(
        model_class="WanVACETransformer3DModel",
        attention=r"(vace_)?blocks\.\d+\.attn1",
        default_paths=r"blocks\..*",
        rotary=_WAN,
        pictures_before="reference_images",
    ),
    Architecture(model_class="SkyReelsV2Transformer3DModel", attention=r"blocks\.\d+\.attn1", rotary=_WAN),
    Architecture(model_class="ChronoEditTransformer3DModel", attention=r"blocks\.\d+\.attn1", rotary=_WAN),
    Architecture(
        model_class="AnyFlowTransformer3DModel",
        attention=r"blocks\.\d+\.attn1",
        axes="bfchw",
        rotary=Rotary(form="complex"),
    ),
    *(
        Architecture(
            model_class=name,
            attention=r"transformer_blocks\.\d+\.attn1",
            tokens="video_last",
            axes="bfchw",
            rotary=_COGVIDEOX,
            timestep_position=2,
        )
        for name in ("CogVideoXTransformer3DModel", "ConsisIDTransformer3DModel")
    ),
    Architecture(
        model_class="HunyuanVideoTransformer3DModel",
        attention=r"(single_)?transformer_blocks\.\d+\.attn",
    ),
    Architecture(model_class="HunyuanVideo15Transformer3DModel", attention=r"transformer_blocks\.\d+\.attn"),
    Architecture(
        model_class="LTXVideoTransformer3DModel",
        attention=r"transformer_blocks\.\d+\.attn1",
        axes="packed",
        timestep_position=2,
    ),
    Architecture(
        model_class="LTX2VideoTransformer3DModel",
        attention=r"transformer_blocks\.\d+\.attn1",
        axes="packed",
        timestep_position=4,
    ),
    Architecture(
        model_class="MochiTransformer3DModel",
        attention=r"transformer_blocks\.\d+\.attn1",
        rotary=Rotary(token_axis=-3),  # it has rates of its own for every head
        timesteps=(0.0, 1000.0),
        timestep_position=2,
    ),
    Architecture(
        model_class="AllegroTransformer3DModel",
        attention=r"transformer_blocks\.\d+\.attn1",
        rotary=_ARGUMENT(path="pos_embed", form="axes"),
        first_frame_alone=False,
        timestep_position=2,
    ),
    Architecture(
        model_class="EasyAnimateTransformer3DModel",
        attention=r"transformer_blocks\.\d+\.attn1",
        tokens="video_last",
        rotary=Rotary(path="rope_embedding", writes_in_place=True),
    ),
    Architecture(
        model_class="Kandinsky5Transformer3DModel",
        attention=r"visual_transformer_blocks\.\d+\.self_attention",
        axes="bfhwc",
        rotary=Rotary(path="visual_rope_embeddings", form="matrices", token_axis=1),
        timestep_position=2,
    ),
    Architecture(model_class="CosmosTransformer3DModel", attention=r"transformer_blocks\.\d+\.attn1", timesteps=None),
    Architecture(
        model_class="SanaVideoTransformer3DModel",
        attention=r"transformer_blocks\.\d+\.attn1",
        rotary=_WAN,
        timestep_position=2,
    ),
    Architecture(model_class="MotifVideoTransformer3DModel", attention=r"(single_)?transformer_blocks\.\d+\.attn"),
)

# Video models of diffusers that take no motion embeddings, and why.
UNSUPPORTED = {
    "AnyFlowFARTransformer3DModel": "it makes a clip chunk by chunk, and remembers keys and values of earlier chunks",
    "Cosmos3OmniTransformer": "its layers see one packed sequence of several kinds of tokens, without a batch axis",
    "HeliosTransformer3DModel": "its layers see frames of earlier chunks before those of the clip",
    "HunyuanVideoFramepackTransformer3DModel": "its layers see a varying number of earlier frames beside the clip's",
    "Kandinsky6Transformer3DModel": "its layers see frames of references among those of the clip",
    "Kandinsky6SRTransformer3DModel": "it enlarges clips that move already",
    "MiniMaxH3Transformer3DModel": "its layers see one sequence of video, sound and text",
    "SanaWMTransformer3DModel": "its layers pass frames on one by one, through one fused projection",
    "WanAnimateTransformer3DModel": "its motion comes from a driving video",
    "WanAnimate2Transformer3DModel": "its motion comes from a driving video",
}


def find_architecture(model: nn.Module | type) -> Architecture:
    """The table entry for a model, or for a class of models.

    Raises:
        UnsupportedModelError: If neither the model's class nor one of its base classes has one.
    """
    model_class = model if isinstance(model, type) else type(model)
    architecture = _architecture_of(model_class)
    if architecture is not None:
        return architecture
    name = model_class.__name__
    reason = f": {UNSUPPORTED[name]}" if name in UNSUPPORTED else ""
    supported = ", ".join(architecture.model_class for architecture in ARCHITECTURES)
    raise UnsupportedModelError(f"{name} takes no motion embeddings{reason}. Supported are: {supported}.")


def is_supported(model_class: type) -> bool:
    """Whether a model class has a table entry."""
    return _architecture_of(model_class) is not None


def _architecture_of(model_class: type) -> Architecture | None:
    names = [cls.__name__ for cls in model_class.__mro__]
    return next((architecture for architecture in ARCHITECTURES if architecture.model_class in names), None)
