"""Putting motion layers on attention layers, and keeping their hooks in place whatever happens to the projections."""

from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from diffusers_motion_embed.adapter.layer import MotionEmbeddingLayer


CHILD_NAME = "motion_embedding"

# What the projections of the supported attention classes are called, and which hook of the layer belongs there.
PROJECTION_HOOKS = {
    "to_q": "add_to_query_or_key",
    "to_query": "add_to_query_or_key",
    "to_k": "add_to_query_or_key",
    "to_key": "add_to_query_or_key",
    "to_v": "add_to_value",
    "to_value": "add_to_value",
    "to_qkv": "refuse_fused",
}


def attach(attention: nn.Module, size_module: nn.Module, layer: MotionEmbeddingLayer) -> None:
    """Make `layer` the motion layer of `attention`. Doing so again changes nothing.

    Args:
        attention: The layer to adapt, with projections for query, key and value.
        size_module: The module around the attention whose input shows the clip's size.
        layer: Holds the embeddings.
    """
    follow_new_projections()
    if attention._modules.get(CHILD_NAME) is not layer:
        attention.add_module(CHILD_NAME, layer)
    for name in PROJECTION_HOOKS:
        projection = getattr(attention, name, None)
        if isinstance(projection, nn.Module):
            _hook(layer, projection, name)
    if not _is_hooked(size_module, layer):
        size_module.register_forward_pre_hook(layer.observe_size, with_kwargs=True)


def detach(model: nn.Module, layer: MotionEmbeddingLayer) -> None:
    """Undo `attach`, wherever in the model the layer sits by now, so that nothing of it is left."""
    for module in list(model.modules()):
        _remove_hooks(module, layer)
        if module._modules.get(CHILD_NAME) is layer:
            delattr(module, CHILD_NAME)


def attach_observer(model: nn.Module, observer: Any) -> None:
    """Have `observer.observe_timestep` called before every forward pass of `model`. Doing so again changes nothing."""
    if not _is_hooked(model, observer):
        model.register_forward_pre_hook(observer.observe_timestep, with_kwargs=True)


def detach_observer(model: nn.Module, observer: Any) -> None:
    """Undo `attach_observer`."""
    _remove_hooks(model, observer)


# Hooks are recognised by what they call, not by stored handles, which a copied module would not have.


def _is_hooked(module: nn.Module, owner: Any) -> bool:
    return any(getattr(hook, "__self__", None) is owner for hook in module._forward_pre_hooks.values())


def _remove_hooks(module: nn.Module, owner: Any) -> None:
    for key, hook in list(module._forward_pre_hooks.items()):
        if getattr(hook, "__self__", None) is owner:
            del module._forward_pre_hooks[key]
            module._forward_pre_hooks_with_kwargs.pop(key, None)


def _hook(layer: MotionEmbeddingLayer, projection: nn.Module, name: str) -> None:
    below = [module for module in projection.modules() if module is not projection]
    if _is_hooked(projection, layer) and not any(_is_hooked(module, layer) for module in below):
        return
    # A new projection may wrap the old one (a LoRA does); the embedding must enter once, at the outermost.
    for module in (projection, *below):
        _remove_hooks(module, layer)
    projection.register_forward_pre_hook(getattr(layer, PROJECTION_HOOKS[name]))


def _on_registration(parent: nn.Module, name: str, module: nn.Module | None) -> None:
    layer = parent._modules.get(CHILD_NAME) if name in PROJECTION_HOOKS else None
    if isinstance(layer, MotionEmbeddingLayer) and isinstance(module, nn.Module):
        _hook(layer, module, name)


_registration_hook = None


def follow_new_projections() -> None:
    """Have torch tell us of every module that is assigned as a projection. Repeated calls do nothing."""
    global _registration_hook
    if _registration_hook is None:
        _registration_hook = register_module_module_registration_hook(_on_registration)


def base_module(projection: nn.Module) -> nn.Module:
    """The original projection below any LoRA."""
    while hasattr(projection, "base_layer"):
        projection = projection.base_layer
    return projection


def query_projection(attention: nn.Module) -> nn.Module:
    """The original query projection of `attention`."""
    return base_module(attention.to_q if hasattr(attention, "to_q") else attention.to_query)


def embed_dim(attention: nn.Module) -> int:
    """Number of channels that enter the projections of `attention`."""
    return query_projection(attention).in_features
