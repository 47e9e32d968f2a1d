"""Pipelines whose weights are elsewhere until they are needed: accelerate's offloading, and diffusers' by groups."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import cpu_offload
from accelerate.hooks import remove_hook_from_module
from diffusers.hooks.group_offloading import _apply_group_offloading, _get_top_level_group_offload_hook
from diffusers.hooks.hooks import HookRegistry
from torch import nn


GROUP_HOOKS = ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading")


def is_offloaded(module: nn.Module) -> bool:
    """Whether hooks bring the weights of a pipeline's component to its device."""
    has_hook = any(hasattr(each, "_hf_hook") for each in module.modules())
    return has_hook or _get_top_level_group_offload_hook(module) is not None


def device_of(pipe: Any, module: Any) -> torch.device:
    """The device on which a component of the pipeline computes, wherever its weights are."""
    return torch.device(pipe._execution_device if is_offloaded(module) else module.device)


@contextlib.contextmanager
def kept_on_device(pipe: Any, model: nn.Module, layers: str | None = None) -> Iterator[list[nn.Module]]:
    """Keep a model of the pipeline on its device without hooks, then offload it as before.

    Args:
        pipe: The pipeline, offloaded or not.
        model: One of its models. It may get further layers meanwhile.
        layers: Regular expression for the paths of layers whose weights stay away from the device, if the model is
            offloaded by groups or sequentially: it may be larger than the device. None brings all.

    Yields:
        The layers whose weights are away.
    """
    offload_models(pipe)
    if not is_offloaded(model):
        yield []
        return
    device, group = torch.device(pipe._execution_device), _get_top_level_group_offload_hook(model)
    if group is not None:
        with _without_groups(model, group.config, device, layers) as away:
            yield away
        return
    is_sequential = not getattr(pipe, "_all_hooks", None)
    remove_hook_from_module(model, recurse=True)
    try:
        yield _place(model, device, layers if is_sequential else None)
    finally:
        model.to("cpu")
        if is_sequential:
            cpu_offload(model, device, offload_buffers=len(model._parameters) > 0)
        else:
            offload_models(pipe)


def offload_models(pipe: Any) -> None:
    """Take the components of a pipeline off its device again, if `enable_model_cpu_offload` was called.

    A call of the pipeline that is stopped leaves them there.
    """
    if getattr(pipe, "_all_hooks", None):
        pipe.maybe_free_model_hooks()


@contextlib.contextmanager
def _without_groups(
    model: nn.Module, config: Any, device: torch.device, layers: str | None
) -> Iterator[list[nn.Module]]:
    _bring_from_disk(model, config.offload_device)
    registry = HookRegistry.check_if_exists_or_initialize(model)
    for name in GROUP_HOOKS:
        registry.remove_hook(name, recurse=True)
    try:
        yield _place(model, device, layers)
    finally:
        model.to(config.offload_device)
        _apply_group_offloading(model, config)


def _place(model: nn.Module, device: torch.device, layers: str | None) -> list[nn.Module]:
    """Bring a model to the device, but for the weights of these layers. It has no hooks any more.

    Returns:
        The layers whose weights are away: none if some weights are quantized, which cannot come and go.
    """
    tensors = [*model.parameters(), *model.buffers()]
    is_plain = all(type(t) in (nn.Parameter, torch.Tensor) and type(t.data) is torch.Tensor for t in tensors)
    away = outermost(model, layers) if is_plain and layers else []
    if not away:
        model.to(device)
        return []
    staying = {id(weight) for layer in away for weight in layer.parameters()}
    for tensor in tensors:
        if id(tensor) not in staying:
            tensor.data = tensor.data.to(device)
    return away


def _bring_from_disk(model: nn.Module, device: torch.device) -> None:
    """Read weights that are offloaded to files. Without their hooks, nobody else would."""
    hooks = [getattr(module, "_diffusers_hook", None) for module in model.modules()]
    found = [hook.get_hook(GROUP_HOOKS[0]) for hook in hooks if hook is not None]
    for group in {id(each.group): each.group for each in found if each is not None}.values():
        if group.offload_to_disk_path is not None:
            group.onload_device = device
            group.onload_()


def outermost(model: nn.Module, paths: str) -> list[nn.Module]:
    """The modules at these paths that are in no other of them."""
    found: dict[str, nn.Module] = {}
    for path, module in model.named_modules():  # from the outside in
        inside = any(path.startswith(f"{outer}.") for outer in found)
        if re.fullmatch(paths, path) and not inside:
            found[path] = module
    return list(found.values())
