"""The LoRA of the hybrid loss: it learns how single frames look, so that the embedding does not have to.

MotionDirector (arXiv 2310.08465) trains it on single frames and leaves it out at inference.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers.models.modeling_utils import ModelMixin
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor

from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.errors import UnsupportedModelError
from diffusers_motion_embed.values import expanded


NAME = "spatial"
PROJECTIONS = r"to_q|to_k|to_v|to_out\.0"


def add_spatial_lora(model: ModelMixin, rank: int) -> dict[str, Tensor]:
    """Put a fresh LoRA on the attention layers that see single frames.

    Args:
        model: A diffusers model without LoRAs.
        rank: Rank of the LoRA.

    Returns:
        Its trainable parameters by name.

    Raises:
        UnsupportedModelError: If the model has no such layers, or has LoRAs already.
    """
    attention = find_architecture(model).spatial_attention
    if attention is None:
        raise UnsupportedModelError(
            f"{type(model).__name__} has no spatial attention that takes a LoRA, so the loss 'debiased_hybrid' cannot "
            "be used; use 'debiased_temporal'."
        )
    if not hasattr(model, "add_adapter"):
        raise UnsupportedModelError(
            f"{type(model).__name__} has no LoRA methods, which the loss 'debiased_hybrid' needs. Call "
            "enable_motion_embedding(pipe) first, which adds them."
        )
    if getattr(model, "peft_config", None):
        raise UnsupportedModelError(
            "The loss 'debiased_hybrid' trains a LoRA of its own and needs a model without others: call "
            "unload_lora_weights() first."
        )
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=rf"{attention}\.({PROJECTIONS})")
    model.add_adapter(config, adapter_name=NAME)
    return {name: parameter for name, parameter in model.named_parameters() if ".lora_" in name}


def save_spatial_lora(pipe: Any, model: ModelMixin, folder: str | Path) -> None:
    """Write the LoRA as an ordinary LoRA file of diffusers."""
    layers: Mapping[str, Tensor] = get_peft_model_state_dict(model, adapter_name=NAME)
    pipe.save_lora_weights(expanded(folder), unet_lora_layers=layers)


def remove_spatial_lora(model: ModelMixin) -> None:
    """Take the LoRA off. The model is then what it was before."""
    model.unload_lora()
    del model._hf_peft_config_loaded  # which diffusers leaves behind; the class's own value is what it was
