"""Gives a ready pipeline the motion embedding calls as methods."""

import functools
import inspect
import logging
import warnings
from collections.abc import Iterable, Sized
from typing import Any, TypeVar

from diffusers.loaders import PeftAdapterMixin
from diffusers.loaders.lora_base import LoraBaseMixin
from diffusers.models.modeling_utils import ModelMixin

from diffusers_motion_embed import controls, loaders, sharing
from diffusers_motion_embed._compat import take_lora_scales
from diffusers_motion_embed.adapter.registry import registry_of, sync
from diffusers_motion_embed.architectures import find_architecture, supported_models
from diffusers_motion_embed.architectures.components import expects_supported_model
from diffusers_motion_embed.architectures.conditioning import FRAMES, call_parameters
from diffusers_motion_embed.architectures.latents import check_arrangement
from diffusers_motion_embed.errors import UnsupportedModelError


logger = logging.getLogger(__name__)

P = TypeVar("P")

WINDOWS = ("base_num_frames", "num_frames_per_chunk")  # how many frames some pipelines make at once


class MotionEmbeddingLoaderMixin:
    """Motion embedding calls as methods of a pipeline. `enable_motion_embedding` gives them to any pipeline."""

    load_motion_embedding = loaders.load_motion_embedding
    set_motion_embeddings = controls.set_motion_embeddings
    set_motion_scale = controls.set_motion_scale
    set_motion_timing = controls.set_motion_timing
    set_motion_debias = controls.set_motion_debias
    set_motion_frame_policy = controls.set_motion_frame_policy
    set_motion_region = controls.set_motion_region
    get_list_motion_embeddings = controls.get_list_motion_embeddings
    get_active_motion_embeddings = controls.get_active_motion_embeddings
    enable_motion_embedding_layers = controls.enable_motion_embedding_layers
    disable_motion_embedding_layers = controls.disable_motion_embedding_layers
    delete_motion_embedding = loaders.delete_motion_embedding
    unload_motion_embedding = loaders.unload_motion_embedding
    save_motion_embedding = sharing.save_motion_embedding
    push_motion_embedding_to_hub = sharing.push_motion_embedding_to_hub


def enable_motion_embedding(pipe: P) -> P:
    """Give a pipeline the methods of `MotionEmbeddingLoaderMixin`. Repeated calls change nothing.

    The pipeline stays the same object. Its class becomes a subclass of the same name, so that what it saves still
    names the class of diffusers.

    The pipeline's LoRA calls then work even where diffusers lacks something for them: its text-to-video pipelines have
    the calls, but their `UNet3DConditionModel` lacks the methods that the calls need (diffusers 0.42.1).

    Args:
        pipe: A diffusers pipeline with a model that takes motion embeddings; a modular pipeline may get its models
            later, by `load_components()`.

    Returns:
        The same pipeline. Type checkers and editors still see its former type; after `assert isinstance(pipe,
        MotionEmbeddingLoaderMixin)` they know the methods of both.

    Raises:
        UnsupportedModelError: If it has no such model.
    """
    if isinstance(pipe, MotionEmbeddingLoaderMixin):
        return pipe
    if not hasattr(pipe, "components") or not (supported_models(pipe) or expects_supported_model(pipe)):
        raise UnsupportedModelError(
            f"{type(pipe).__name__} has no model that takes motion embeddings; give a video pipeline such as "
            "AnimateDiffPipeline or TextToVideoSDPipeline."
        )
    _repair_lora_calls(pipe)
    pipeline_class: type = type(pipe)
    pipe.__class__ = _enabled_class(pipeline_class)
    return pipe


def _repair_lora_calls(pipe: Any) -> None:
    if isinstance(pipe, LoraBaseMixin):
        for model in supported_models(pipe).values():
            _give_lora_methods(type(model))


def _give_lora_methods(model_class: type) -> None:
    # A base class rather than methods bound to the instance, which would not survive pickling, and rather than a
    # subclass, which `from_pipe` would take for a foreign component.
    if not issubclass(model_class, PeftAdapterMixin):
        model_class.__bases__ = (*model_class.__bases__, PeftAdapterMixin)
        take_lora_scales(model_class)


