"""Recomputing activations in the backward pass instead of keeping them, with weights on the device or elsewhere.

`UNet3DConditionModel` refuses diffusers' `enable_gradient_checkpointing()`, so layers are wrapped here for the
duration of a training run. The table of model classes says which ones.
"""

import contextlib
import functools
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.training.config import TrainingConfig
from diffusers_motion_embed.training.losses import LOSSES


def streamed_layers(model: nn.Module, config: TrainingConfig) -> str | None:
    """Regular expression for the layers whose weights may be away in training; None if the model has to be whole.

    A LoRA that is trained beside the embedding would be away too.
    """
    architecture = find_architecture(model)
    return architecture.layers if architecture.streams and not LOSSES[config.loss].trains_spatial_lora else None


@contextlib.contextmanager
def recomputation(
    model: nn.Module, paths: str | None, device: torch.device | None = None, away: Collection[nn.Module] = ()
) -> Iterator[None]:
    """Recompute some of the model's layers, then restore them.

    Args:
        model: Any model.
        paths: Regular expression for the paths of these layers, such as `Architecture.layers`; None recomputes none.
        device: Where the model computes; needed if some layers are away.
        away: Those of them whose weights are elsewhere, and come while they compute, forward and again backward. These
            weights get no gradients.
    """
    layers = [module for path, module in model.named_modules() if paths and re.fullmatch(paths, path)]
    before = [vars(layer).get("forward") for layer in layers]  # hooks of diffusers are an instance's own forward
    for layer in layers:
        forward = layer.forward
        if device is not None and layer in away:
            forward = functools.partial(_with_weights, forward, layer, device)
        # The model is in evaluation mode, so that nothing in it is random.
        layer.forward = functools.partial(checkpoint, forward, use_reentrant=False, preserve_rng_state=False)
    try:
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            if own is None:
                del layer.forward  # so that the class's shows again
            else:
                layer.forward = own


def _with_weights(
    forward: Callable[..., Any], layer: nn.Module, device: torch.device, *args: Any, **kwargs: Any
) -> Any:
    """A forward pass with copies of the weights on the device, which live as long as the backward pass needs them."""
    away = [
        (module, name, weight)
        for module in layer.modules()
        for name, weight in module._parameters.items()
        if weight is not None
    ]
    try:
        # Other objects rather than other data: autograd keeps frozen weights themselves, which would be away again.
        for module, name, weight in away:
            module._parameters[name] = nn.Parameter(_fetched(weight.data, device), requires_grad=False)
        return forward(*args, **kwargs)
    finally:
        for module, name, weight in away:
            module._parameters[name] = weight


def _fetched(weight: Tensor, device: torch.device) -> Tensor:
    return weight.to(device, non_blocking=True)
