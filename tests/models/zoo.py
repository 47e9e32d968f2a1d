"""A tiny random model of every supported class and what to give it, sharing nothing with the package's table."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import diffusers
import torch


TEXT, TEXT_WIDTH = 3, 16


@dataclass(frozen=True)
class Clip:
    """Sizes of a model's input."""

    batch: int = 2
    frames: int = 4
    height: int = 4
    width: int = 8


@dataclass(frozen=True)
class Specimen:
    """One model class.

    Args:
        settings: Of its constructor.
        inputs: Arguments of its forward pass for a clip.
        layers: Paths of the attention layers that mix frames.
        patch: Frames, height and width of the input that make one token.
        rows: Whether its layers see every position apart.
        text_first: Paths of the layers that see text tokens before the video's.
        positions: Path of its position part, where its layers do not see every position apart.
        sizes: Of clips that it takes beside the default one.
        projections: Names of the query, key and value projections.
    """

    settings: dict
    inputs: Callable[[Clip], dict]
    layers: tuple[str, ...]
    patch: tuple[int, int, int] = (1, 2, 2)
    rows: bool = False
    text_first: tuple[str, ...] = ()
    positions: str = "rope"
    sizes: tuple[Clip, ...] = (Clip(1, 6, 4, 8), Clip(1, 1, 4, 8), Clip(1, 4, 8, 4))
    projections: tuple[str, str, str] = ("to_q", "to_k", "to_v")

    @property
    def parts(self) -> tuple[str, ...]:
        """All parts that an embedding of it can have."""
        return ("qk", "v") if self.rows else ("qk", "v", "p")


def make_model(name: str, **changes) -> torch.nn.Module:
    """The tiny model, in evaluation mode; every weight random, also those that begin at zero."""
    torch.manual_seed(0)
    model = getattr(diffusers, name)(**{**ZOO[name].settings, **changes}).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if not parameter.any():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    # As PEFT leaves it: torch rounds some matrix products in another way if weights want gradients.
    return model.requires_grad_(False)


@torch.no_grad()
def run(model: torch.nn.Module, clip: Clip = Clip()) -> torch.Tensor:
    """What the model predicts for seeded random inputs."""
    return predict(model, clip)


def predict(model: torch.nn.Module, clip: Clip = Clip()) -> torch.Tensor:
    """As `run`, with gradients."""
    torch.manual_seed(2)
    output = model(**ZOO[type(model).__name__].inputs(clip), return_dict=False)
    return output[0] if isinstance(output, tuple) else output


def _text(clip: Clip) -> torch.Tensor:
    return torch.randn(clip.batch, TEXT, TEXT_WIDTH)


def _mask(clip: Clip, dtype: torch.dtype = torch.long) -> torch.Tensor:
    return torch.ones(clip.batch, TEXT, dtype=dtype)


def _times(clip: Clip, value: float = 700.0) -> torch.Tensor:
    return torch.full((clip.batch,), value)


def _channels_first(channels: int) -> Callable[[Clip], torch.Tensor]:
    return lambda clip: torch.randn(clip.batch, channels, clip.frames, clip.height, clip.width)


def _frames_first(channels: int) -> Callable[[Clip], torch.Tensor]:
    return lambda clip: torch.randn(clip.batch, clip.frames, channels, clip.height, clip.width)


def _unet(clip: Clip) -> dict:
    return {"sample": _channels_first(4)(clip), "timestep": _times(clip).long(), "encoder_hidden_states": _text(clip)}


def _transformer(
    hidden_states: Callable[[Clip], torch.Tensor] | None = None, **more: Callable[[Clip], object]
) -> Callable[[Clip], dict]:
    hidden_states = hidden_states or _channels_first(4)
    makers = {"hidden_states": hidden_states, "timestep": _times, "encoder_hidden_states": _text, **more}
    return lambda clip: {name: make(clip) for name, make in makers.items()}


def _rotations(head_dim: int) -> Callable[[Clip], tuple[torch.Tensor, torch.Tensor]]:
    from diffusers.models.embeddings import get_3d_rotary_pos_embed

    def make(clip: Clip) -> tuple[torch.Tensor, torch.Tensor]:
        grid = clip.height // 2, clip.width // 2
        return get_3d_rotary_pos_embed(head_dim, ((0, 0), grid), grid, clip.frames)

    return make