def _idle(models: Iterable[ModelMixin]) -> list[str]:
    """Names of the active embeddings that acted on none of the models that have them."""
    registries = list(map(registry_of, models))
    idle = [name for registry in registries for name in registry.idle()]
    acted = {name for registry in registries for name in registry.active if name not in registry.idle()}
    return [name for name in dict.fromkeys(idle) if name not in acted]


def _check_call(pipe: Any, arguments: dict[str, Any]) -> None:
    """Raise early for arguments that the model would fail at or, worse, misread."""
    given = {**arguments, **arguments.get("kwargs", {})}
    check_arrangement(pipe, given)
    frames = next((given[name] for name in FRAMES if given.get(name) is not None), None)
    if isinstance(given.get("video"), Sized):
        frames = len(given["video"])
    in_windows = getattr(pipe, "free_noise_enabled", False) or _makes_windows(pipe, given, frames)
    for model in supported_models(pipe).values():
        registry, architecture = registry_of(model), find_architecture(model)
        if in_windows and (names := registry.in_moving_regions()):
            raise ValueError(
                f"The motion embedding {names[0]!r} acts in a region that moves, and layers do not learn where a "
                "window of a longer clip starts. Give set_motion_region one mask for all frames, or make the clip "
                "without windows: pipe.disable_free_noise(), or fewer frames."
            )
        if registry.acting and given.get(architecture.pictures_before) is not None:
            raise ValueError(
                f"{type(pipe).__name__} gives its model {architecture.pictures_before} as frames before the clip, and "
                f"the motion embedding {registry.acting[0]!r} would act on them. Leave them out, or call "
                "pipe.disable_motion_embedding_layers()."
            )
        if frames is not None and not in_windows:
            architecture.check_frames(model, frames)


def _makes_windows(pipe: Any, given: dict[str, Any], frames: int | None) -> bool:
    """Whether the pipeline makes a long clip in several passes. Then it warns that each gets the whole motion."""
    defaults = call_parameters(pipe)
    length = next((given.get(name, defaults[name]) for name in WINDOWS if name in defaults), None)
    frames = defaults.get("num_frames") if frames is None else frames
    if not isinstance(length, int) or not isinstance(frames, int) or frames <= length:
        return False
    if any(registry_of(model).acting for model in supported_models(pipe).values()):
        warnings.warn(
            f"{type(pipe).__name__} makes {frames} frames in windows of {length}, and the motion begins anew in each. "
            f"Make {length} frames at most to have it once.",
            stacklevel=4,
        )
    return True


@functools.cache
def _enabled_class(pipeline_class: type) -> type:
    @functools.wraps(pipeline_class.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        models = supported_models(self).values()
        try:
            bound = inspect.signature(pipeline_class.__call__).bind_partial(self, *args, **kwargs)
        except TypeError:
            return pipeline_class.__call__(self, *args, **kwargs)  # which says what it does not take
        _check_call(self, bound.arguments)
        for model in models:
            sync(model)  # other calls may have rebuilt blocks of the model
            registry_of(model).forget_action()
        result = pipeline_class.__call__(self, *args, **kwargs)
        for registry in map(registry_of, models):
            for name, frames, num_frames in registry.fitted():
                policy = registry.loaded[name].config.frame_policy
                logger.info("Motion embedding %r of %d frames: %s to %d frames", name, frames, policy, num_frames)
        for name in _idle(models):
            warnings.warn(
                f"The motion embedding {name!r} acts at noise levels that this call did not reach, as with a low "
                "strength in video-to-video. Let it act always with set_motion_timing(0.0, 1.0).",
                stacklevel=2,
            )
        return result

    def reduce(self: Any, protocol: int) -> tuple:
        return _rebuild, (pipeline_class,), self.__dict__

    def set_state(self: Any, state: dict) -> None:
        self.__dict__.update(state)
        _repair_lora_calls(self)  # a process that only unpickled the pipeline has not done so yet

    namespace = {
        "__call__": call,
        "__reduce_ex__": reduce,
        "__setstate__": set_state,
        "__doc__": pipeline_class.__doc__,
        "__module__": pipeline_class.__module__,
        "__qualname__": pipeline_class.__qualname__,
    }
    return type(pipeline_class.__name__, (MotionEmbeddingLoaderMixin, pipeline_class), namespace)


def _rebuild(pipeline_class: type) -> Any:
    enabled_class: Any = _enabled_class(pipeline_class)
    return enabled_class.__new__(enabled_class)
