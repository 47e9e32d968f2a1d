"""Putting motion layers on attention layers, and keeping their hooks in place whatever happens to the projections."""

from typing import Any

import torch
import torch._dynamo
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from diffusers_motion_embed.adapter.layer import MotionEmbeddingLayer


CHILD_NAME = "motion_embedding"

# What the projections of the supported attention classes are called, and which pre-hook of the layer belongs there.
PROJECTION_PRE_HOOKS = {
    "to_q": "add_to_query_or_key",
    "to_query": "add_to_query_or_key",
    "to_k": "add_to_query_or_key",
    "to_key": "add_to_query_or_key",
    "to_v": "add_to_value",
    "to_value": "add_to_value",
}

# The same for fused projections, which need a hook for their output.
PROJECTION_HOOKS = {"to_qkv": "add_to_fused_query_key_value", "to_kv": "add_to_fused_key_value"}


def attach(module: nn.Module, size_module: nn.Module, layer: MotionEmbeddingLayer) -> None:
    """Make `layer` the motion layer of `module`. Repeated calls change nothing.

    Args:
        module: The attention to adapt, with projections for query, key and value; or the module at `Rotary.path`.
        size_module: The module around it whose input shows the clip's size.
        layer: Holds the embeddings.
    """
    follow_new_projections()
    if module._modules.get(CHILD_NAME) is not layer:
        module.add_module(CHILD_NAME, layer)
        forget_compiled()
    if not _is_hooked(size_module, layer):
        size_module.register_forward_pre_hook(layer.observe_size, with_kwargs=True)
        if layer.rotary is not None and layer.rotary.argument is not None:  # it needs the size
            size_module.register_forward_pre_hook(layer.move_given_positions, with_kwargs=True)
        forget_compiled()
    if layer.rotary is not None and layer.rotary.argument is None and not _is_hooked(module, layer):
        module.register_forward_hook(layer.move_made_positions)
        forget_compiled()
    for name in (*PROJECTION_PRE_HOOKS, *PROJECTION_HOOKS):
        projection = getattr(module, name, None)
        if isinstance(projection, nn.Module):
            _hook(layer, projection, name)


def detach(model: nn.Module, layer: MotionEmbeddingLayer) -> None:
    """Undo `attach`, wherever the layer now sits in the model. Nothing of it is left."""
    for module in list(model.modules()):
        _remove_hooks(module, layer)
        if module._modules.get(CHILD_NAME) is layer:
            delattr(module, CHILD_NAME)
    forget_compiled()


def attach_observer(model: nn.Module, observer: Any) -> None:
    """Have `observer.observe_timestep` called before every forward pass of `model`. Repeated calls change nothing."""
    if not _is_hooked(model, observer):
        model.register_forward_pre_hook(observer.observe_timestep, with_kwargs=True)
        forget_compiled()


def detach_observer(model: nn.Module, observer: Any) -> None:
    """Undo `attach_observer`."""
    _remove_hooks(model, observer)


def forget_compiled() -> None:
    """Drop the code that torch.compile made in this process. It is compiled again when it is needed.

    By default torch ignores a module's hooks when it decides whether compiled code still fits. A compiled model would
    then run as if hooks had never been added or removed, and a block with a motion would run the code of a block
    without one. Torch is therefore told to look at hooks, and this function is called whenever more than numbers
    changes in a model's computation. Code is compiled for a class of modules, not for one model, so nothing less can
    be dropped.
    """
    torch._dynamo.config.skip_nnmodule_hook_guards = False
    torch.compiler.reset()


# Hooks are recognised by what they call, not by stored handles, which a copied module would not have.


def _is_hooked(module: nn.Module, owner: Any) -> bool:
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    return any(getattr(hook, "__self__", None) is owner for hook in hooks)


def _remove_hooks(module: nn.Module, owner: Any) -> None:
    for hooks, flags in (
        (module._forward_pre_hooks, module._forward_pre_hooks_with_kwargs),
        (module._forward_hooks, module._forward_hooks_with_kwargs),
    ):
        for key, hook in list(hooks.items()):
            if getattr(hook, "__self__", None) is owner:
                del hooks[key]
                flags.pop(key, None)


def _hook(layer: MotionEmbeddingLayer, projection: nn.Module, name: str) -> None:
    below = [module for module in projection.modules() if module is not projection]
    if _is_hooked(projection, layer) and not any(_is_hooked(module, layer) for module in below):
        return
    # A new projection may wrap the old one (a LoRA does); the embedding must enter once, at the outermost.
    for module in (projection, *below):
        _remove_hooks(module, layer)
    if name in PROJECTION_HOOKS:
        projection.register_forward_hook(getattr(layer, PROJECTION_HOOKS[name]))
    else:
        projection.register_forward_pre_hook(getattr(layer, PROJECTION_PRE_HOOKS[name]))
    forget_compiled()


def _on_registration(parent: nn.Module, name: str, module: nn.Module | None) -> None:
    is_projection = name in PROJECTION_PRE_HOOKS or name in PROJECTION_HOOKS
    layer = parent._modules.get(CHILD_NAME) if is_projection else None
    if isinstance(layer, MotionEmbeddingLayer) and isinstance(module, nn.Module):
        _hook(layer, module, name)


_registration_hook = None


def follow_new_projections() -> None:
    """Have torch report every module that is assigned as a projection. Repeated calls do nothing."""
    global _registration_hook
    if _registration_hook is None:
        _registration_hook = register_module_module_registration_hook(_on_registration)


def query_projection(attention: nn.Module) -> nn.Linear:
    """The original query projection of `attention`, below any LoRA."""
    projection: Any = attention.to_q if hasattr(attention, "to_q") else attention.to_query
    while hasattr(projection, "base_layer"):
        projection = projection.base_layer
    return projection


def embed_dim(attention: nn.Module) -> int:
    """Number of channels that enter the projections of `attention`."""
    return query_projection(attention).in_features
