"""Which models and which of their motion embeddings a call is about."""

from collections.abc import Iterable
from typing import Any

from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from diffusers_motion_embed.adapter.registry import (
    MotionEmbeddingRegistry,
    is_adapted_by_peft,
    registry_of,
    sync,
)
from diffusers_motion_embed.architectures import find_architecture, supported_models
from diffusers_motion_embed.architectures.components import expects_supported_model
from diffusers_motion_embed.errors import AdapterNameError, UnsupportedModelError


def models_of(pipe_or_model: Any) -> dict[str, ModelMixin]:
    """The models that take motion embeddings, by component name.

    Raises:
        UnsupportedModelError: If there is no such model.
    """
    models = supported_models(pipe_or_model)
    if not models:
        if isinstance(pipe_or_model, nn.Module):
            find_architecture(pipe_or_model)  # raises, with the supported classes
        if expects_supported_model(pipe_or_model):
            raise UnsupportedModelError(
                f"{type(pipe_or_model).__name__} has no model that takes motion embeddings yet: call "
                "load_components()."
            )
        raise UnsupportedModelError(
            f"{type(pipe_or_model).__name__} has no model that takes motion embeddings; give a video pipeline such as "
            "AnimateDiffPipeline or TextToVideoSDPipeline, or its model."
        )
    return models


def models_without_peft(pipe_or_model: Any) -> dict[str, ModelMixin]:
    """As `models_of`, for calls that do nothing where nothing is loaded.

    Raises:
        AdapterNameError: If a model has motion embeddings through PEFT, which only PEFT's own calls reach.
        UnsupportedModelError: If there is no such model.
    """
    models = models_of(pipe_or_model)
    if any(map(is_adapted_by_peft, models.values())):
        raise AdapterNameError(_nothing_loaded(models.values()))
    return models


def choose_embeddings(
    pipe_or_model: Any, adapter_names: str | list[str] | None = None
) -> list[tuple[ModelMixin, list[str]]]:
    """The models with motion embeddings, each with the named embeddings that it has.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        adapter_names: One name or several; all active ones by default.

    Raises:
        AdapterNameError: If a name is unknown, or nothing is loaded.
    """
    found = models_of(pipe_or_model).values()
    models = [model for model in found if registry_of(model).loaded]
    if not models:
        raise AdapterNameError(_nothing_loaded(found))
    names = [adapter_names] if isinstance(adapter_names, str) else adapter_names
    together = MotionEmbeddingRegistry()
    for model in models:
        together.loaded |= registry_of(model).loaded
        sync(model)
    together.require(names or [])
    return [
        (model, [name for name in (registry.active if names is None else names) if name in registry.loaded])
        for model, registry in ((model, registry_of(model)) for model in models)
    ]


def _nothing_loaded(models: Iterable[ModelMixin]) -> str:
    if any(map(is_adapted_by_peft, models)):
        return (
            "The model's motion embeddings were loaded through PEFT, so PEFT's own calls control them, such as "
            "set_adapter. To use this call, load them with load_motion_embedding(...) on the plain model instead."
        )
    return "No motion embedding is loaded; call load_motion_embedding(...) first."
