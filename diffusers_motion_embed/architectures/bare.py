"""Models without the speed-ups for generation that stand in the way of training and inversion."""

import contextlib
from collections.abc import Iterator
from typing import Any

from diffusers.models.modeling_utils import ModelMixin

from diffusers_motion_embed.architectures.components import supported_models, unwrap
from diffusers_motion_embed.errors import UnsupportedModelError


# Names of diffusers' hooks that reuse what a model computed at an earlier step.
CACHES = (
    "faster_cache",
    "fbc_",
    "mag_cache",
    "pyramid_attention_broadcast",
    "sea_cache",
    "taylorseer",
    "text_kv_cache",
)


@contextlib.contextmanager
def bare_models(pipe: Any) -> Iterator[list[ModelMixin]]:
    """Use the pipeline's models alone: not wrapped, not compiled, without caches. They are restored afterwards.

    Args:
        pipe: A diffusers video pipeline.

    Returns:
        The models that take motion embeddings.

    Raises:
        UnsupportedModelError: If a cache was put on a model in a way that does not let it be switched off.
    """
    with contextlib.ExitStack() as stack:
        models = supported_models(pipe)
        for name, model in models.items():
            stack.enter_context(_alone(pipe, name))
            stack.enter_context(_uncompiled(model))
            stack.enter_context(_uncached(model))
        yield list(models.values())


@contextlib.contextmanager
def _alone(pipe: Any, name: str) -> Iterator[None]:
    # Not by assignment, which would change the pipeline's settings too.
    wrapped = vars(pipe)[name]
    vars(pipe)[name] = unwrap(wrapped)
    try:
        yield
    finally:
        vars(pipe)[name] = wrapped


@contextlib.contextmanager
def _uncompiled(model: ModelMixin) -> Iterator[None]:
    """Leave out the code of `model.compile()` and `compile_repeated_blocks()`, which is not made for training."""
    compiled = {module: module._compiled_call_impl for module in model.modules() if module._compiled_call_impl}
    for module in compiled:
        module._compiled_call_impl = None
    try:
        yield
    finally:
        for module, call in compiled.items():
            module._compiled_call_impl = call


@contextlib.contextmanager
def _uncached(model: ModelMixin) -> Iterator[None]:
    config = getattr(model, "_cache_config", None)
    if config is not None:
        model.disable_cache()
    try:
        _check_uncached(model)
        yield
    finally:
        if config is not None:
            model.enable_cache(config)


def _check_uncached(model: ModelMixin) -> None:
    registries = (getattr(module, "_diffusers_hook", None) for module in model.modules())
    hooks = (name for registry in registries if registry is not None for name in registry.hooks)
    found = next((name for name in hooks if name.startswith(CACHES)), None)
    if found is not None:
        raise UnsupportedModelError(
            f"The {type(model).__name__} has a cache ({found}) that cannot be switched off for this. Put it on with "
            "model.enable_cache(config) instead of a function such as apply_first_block_cache."
        )
