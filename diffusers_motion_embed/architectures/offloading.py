"""Pipelines whose weights are elsewhere until they are needed: accelerate's offloading, and diffusers' by groups."""

import contextlib
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
def whole_on_device(pipe: Any, model: nn.Module) -> Iterator[None]:
    """Keep a model of the pipeline on its device as if it were not offloaded, then offload it as before.

    Args:
        pipe: The pipeline, offloaded or not.
        model: One of its models. It may get further layers meanwhile.
    """
    offload_models(pipe)
    if not is_offloaded(model):
        yield
        return
    device, group = torch.device(pipe._execution_device), _get_top_level_group_offload_hook(model)
    if group is not None:
        with _without_groups(model, group.config, device):
            yield
        return
    is_sequential = not getattr(pipe, "_all_hooks", None)
    remove_hook_from_module(model, recurse=True)
    model.to(device)
    try:
        yield
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
def _without_groups(model: nn.Module, config: Any, device: torch.device) -> Iterator[None]:
    registry = HookRegistry.check_if_exists_or_initialize(model)
    for name in GROUP_HOOKS:
        registry.remove_hook(name, recurse=True)
    model.to(device)
    try:
        yield
    finally:
        model.to(config.offload_device)
        _apply_group_offloading(model, config)