def _allegro_rotations(clip: Clip) -> tuple:
    from diffusers.models.embeddings import get_3d_rotary_pos_embed_allegro

    height, width = clip.height // 2, clip.width // 2
    freqs_t, freqs_h, freqs_w, grid_t, grid_h, grid_w = get_3d_rotary_pos_embed_allegro(
        embed_dim=12,
        crops_coords=((0, 0), (height, width)),
        grid_size=(height, width),
        temporal_size=clip.frames,
        interpolation_scale=(1.0, 1.0, 1.0),
    )
    positions = torch.cartesian_prod(grid_t.long(), grid_h.long(), grid_w.long())
    return (freqs_t, freqs_h, freqs_w), tuple(positions.T[:, None])


def _numbered(pattern: str, count: int = 2) -> tuple[str, ...]:
    return tuple(pattern.format(number) for number in range(count))


_UNET_SETTINGS = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "cross_attention_dim": TEXT_WIDTH,
    "norm_num_groups": 4,
}
_UNET3D_SETTINGS = {
    **_UNET_SETTINGS,
    "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"),
    "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"),
    "attention_head_dim": 4,
}
_UNET3D_LAYERS = tuple(
    f"{block}.transformer_blocks.0.attn{number}"
    for block in (
        "transformer_in",
        "down_blocks.0.temp_attentions.0",
        "up_blocks.1.temp_attentions.0",
        "up_blocks.1.temp_attentions.1",
        "mid_block.temp_attentions.0",
    )
    for number in (1, 2)
)
_WAN_SETTINGS = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": TEXT_WIDTH,
    "freq_dim": 8,
    "ffn_dim": 16,
    "num_layers": 2,
}
_WAN = Specimen(_WAN_SETTINGS, _transformer(), _numbered("blocks.{}.attn1"))
_COGVIDEOX = Specimen(
    {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 4,
        "time_embed_dim": 8,
        "text_embed_dim": TEXT_WIDTH,
        "num_layers": 2,
        "sample_width": 8,
        "sample_height": 4,
        "sample_frames": 13,
        "max_text_seq_length": TEXT,
        "use_rotary_positional_embeddings": True,
    },
    _transformer(_frames_first(4), image_rotary_emb=_rotations(16)),
    _numbered("transformer_blocks.{}.attn1"),
    text_first=_numbered("transformer_blocks.{}.attn1"),
    positions="patch_embed",
)

