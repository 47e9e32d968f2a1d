"""LoRAs of PEFT on a pipeline's model, for the methods that train them."""

import contextlib
from collections.abc import Iterator
from typing import Any

from peft import LoraConfig
from torch import nn

from benchmarks.peers.training import only_trained
from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed.adapter.attachment import PROJECTION_PRE_HOOKS
from diffusers_motion_embed.training.spatial_lora import remove_spatial_lora


TEMPORAL = "temporal"


@contextlib.contextmanager
def without_loras(pipe: Any, model: nn.Module) -> Iterator[None]:
    """Takes off what was put on the model meanwhile.

    Raises:
        ValueError: If it has LoRAs already.
    """
    if getattr(model, "peft_config", None):
        raise ValueError("The pipeline has LoRAs already; call unload_lora_weights() first.")
    enable_motion_embedding(pipe)  # some classes of diffusers have no LoRA methods without it
    with only_trained(model, {}):
        try:
            yield
        finally:
            if getattr(model, "peft_config", None):
                remove_spatial_lora(model)


def add_temporal_lora(model: nn.Module, paths: list[str], rank: int) -> dict[str, nn.Parameter]:
    """A fresh LoRA on all projections of attention layers.

    Args:
        model: Of a diffusers pipeline.
        paths: Of the attention layers.
        rank: Of the LoRA.

    Returns:
        Its parameters by name.
    """
    names = [*PROJECTION_PRE_HOOKS, "to_out.0"]
    modules = dict(model.named_modules())
    targets = [f"{path}.{name}" for path in paths for name in names if f"{path}.{name}" in modules]
    model.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets), adapter_name=TEMPORAL)
    named = model.named_parameters()
    return {name: parameter for name, parameter in named if ".lora_" in name and f".{TEMPORAL}." in name}
