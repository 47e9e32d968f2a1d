"""Bytes of weights on the device while a component computes, by offloading and quantization."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from diffusers_motion_embed.estimate.live_bytes import stored_bytes


OFFLOADS = ("none", "model", "group", "sequential")
STREAMING = ("group", "sequential")  # in training, both bring one layer of the trained model at a time
QUANTIZATIONS = {"none": None, "8 bit": 8, "4 bit": 4}
BLOCK = 64  # numbers that share a float32 scale in 4 bits


def weight_bytes(module: nn.Module, bits: int | None = None) -> int:
    """Bytes of a module's weights, with those of its linear layers in so many bits."""
    linear = [each.weight for each in module.modules() if bits and isinstance(each, nn.Linear)]
    whole = stored_bytes([*module.parameters(), *module.buffers()])
    return whole - stored_bytes(linear) + sum(_quantized(weight, bits) for weight in linear if bits)


def resident_bytes(module: nn.Module, offload: str, bits: int | None = None) -> int:
    """Bytes of a component's weights that are on the device at a time while it computes.

    Args:
        module: The component.
        offload: One of `OFFLOADS`, as the pipeline's methods `enable_model_cpu_offload`, `enable_group_offload` (one
            block at a time) and `enable_sequential_cpu_offload` do it.
        bits: Of the weights of linear layers; None if they are not quantized.
    """
    largest = 0
    if bits == 4:  # one is unpacked at a time
        linear = [each.weight for each in module.modules() if isinstance(each, nn.Linear)]
        largest = max((weight.nbytes for weight in linear), default=0)
    if offload == "group":
        blocks = [weight_bytes(block, bits) for block in _blocks(module)]
        return weight_bytes(module, bits) - sum(blocks) + max(blocks, default=0) + largest
    if offload == "sequential":
        return max(_own_bytes(each, bits) for each in module.modules()) + largest
    return weight_bytes(module, bits) + largest


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """What diffusers' group offloading moves one by one."""
    inside = getattr(module, "_group_offload_block_modules", None) or ()
    for name, child in module.named_children():
        if name in inside:
            yield from _blocks(child)
        elif isinstance(child, (nn.ModuleList, nn.Sequential)):
            yield from child


def _own_bytes(module: nn.Module, bits: int | None) -> int:
    """Bytes of the weights that are in no module further down."""
    if isinstance(module, nn.Linear):
        return weight_bytes(module, bits)
    return sum(tensor.nbytes for tensor in module.parameters(recurse=False))


def _quantized(weight: Tensor, bits: int) -> int:
    scales = weight.numel() // BLOCK if bits == 4 else weight.shape[0]
    return weight.numel() * bits // 8 + scales * torch.float32.itemsize
