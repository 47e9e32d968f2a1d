"""The table of model classes: which attention layers of each mix frames, and how to try a class out without weights.

Models are known by the names of their classes, so nothing of diffusers is imported. A new class is one entry here.
"""

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diffusers_motion_embed.errors import UnsupportedModelError


# The authors adapt the layers of 1280 channels, ZeroScope's deep blocks (the defaults of their published code). A
# model that has none is too small to tell deep blocks from shallow ones.
LARGE_WIDTH = 1280


@dataclass(frozen=True)
class Architecture:
    """What is particular to one model class.

    Args:
        model_class: Name of the diffusers class; subclasses count as well.
        attention: Regular expression for the paths of the attention layers that mix frames. Its group "pictures" is
            the path of the module around the attention that receives (batch · frames, channels, height, width).
        default_paths: Regular expression for the layers that may be adapted when nobody says which.
        component: Name under which pipelines hold the model.
        layers: Regular expression for the paths of the layers between which activations can be forgotten in training.
        text_per_frame: Whether the model wants the text features once for every frame, (batch · frames, tokens,
            channels), rather than once for every clip.
        spatial_attention: Regular expression for the paths of the attention layers that see single frames; None if
            there are none.
        timestep_position: Of the timestep among the arguments of the model's forward.
        num_train_timesteps: The timestep of pure noise.
    """

    model_class: str
    attention: str
    default_paths: str
    component: str
    layers: str
    text_per_frame: bool
    spatial_attention: str | None = None
    timestep_position: int = 1
    num_train_timesteps: int = 1000

    def place(self, path: str) -> tuple[str | int, ...]:
        """Where in the model the attention at `path` is, in the words of LoRA's block scales.

        Returns:
            Section, block if the section has several, and number of the temporal transformer in it: ("down",
            "block_1", 0), ("mid", 0) or ("transformer_in",).
        """
        section, *names = self.picture_module(path).split(".")
        *blocks, transformer = [name for name in names if name.isdigit()] or [None]
        place = (section.removesuffix("s").removesuffix("_block"), *(f"block_{number}" for number in blocks))
        return place if transformer is None else (*place, int(transformer))

    def picture_module(self, path: str) -> str:
        """Path of the module that shows the grid of positions of the attention at `path`."""
        return re.fullmatch(self.attention, path)["pictures"]

    def default_targets(self, paths: list[str], widths: list[int]) -> list[str]:
        """The layers to adapt when nobody says which: of a large model the widest ones, as in the paper.

        Args:
            paths: Of all layers that mix frames.
            widths: Their numbers of channels.
        """
        candidates = [pair for pair in zip(paths, widths, strict=True) if re.fullmatch(self.default_paths, pair[0])]
        widest = max((width for _, width in candidates), default=0)
        least = widest if widest >= LARGE_WIDTH else 0
        return [path for path, width in candidates if width >= least]

    def attention_paths(self, model: nn.Module) -> list[str]:
        """Paths of all attention layers of `model` that mix frames, in the model's order."""
        return [path for path, _ in model.named_modules() if re.fullmatch(self.attention, path)]

    def text_features(self, prompt_embeds: Tensor, num_frames: int) -> Tensor:
        """Text features as the model wants them, from (batch, tokens, channels)."""
        return prompt_embeds.repeat_interleave(num_frames, dim=0) if self.text_per_frame else prompt_embeds

    def dry_run_inputs(self, model: nn.Module, num_frames: int, height: int, width: int) -> dict[str, Any]:
        """Arguments of a forward pass without numbers (torch's meta device), at a latent size."""
        config = model.config
        cross_attention_dim = config.cross_attention_dim
        if isinstance(cross_attention_dim, (list, tuple)):
            cross_attention_dim = cross_attention_dim[0]
        inputs = {
            "sample": torch.empty(1, config.in_channels, num_frames, height, width, device="meta"),
            "timestep": torch.empty(1, dtype=torch.long, device="meta"),
            "encoder_hidden_states": self.text_features(
                torch.empty(1, 1, cross_attention_dim, device="meta"), num_frames
            ),
        }
        if getattr(config, "addition_embed_type", None) == "text_time":
            width_of_ids = 6 * config.addition_time_embed_dim
            text_width = config.projection_class_embeddings_input_dim - width_of_ids
            inputs["added_cond_kwargs"] = {
                "text_embeds": torch.empty(1, text_width, device="meta"),
                "time_ids": torch.empty(1, 6, device="meta"),
            }
        return inputs


_TEMPORAL_BLOCKS = r"(?:down_blocks\.\d+|mid_block|up_blocks\.\d+)"
_LAYERS = rf"{_TEMPORAL_BLOCKS}\.\w+\.\d+"
_SPATIAL_ATTENTION = rf"{_TEMPORAL_BLOCKS}\.attentions\.\d+\.transformer_blocks\.\d+\.attn[12]"

ARCHITECTURES = (
    Architecture(
        model_class="UNet3DConditionModel",  # ZeroScope, ModelScope, VideoCrafter2
        attention=rf"(?P<pictures>{_TEMPORAL_BLOCKS}\.temp_attentions\.\d+|transformer_in)"
        r"\.transformer_blocks\.\d+\.attn[12]",
        default_paths=r"(down|up)_blocks\..*",
        component="unet",
        layers=_LAYERS,
        text_per_frame=False,
        spatial_attention=_SPATIAL_ATTENTION,
    ),
    Architecture(
        model_class="UNetMotionModel",  # AnimateDiff
        attention=rf"(?P<pictures>{_TEMPORAL_BLOCKS}\.motion_modules\.\d+)\.transformer_blocks\.\d+\.attn[12]",
        default_paths=r"(down|up)_blocks\..*",
        component="unet",
        layers=_LAYERS,
        text_per_frame=True,
        spatial_attention=_SPATIAL_ATTENTION,
    ),
)


def find_architecture(model: nn.Module) -> Architecture:
    """The table entry for a model.

    Raises:
        UnsupportedModelError: If there is none for the model's class or its base classes.
    """
    names = [cls.__name__ for cls in type(model).__mro__]
    for architecture in ARCHITECTURES:
        if architecture.model_class in names:
            return architecture
    supported = ", ".join(architecture.model_class for architecture in ARCHITECTURES)
    raise UnsupportedModelError(
        f"{type(model).__name__} takes no motion embeddings. Supported model classes: {supported}."
    )
