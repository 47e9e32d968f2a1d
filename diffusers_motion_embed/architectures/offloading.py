"""Pipelines whose weights are elsewhere until they are needed: accelerate's offloading, and diffusers' by groups."""

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from accelerate import cpu_offload
from accelerate.hooks import AlignDevicesHook, ModelHook, SequentialHook, add_hook_to_module, remove_hook_from_module
from diffusers.hooks.group_offloading import _apply_group_offloading, _get_top_level_group_offload_hook
from diffusers.hooks.hooks import HookRegistry
from torch import nn


logger = logging.getLogger(__name__)

GROUP_HOOKS = ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading")


def is_offloaded(module: nn.Module) -> bool:
    """Whether hooks bring the weights of a pipeline's component to its device."""
    by_accelerate = any(_brings_weights(hook) for hook in _accelerate_hooks(module))
    return by_accelerate or _get_top_level_group_offload_hook(module) is not None


def _brings_weights(hook: ModelHook) -> bool:
    # A device map also puts hooks on weights that stay on one device. They bring only the inputs.
    return not isinstance(hook, AlignDevicesHook) or hook.offload


def _accelerate_hooks(module: nn.Module) -> Iterator[ModelHook]:
    for each in module.modules():
        hook = getattr(each, "_hf_hook", None)
        if hook is not None:
            yield from hook.hooks if isinstance(hook, SequentialHook) else (hook,)


def device_of(pipe: Any, module: Any) -> torch.device:
    """The device on which a component of the pipeline computes, wherever its weights are."""
    return torch.device(pipe._execution_device if is_offloaded(module) else module.device)


class Placed(NamedTuple):
    """Where a model computes, and those of its layers whose weights are elsewhere."""

    device: torch.device
    away: list[nn.Module]


@contextlib.contextmanager
def kept_on_device(pipe: Any, model: nn.Module, layers: str | None = None) -> Iterator[Placed]:
    """Keep a model of the pipeline on its device without hooks, then offload it as before.

    Args:
        pipe: The pipeline, offloaded or not.
        model: One of its models. It may get further layers meanwhile.
        layers: Regular expression for the paths of layers whose weights stay away from the device, if the model is
            offloaded by groups or sequentially: it may be larger than the device. None brings all, and so do quantized
            weights.
    """
    offload_models(pipe)
    if not is_offloaded(model):
        yield Placed(device_of(pipe, model), [])
        return
    device, group = torch.device(pipe._execution_device), _get_top_level_group_offload_hook(model)
    if group is not None:
        with _without_groups(model, group.config, device, layers) as placed:
            yield placed
        return
    is_sequential = any(isinstance(hook, AlignDevicesHook) and hook.offload for hook in _accelerate_hooks(model))
    hook = getattr(model, "_hf_hook", None)
    remove_hook_from_module(model, recurse=True)
    try:
        yield _place(model, device, layers if is_sequential else None)
    finally:
        model.to("cpu")
        if is_sequential:
            cpu_offload(model, device, offload_buffers=len(model._parameters) > 0)
        else:
            add_hook_to_module(model, hook)
            offload_models(pipe)


def offload_models(pipe: Any) -> None:
    """Take the components of a pipeline off its device again, if `enable_model_cpu_offload` was called.

    A call of the pipeline that is stopped leaves them there.
    """
    if getattr(pipe, "_all_hooks", None):
        pipe.maybe_free_model_hooks()


@contextlib.contextmanager
def _without_groups(model: nn.Module, config: Any, device: torch.device, layers: str | None) -> Iterator[Placed]:
    _bring_from_disk(model, config.offload_device)
    registry = HookRegistry.check_if_exists_or_initialize(model)
    for name in GROUP_HOOKS:
        registry.remove_hook(name, recurse=True)
    try:
        yield _place(model, device, layers)
    finally:
        model.to(config.offload_device)
        _apply_group_offloading(model, config)


def _place(model: nn.Module, device: torch.device, paths: str | None) -> Placed:
    """Bring a model to the device, but for the weights of the layers at these paths. It has no hooks any more."""
    tensors = [*model.parameters(), *model.buffers()]
    is_plain = all(type(t) in (nn.Parameter, torch.Tensor) and type(t.data) is torch.Tensor for t in tensors)
    if paths is None or not is_plain:
        model.to(device)
        return Placed(device, [])
    away = [module for path, module in model.named_modules() if re.fullmatch(paths, path)]
    staying = only_in(model, away)
    for tensor in tensors:
        if id(tensor) not in staying:
            tensor.data = tensor.data.to(device)
    logger.info("The weights of %d layers of %s come while they compute.", len(away), type(model).__name__)
    return Placed(device, away)


def only_in(model: nn.Module, layers: list[nn.Module]) -> set[int]:
    """The `id`s of the weights that no other module of the model shares with these layers."""
    inside = {module for layer in layers for module in layer.modules()}
    others = [module for module in model.modules() if module not in inside]
    shared = {id(weight) for module in others for weight in module.parameters(recurse=False)}
    return {id(weight) for layer in layers for weight in layer.parameters()} - shared


def _bring_from_disk(model: nn.Module, device: torch.device) -> None:
    """Read weights that are offloaded to files. Without their hooks, nobody else would."""
    hooks = [getattr(module, "_diffusers_hook", None) for module in model.modules()]
    found = [hook.get_hook(GROUP_HOOKS[0]) for hook in hooks if hook is not None]
    for group in {id(each.group): each.group for each in found if each is not None}.values():
        if group.offload_to_disk_path is not None:
            before, group.onload_device = group.onload_device, device
            try:
                group.onload_()
            finally:
                group.onload_device = before