EVERY_KIND: dict[str, Specimen] = {
    "UNet3DConditionModel": Specimen(_UNET3D_SETTINGS, _unet, _UNET3D_LAYERS, patch=(1, 1, 1), rows=True),
    "I2VGenXLUNet": Specimen(
        _UNET3D_SETTINGS,
        lambda clip: {
            **_unet(clip),
            "fps": torch.full((clip.batch,), 8),
            "image_latents": _channels_first(4)(clip),
            "image_embeddings": torch.randn(clip.batch, TEXT_WIDTH),
        },
        _UNET3D_LAYERS,
        patch=(1, 1, 1),
        rows=True,
    ),
    "UNetMotionModel": Specimen(
        {
            **_UNET_SETTINGS,
            "down_block_types": ("CrossAttnDownBlockMotion", "DownBlockMotion"),
            "up_block_types": ("UpBlockMotion", "CrossAttnUpBlockMotion"),
            "num_attention_heads": 2,
            "motion_num_attention_heads": 2,
        },
        lambda clip: {**_unet(clip), "encoder_hidden_states": torch.randn(clip.batch * clip.frames, TEXT, TEXT_WIDTH)},
        tuple(
            f"{block}.transformer_blocks.0.attn{number}"
            for block in (
                "down_blocks.0.motion_modules.0",
                "down_blocks.1.motion_modules.0",
                "up_blocks.0.motion_modules.0",
                "up_blocks.0.motion_modules.1",
                "up_blocks.1.motion_modules.0",
                "up_blocks.1.motion_modules.1",
                "mid_block.motion_modules.0",
            )
            for number in (1, 2)
        ),
        patch=(1, 1, 1),
        rows=True,
    ),
    "UNetSpatioTemporalConditionModel": Specimen(
        {
            "sample_size": 8,
            "in_channels": 8,
            "out_channels": 4,
            "block_out_channels": (32, 64),  # its groups are 32
            "down_block_types": ("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
            "up_block_types": ("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
            "layers_per_block": 1,
            "cross_attention_dim": TEXT_WIDTH,
            "num_attention_heads": (2, 2),
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 24,
        },
        lambda clip: {
            "sample": _frames_first(8)(clip),
            "timestep": torch.tensor(1.2),
            "encoder_hidden_states": torch.randn(clip.batch, 1, TEXT_WIDTH),
            "added_time_ids": torch.tensor([[6.0, 127.0, 0.02]] * clip.batch),
        },
        tuple(
            f"{block}.temporal_transformer_blocks.0.attn1"
            for block in (
                "down_blocks.0.attentions.0",
                "up_blocks.1.attentions.0",
                "up_blocks.1.attentions.1",
                "mid_block.attentions.0",
            )
        ),
        patch=(1, 1, 1),
        rows=True,
    ),
    "LatteTransformer3DModel": Specimen(
        {
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "in_channels": 4,
            "out_channels": 8,
            "num_layers": 2,
            "cross_attention_dim": 16,
            "sample_size": 8,
            "patch_size": 2,
            "norm_type": "ada_norm_single",
            "norm_elementwise_affine": False,
            "caption_channels": TEXT_WIDTH,
            "video_length": 4,
        },
        _transformer(),
        _numbered("temporal_transformer_blocks.{}.attn1"),
        rows=True,
        sizes=(Clip(1, 4, 8, 4),),  # it takes no other number of frames
    ),
    "WanTransformer3DModel": _WAN,
    "WanVACETransformer3DModel": Specimen(
        {**_WAN_SETTINGS, "vace_layers": [0], "vace_in_channels": 6},
        _transformer(control_hidden_states=_channels_first(6)),
        (*_numbered("blocks.{}.attn1"), "vace_blocks.0.attn1"),
    ),
    "SkyReelsV2Transformer3DModel": _WAN,
    "ChronoEditTransformer3DModel": dataclasses.replace(_WAN, sizes=(Clip(1, 6, 4, 8), Clip(1, 4, 8, 4))),
    "AnyFlowTransformer3DModel": Specimen(
        _WAN_SETTINGS,
        _transformer(
            _frames_first(4),
            timestep=lambda clip: torch.full((clip.batch, clip.frames), 700.0),
            r_timestep=lambda clip: torch.full((clip.batch, clip.frames), 300.0),
        ),
        _numbered("blocks.{}.attn1"),
    ),
    "CogVideoXTransformer3DModel": _COGVIDEOX,
    "ConsisIDTransformer3DModel": _COGVIDEOX,
    "HunyuanVideoTransformer3DModel": Specimen(
        {
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "num_layers": 2,
            "num_single_layers": 2,
            "num_refiner_layers": 1,
            "patch_size": 2,
            "patch_size_t": 1,
            "text_embed_dim": TEXT_WIDTH,
            "pooled_projection_dim": 8,
            "rope_axes_dim": (4, 4, 4),
        },
        _transformer(
            encoder_attention_mask=_mask,
            pooled_projections=lambda clip: torch.randn(clip.batch, 8),
            guidance=lambda clip: _times(clip, 6000.0),
        ),
        (*_numbered("transformer_blocks.{}.attn"), *_numbered("single_transformer_blocks.{}.attn")),
    ),
    "HunyuanVideo15Transformer3DModel": Specimen(
        {
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "num_layers": 2,
            "num_refiner_layers": 1,
            "patch_size": 2,
            "text_embed_dim": TEXT_WIDTH,
            "text_embed_2_dim": 12,
            "image_embed_dim": 8,
            "rope_axes_dim": (4, 4, 4),
            "target_size": 16,
            "task_type": "t2v",
        },
        _transformer(
            encoder_attention_mask=_mask,
            encoder_hidden_states_2=lambda clip: torch.randn(clip.batch, 2, 12),
            encoder_attention_mask_2=lambda clip: torch.ones(clip.batch, 2, dtype=torch.long),
            image_embeds=lambda clip: torch.zeros(clip.batch, 2, 8),
        ),
        _numbered("transformer_blocks.{}.attn"),
    ),
    "LTXVideoTransformer3DModel": Specimen(
        {
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "cross_attention_dim": 16,
            "num_layers": 2,
            "caption_channels": TEXT_WIDTH,
        },
        _transformer(
            lambda clip: torch.randn(clip.batch, clip.frames * clip.height * clip.width, 4),
            encoder_attention_mask=_mask,
            num_frames=lambda clip: clip.frames,
            height=lambda clip: clip.height,
            width=lambda clip: clip.width,
        ),
        _numbered("transformer_blocks.{}.attn1"),
        patch=(1, 1, 1),
    ),
    "LTX2VideoTransformer3DModel": Specimen(
        {
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "cross_attention_dim": 16,
            "audio_in_channels": 4,
            "audio_out_channels": 4,
            "audio_num_attention_heads": 2,
            "audio_attention_head_dim": 4,
            "audio_cross_attention_dim": 8,
            "num_layers": 2,
            "caption_channels": TEXT_WIDTH,
        },
        _transformer(
            lambda clip: torch.randn(clip.batch, clip.frames * clip.height * clip.width, 4),
            audio_hidden_states=lambda clip: torch.randn(clip.batch, 5, 4),
            audio_encoder_hidden_states=_text,
            num_frames=lambda clip: clip.frames,
            height=lambda clip: clip.height,
            width=lambda clip: clip.width,
            audio_num_frames=lambda clip: 5,
        ),
        _numbered("transformer_blocks.{}.attn1"),
        patch=(1, 1, 1),
    ),
    "MochiTransformer3DModel": Specimen(
        {
            "patch_size": 2,
            "num_attention_heads": 2,
            "attention_head_dim": 8,
            "num_layers": 2,
            "pooled_projection_dim": 8,
            "in_channels": 4,
            "text_embed_dim": TEXT_WIDTH,
            "time_embed_dim": 8,
            "max_sequence_length": TEXT,
        },
        _transformer(encoder_attention_mask=lambda clip: _mask(clip, torch.bool)),
        _numbered("transformer_blocks.{}.attn1"),
    ),
    "AllegroTransformer3DModel": Specimen(
        {
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "in_channels": 4,
            "out_channels": 4,
            "num_layers": 2,
            "cross_attention_dim": 24,
            "sample_width": 8,
            "sample_height": 4,
            "sample_frames": 4,
            "caption_channels": TEXT_WIDTH,
        },
        _transformer(encoder_attention_mask=_mask, image_rotary_emb=_allegro_rotations),
        _numbered("transformer_blocks.{}.attn1"),
        positions="pos_embed",
    ),
    "EasyAnimateTransformer3DModel": Specimen(
        {
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "in_channels": 4,
            "out_channels": 4,
            "patch_size": 2,
            "sample_width": 8,
            "sample_height": 4,
            "num_layers": 2,
            "mmdit_layers": 1,  # the second layer sees text and video in one
            "time_embed_dim": 8,
            "text_embed_dim": TEXT_WIDTH,
        },
        _transformer(),
        _numbered("transformer_blocks.{}.attn1"),
        text_first=("transformer_blocks.1.attn1",),
        positions="rope_embedding",
    ),
    "Kandinsky5Transformer3DModel": Specimen(
        {
            "in_visual_dim": 4,
            "out_visual_dim": 4,
            "in_text_dim": TEXT_WIDTH,
            "in_text_dim2": 8,
            "time_dim": 8,
            "model_dim": 24,
            "ff_dim": 16,
            "num_text_blocks": 1,
            "num_visual_blocks": 2,
            "axes_dims": (4, 4, 4),
        },
        _transformer(
            lambda clip: torch.randn(clip.batch, clip.frames, clip.height, clip.width, 4),
            pooled_projections=lambda clip: torch.randn(clip.batch, 8),
            visual_rope_pos=lambda clip: [
                torch.arange(clip.frames),
                torch.arange(clip.height // 2),
                torch.arange(clip.width // 2),
            ],
            text_rope_pos=lambda clip: torch.arange(TEXT),
        ),
        _numbered("visual_transformer_blocks.{}.self_attention"),
        projections=("to_query", "to_key", "to_value"),
        positions="visual_rope_embeddings",
    ),
    "CosmosTransformer3DModel": Specimen(
        {
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "num_layers": 2,
            "text_embed_dim": TEXT_WIDTH,
            "adaln_lora_dim": 4,
            "max_size": (8, 16, 16),
            "concat_padding_mask": False,
        },
        _transformer(timestep=lambda clip: _times(clip, 0.7), fps=lambda clip: 8),
        _numbered("transformer_blocks.{}.attn1"),
    ),
    "SanaVideoTransformer3DModel": Specimen(
        {
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "num_layers": 2,
            "num_cross_attention_heads": 2,
            "cross_attention_head_dim": 12,
            "cross_attention_dim": 24,
            "caption_channels": TEXT_WIDTH,
            "sample_size": 8,
        },
        _transformer(),
        _numbered("transformer_blocks.{}.attn1"),
    ),
    "MotifVideoTransformer3DModel": Specimen(
        {
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 12,
            "num_layers": 2,
            "num_single_layers": 2,
            "text_embed_dim": TEXT_WIDTH,
            "rope_axes_dim": (4, 4, 4),
        },
        _transformer(encoder_attention_mask=_mask),
        (*_numbered("transformer_blocks.{}.attn"), *_numbered("single_transformer_blocks.{}.attn")),
    ),
}
# Those that this version of diffusers has.
ZOO = {name: specimen for name, specimen in EVERY_KIND.items() if hasattr(diffusers, name)}
