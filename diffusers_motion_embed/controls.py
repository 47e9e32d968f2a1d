"""How loaded motion embeddings act: which, how strongly, when. The names follow those of LoRAs.

Every function takes a pipeline or a bare model first. `pipelines.MotionEmbeddingLoaderMixin` has the same as methods.
"""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from diffusers_motion_embed.adapter.choice import choose_embeddings, models_of, models_without_peft
from diffusers_motion_embed.adapter.registry import registry_of, sync
from diffusers_motion_embed.adapter.scales import Scale
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.config import PARTS
from diffusers_motion_embed.errors import AdapterNameError, MotionScaleError
from diffusers_motion_embed.functional import Debias, FramePolicy


def set_motion_embeddings(
    pipe_or_model: Any, adapter_names: str | list[str], scales: Scale | list[Scale] = 1.0
) -> None:
    """Activate exactly the named motion embeddings; several active ones add up.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        adapter_names: One name or several.
        scales: One scale for all, or one for each; a scale as in `set_motion_scale`.

    Raises:
        AdapterNameError: If a name is unknown or given twice.
        MotionScaleError: If a scale is not finite, or there is not one for each name.
    """
    names = [adapter_names] if isinstance(adapter_names, str) else list(adapter_names)
    if len(set(names)) != len(names):
        raise AdapterNameError(f"Each motion embedding can be named once; got {names}.")
    if not isinstance(scales, (list, tuple)):
        scales = [scales] * len(names)
    if len(scales) != len(names):
        raise MotionScaleError(f"Got {len(scales)} scales for {len(names)} motion embeddings, {names}.")
    scale_of = dict(zip(names, scales, strict=True))
    chosen = choose_embeddings(pipe_or_model, names)
    _check_scales(chosen, scales)
    for model, here in chosen:
        registry_of(model).activate({name: scale_of[name] for name in here})
    for name, scale in scale_of.items():
        with_it = [(model, [name]) for model, here in chosen if name in here]
        _warn_of_missing(with_it, _parts_of(scale), "its scale")
        _warn_of_idle_scale(with_it, scale)


def set_motion_scale(pipe_or_model: Any, scale: Scale, adapter_name: str | None = None) -> None:
    """Set how strongly motion embeddings act: 1 as trained, 0 not at all, more than 1 to exaggerate.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        scale: A number; or numbers by part, {"qk": 1.0, "v": 0.5, "p": 1.2}; or either by block of the model, in the
            terms of LoRA's block scales: {"down": 0.5, "up": {"block_0": 0.8, "block_1": [1.0, {"v": 0.5}]}}. A list
            has an entry for each temporal transformer of the block. Everything that is not named has 1. The position
            part, "p", belongs to no block.
        adapter_name: Which one; all active ones by default.

    Raises:
        AdapterNameError: If the name is unknown, or nothing is loaded.
        MotionScaleError: If a number is not finite, or is for an unknown part or block.
    """
    chosen = _chosen(pipe_or_model, adapter_name)
    _check_scales(chosen, [scale])
    for model, names in chosen:
        registry_of(model).set_scale(names, scale)
    _warn_of_missing(chosen, _parts_of(scale), "its scale")
    _warn_of_idle_scale(chosen, scale)


def set_motion_timing(
    pipe_or_model: Any, start: float = 0.0, end: float = 1.0, adapter_name: str | None = None
) -> None:
    """Restrict motion embeddings to a part of the denoising.

    Motion is decided early, at high noise; late steps paint details. The denoiser's timestep decides, so `start` and
    `end` are shares of the noise schedule, not of the number of steps.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        start: Share of the schedule at which they begin to act; 0 is pure noise.
        end: Share of the schedule at which they stop; 1 is the finished clip.
        adapter_name: Which one; all active ones by default.

    Raises:
        AdapterNameError: If the name is unknown, or nothing is loaded.
        ValueError: Unless 0 <= start < end <= 1.

    Warns:
        UserWarning: If a model's timesteps do not tell how far the denoising has come, as in Cosmos. There, motion
            embeddings act all the time.
    """
    chosen = _chosen(pipe_or_model, adapter_name)
    for model, names in chosen:
        registry_of(model).update(names, timing=(start, end))
    warn_of_unknown_timesteps([model for model, names in chosen if names], (start, end))


def set_motion_debias(pipe_or_model: Any, debias: Debias, adapter_name: str | None = None) -> None:
    """Set how the value part is freed from the reference's appearance.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        debias: "identity" keeps the value part as it is. "difference" takes its change from frame to frame and keeps
            the first frame. "difference_zero_first" does the same but adds nothing in the first frame. "centered"
            takes its deviation from the mean of all frames. "free_placement" leaves the value part out: the query-key
            part alone moves things, at a place that the new video chooses.
        adapter_name: Which one; all active ones by default.

    Raises:
        AdapterNameError: If the name is unknown, or nothing is loaded.
        ValueError: If there is no such mode.
    """
    chosen = _chosen(pipe_or_model, adapter_name)
    for model, names in chosen:
        registry_of(model).update(names, debias=debias)
    _warn_of_missing(chosen, {"v"}, "debiasing it")


def set_motion_frame_policy(pipe_or_model: Any, policy: FramePolicy, adapter_name: str | None = None) -> None:
    """Set what happens to motion embeddings in clips whose length differs from the reference's.

    Frames here are those that the model's attention mixes. They are fewer than the clip's where the VAE compresses
    time.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        policy: "resample", the default, stretches the motion over the clip; "loop" starts it again; "hold" keeps its
            last frame; "error" refuses clips of another length.
        adapter_name: Which one; all active ones by default.

    Raises:
        AdapterNameError: If the name is unknown, or nothing is loaded.
        ValueError: If there is no such policy.
    """
    for model, names in _chosen(pipe_or_model, adapter_name):
        registry_of(model).update(names, frame_policy=policy)


def set_motion_region(
    pipe_or_model: Any, mask: Tensor | np.ndarray | Sequence | None, adapter_name: str | None = None
) -> None:
    """Set where in the picture motion embeddings act, so that one of several things moves, or each by its own motion.

    What an embedding adds is multiplied by the mask, for each token by its mean over what the token shows. Outside of
    the mask it is exactly zero. Files do not hold the region.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        mask: Numbers from 0 to 1, (height, width), or (frames, height, width) for a region that moves. It is laid over
            the whole picture and the whole clip, so it may be of any size. None lets them act everywhere. Clips that
            FreeNoise makes window by window take no region that moves.
        adapter_name: Which one; all active ones by default.

    Raises:
        AdapterNameError: If the name is unknown, or nothing is loaded.
        ValueError: If `mask` has another number of axes, or a number is not from 0 to 1.
    """
    region = None if mask is None else _as_region(mask)
    for model, names in _chosen(pipe_or_model, adapter_name):
        registry_of(model).set_region(names, region)


def warn_of_unknown_timesteps(models: Iterable[ModelMixin], timing: tuple[float, float] | None) -> None:
    """Say that a timing changes nothing on a model whose timesteps do not tell how far the denoising has come."""
    for model in models if timing not in (None, (0.0, 1.0)) else ():
        if find_architecture(model).timesteps is None:
            warnings.warn(
                f"Pipelines give {type(model).__name__} timesteps of different kinds, from which the noise level "
                f"cannot be told. The motion embedding acts at all noise levels there, whatever its timing, {timing}.",
                stacklevel=3,
            )


def _as_region(mask: Tensor | np.ndarray | Sequence) -> Tensor:
    with torch.inference_mode(False):
        region = mask.detach() if isinstance(mask, Tensor) else torch.as_tensor(np.asarray(mask))
        region = region.to("cpu", torch.float32, copy=True)
    looks_like_colour = region.ndim == 3 and region.shape[2] in (3, 4) and region.shape[1] > 4 * region.shape[2]
    if region.ndim not in (2, 3) or 0 in region.shape or looks_like_colour:
        raise ValueError(
            f"mask must be (height, width) or (frames, height, width), got shape {tuple(region.shape)}. A picture in "
            "colour has to be made one of brightness first."
        )
    if not ((region >= 0) & (region <= 1)).all():  # written this way, NaN does not pass
        low, high = region.min().item(), region.max().item()
        if math.isnan(low):
            raise ValueError("mask must hold numbers from 0 to 1, and some are NaN.")
        raise ValueError(f"mask must hold numbers from 0 to 1, got {low:g} to {high:g}. Divide uint8 by 255.")
    return region.reshape(-1, *region.shape[-2:])


def get_list_motion_embeddings(pipe_or_model: Any) -> dict[str, list[str]]:
    """Names of all loaded motion embeddings, by component of the pipeline."""
    return {
        component: list(registry_of(model).loaded)
        for component, model in models_of(pipe_or_model).items()
        if registry_of(model).loaded
    }


def get_active_motion_embeddings(pipe_or_model: Any) -> list[str]:
    """Names of the active motion embeddings."""
    names = [name for model in models_of(pipe_or_model).values() for name in registry_of(model).active]
    return list(dict.fromkeys(names))  # two models may have one motion under one name


def disable_motion_embedding_layers(pipe_or_model: Any) -> None:
    """Switch all motion embeddings off. They stay loaded and keep their scales.

    Raises:
        AdapterNameError: If the model has motion embeddings through PEFT.
    """
    _set_enabled(pipe_or_model, False)


def enable_motion_embedding_layers(pipe_or_model: Any) -> None:
    """Switch the active motion embeddings on again.

    Raises:
        AdapterNameError: If the model has motion embeddings through PEFT.
        MissingLayersError: If the model was rebuilt without layers that they adapt.
    """
    _set_enabled(pipe_or_model, True)


def _chosen(pipe_or_model: Any, adapter_name: str | None) -> list[tuple[ModelMixin, list[str]]]:
    """As `choose_embeddings`; says so if there is none that the call is for."""
    chosen = choose_embeddings(pipe_or_model, adapter_name)
    if not any(names for _, names in chosen):
        warnings.warn(
            "No motion embedding is active, so this changes nothing. Name one, as adapter_name, or activate it with "
            "set_motion_embeddings(...) first.",
            stacklevel=3,
        )
    return chosen


def _check_scales(chosen: list[tuple[ModelMixin, list[str]]], scales: list[Scale]) -> None:
    for model, _ in chosen:  # all before the first is set
        for scale in scales:
            registry_of(model).resolve(scale)


def _set_enabled(pipe_or_model: Any, enabled: bool) -> None:
    for model in models_without_peft(pipe_or_model).values():
        registry_of(model).enable(enabled)
        sync(model)


def _parts_of(scale: Any) -> set[str]:
    """The parts that a scale names, of the whole model or of its blocks."""
    if isinstance(scale, Mapping):
        return {part for part in PARTS if part in scale}.union(*map(_parts_of, scale.values()))
    return set().union(*map(_parts_of, scale)) if isinstance(scale, (list, tuple)) else set()


def _warn_of_missing(chosen: list[tuple[ModelMixin, list[str]]], parts: set[str], what: str) -> None:
    """Say that a call changes nothing, because no embedding that it is for has the part."""
    configs = [registry_of(model).loaded[name].config for model, names in chosen for name in names]
    for part in sorted(parts) if configs else ():
        if not any(part in config.parts for config in configs):
            warnings.warn(f'No motion embedding here has the part "{part}", so {what} changes nothing.', stacklevel=3)


def _warn_of_idle_scale(chosen: list[tuple[ModelMixin, list[str]]], scale: Scale) -> None:
    """Say where a scale changes nothing: in a value part that is left out, or in a block without layers."""
    configs = [registry_of(model).loaded[name].config for model, names in chosen for name in names]
    modes = {config.debias for config in configs if "v" in config.parts}
    if "v" in _parts_of(scale) and modes == {"free_placement"}:
        warnings.warn(
            'The debiasing "free_placement" leaves the part "v" out, so its scale changes nothing until '
            "set_motion_debias sets another one.",
            stacklevel=3,
        )
    for model, names in chosen:
        registry = registry_of(model)
        adapted = {path for path, layer in registry.layers.items() if not layer.embeddings.keys().isdisjoint(names)}
        for block in _idle_blocks(scale, registry.places, adapted) if names else ():
            warnings.warn(
                f"No motion embedding here has layers in {block!r}, so its scale changes nothing there.", stacklevel=3
            )


def _idle_blocks(scale: Any, places: Mapping[str, tuple], adapted: set[str], depth: int = 0) -> Iterator[str]:
    """The blocks that a scale names, without those in which paths are adapted."""
    for key, entry in scale.items() if isinstance(scale, Mapping) else ():
        inside = {path: place for path, place in places.items() if len(place) > depth and place[depth] == key}
        if inside and adapted.isdisjoint(inside):
            yield key
        else:
            yield from _idle_blocks(entry, inside, adapted, depth + 1)
