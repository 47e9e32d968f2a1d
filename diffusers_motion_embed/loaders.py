"""Motion embeddings on pipelines: load, scale, mix, switch off, take off. The life cycle is that of LoRAs.

Every function takes a pipeline or a bare model first; `pipelines.MotionEmbeddingLoaderMixin` has the same as methods.
"""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from torch import Tensor, nn

from diffusers_motion_embed.adapter.registry import (
    MotionEmbeddingRegistry,
    add_embedding,
    registry_of,
    remove_embedding,
    replace_embedding,
    sync,
)
from diffusers_motion_embed.adapter.scales import Scale
from diffusers_motion_embed.adapter.selection import check_fits
from diffusers_motion_embed.architectures import base_name, find_architecture, supported_models
from diffusers_motion_embed.architectures.components import expects_supported_model
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import (
    AdapterNameError,
    MotionScaleError,
    UnsupportedModelError,
)
from diffusers_motion_embed.functional import Debias, FramePolicy
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import KEY, parse_embedding, read_embedding
from diffusers_motion_embed.storage.hub import HubArguments, fetch_embedding


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadReport:
    """What `load_motion_embedding` did.

    Args:
        adapter_name: Under which the embedding is loaded.
        component: Name of the model in the pipeline.
        num_layers: Attention layers that it was put on.
        num_frames: Frames of its reference clip; other clip lengths are resampled as they come.
        debias: How its value part is freed from appearance.
        prompt: The prompt that it was trained with, None if not recorded.
    """

    adapter_name: str
    component: str
    num_layers: int
    num_frames: int
    debias: Debias
    prompt: str | None


def load_motion_embedding(
    pipe_or_model: Any,
    pretrained_model_name_or_path_or_dict: str | Path | Mapping[str, Tensor],
    adapter_name: str | None = None,
    *,
    config: MotionEmbeddingConfig | None = None,
    debias: Debias | None = None,
    hotswap: bool = False,
    **hub_arguments: Unpack[HubArguments],
) -> LoadReport:
    """Load a motion embedding and make it the only active one, at scale 1.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        pretrained_model_name_or_path_or_dict: Folder of an embedding, path of its safetensors file, id of its
            repository on the Hub, or its tensors under the keys of the file format.
        adapter_name: A label for it; "default_0" and so on by default.
        config: Settings of an embedding that is given as tensors; by default what their shapes tell.
        debias: How to free its value part from appearance; by default as its config says. See
            `set_motion_debias`.
        hotswap: Write it over the loaded embedding `adapter_name`, which must have the same layers and shapes, and
            keeps its scale, timing and activity. A compiled model is then not compiled anew.
        **hub_arguments: Where exactly it is, in huggingface_hub's words: `weight_name`, `subfolder`, `revision`,
            `token`, `cache_dir`, `force_download`, `local_files_only`. See `hub.fetch_embedding`.

    Returns:
        What was loaded. Nothing is changed if anything is wrong.

    Raises:
        AdapterNameError: If `adapter_name` is in use, or for `hotswap` is not.
        EmbeddingNotFoundError: If there is no such folder, repository, revision or file.
        EmbeddingAccessError: If the Hub refuses it.
        EmbeddingDownloadError: If the Hub cannot be reached.
        EmbeddingFileError: If it is no sound motion embedding.
        IncompatibleEmbeddingError: If it does not fit the model.
        UnsupportedModelError: If pipeline or model take no motion embeddings.
        ValueError: If `debias` is no mode, or arguments do not go together.

    Warns:
        UserWarning: If it was trained on another checkpoint of the same model class.
    """
    models = _models_of(pipe_or_model)
    given_as_tensors = isinstance(pretrained_model_name_or_path_or_dict, Mapping)
    if hub_arguments if given_as_tensors else config:
        raise ValueError(f"config goes with a dictionary of tensors; {', '.join(hub_arguments) or 'others'} do not.")
    if given_as_tensors:
        state_dict = pretrained_model_name_or_path_or_dict
        embedding = parse_embedding(state_dict, config or _inferred_config(state_dict), "The given dictionary")
    else:
        embedding = read_embedding(fetch_embedding(pretrained_model_name_or_path_or_dict, **hub_arguments))
    component, model = _choose_model(models, embedding.config)
    registry = registry_of(model)
    adapter_name = _name_to_swap(registry, adapter_name) if hotswap else _new_name(registry, adapter_name)
    check_fits(model, embedding)
    given = {} if debias is None else {"debias": debias}
    config = embedding.config.changed(model_class=find_architecture(model).model_class, **given)
    embedding = Embedding(config, embedding.tensors)
    _warn_of_other_checkpoint(pipe_or_model, model, config)
    if hotswap:
        replace_embedding(model, adapter_name, embedding)
    else:
        _install(model, adapter_name, embedding)
    report = LoadReport(
        adapter_name,
        component,
        len(embedding.tensors),
        config.num_frames,
        config.debias,
        config.training.get("prompt"),
    )
    logger.info("Loaded motion embedding %s", report)
    return report


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


def set_motion_scale(pipe_or_model: Any, scale: Scale, adapter_name: str | None = None) -> None:
    """Set how strongly motion embeddings act: 1 as trained, 0 not at all, more than 1 to exaggerate.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        scale: A number; or numbers by part, {"qk": 1.0, "v": 0.5}; or either by block of the model, in the words of
            LoRA's block scales: {"down": 0.5, "mid": 0.0, "up": {"block_0": 0.8, "block_1": [1.0, {"v": 0.5}]}}. A
            list has an entry for each temporal transformer of the block. What is not named has 1.
        adapter_name: Which one; all active ones by default.

    Raises:
        AdapterNameError: If the name is unknown, or nothing is loaded.
        MotionScaleError: If a number is not finite, or for an unknown part or block.
    """
    chosen = choose_embeddings(pipe_or_model, adapter_name)
    _check_scales(chosen, [scale])
    for model, names in chosen:
        registry_of(model).set_scale(names, scale)


def set_motion_timing(
    pipe_or_model: Any, start: float = 0.0, end: float = 1.0, adapter_name: str | None = None
) -> None:
    """Let motion embeddings act in a part of the denoising only.

    Motion is decided early, at high noise; late steps paint details. The denoiser's timestep decides, so `start` and
    `end` are shares of the noise schedule, not of the number of steps.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        start: From where on, 0 is pure noise.
        end: Until where, 1 is the finished clip.
        adapter_name: Which one; all active ones by default.

    Raises:
        AdapterNameError: If the name is unknown, or nothing is loaded.
        ValueError: Unless 0 <= start < end <= 1.
    """
    for model, names in choose_embeddings(pipe_or_model, adapter_name):
        registry_of(model).update(names, timing=(start, end))


def set_motion_debias(pipe_or_model: Any, debias: Debias, adapter_name: str | None = None) -> None:
    """Set how the value part is freed from the reference's appearance.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        debias: "identity", the value part as it is; "difference", its change from frame to frame with the first
            frame kept; "difference_zero_first", the same with nothing in the first frame; "centered", its deviation
            from the mean of all frames; "free_placement", no value part at all: the query-key part alone moves
            things, at a place of the new video's own choosing.
        adapter_name: Which one; all active ones by default.

    Raises:
        AdapterNameError: If the name is unknown, or nothing is loaded.
        ValueError: If there is no such mode.
    """
    for model, names in choose_embeddings(pipe_or_model, adapter_name):
        registry_of(model).update(names, debias=debias)


def set_motion_frame_policy(pipe_or_model: Any, policy: FramePolicy, adapter_name: str | None = None) -> None:
    """Set what becomes of motion embeddings in clips of another length than their reference's.

    Frames are those that the model's attention mixes, fewer than the clip's where the VAE compresses time.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        policy: "resample", the default, stretches the motion over the clip; "loop" begins it anew; "hold" stays with
            its last frame; "error" refuses clips of another length.
        adapter_name: Which one; all active ones by default.

    Raises:
        AdapterNameError: If the name is unknown, or nothing is loaded.
        ValueError: If there is no such policy.
    """
    for model, names in choose_embeddings(pipe_or_model, adapter_name):
        registry_of(model).update(names, frame_policy=policy)


def get_list_motion_embeddings(pipe_or_model: Any) -> dict[str, list[str]]:
    """Names of all loaded motion embeddings, by component of the pipeline."""
    return {
        component: list(registry_of(model).loaded)
        for component, model in _models_of(pipe_or_model).items()
        if registry_of(model).loaded
    }


def get_active_motion_embeddings(pipe_or_model: Any) -> list[str]:
    """Names of the active motion embeddings."""
    names = [name for model in _models_of(pipe_or_model).values() for name in registry_of(model).active]
    return list(dict.fromkeys(names))  # two models may have one motion under one name


def disable_motion_embedding_layers(pipe_or_model: Any) -> None:
    """Switch all motion embeddings off, keeping them loaded and their scales."""
    _set_enabled(pipe_or_model, False)


def enable_motion_embedding_layers(pipe_or_model: Any) -> None:
    """Switch the active motion embeddings on again."""
    _set_enabled(pipe_or_model, True)


def delete_motion_embedding(pipe_or_model: Any, adapter_names: str | list[str]) -> None:
    """Take the named motion embeddings off; names that are not loaded are passed over.

    When the only active one goes, the first of the others becomes active, as with LoRAs.
    """
    names = {adapter_names} if isinstance(adapter_names, str) else set(adapter_names)
    for model in _models_of(pipe_or_model).values():
        registry = registry_of(model)
        had_active = bool(registry.active)
        for name in sorted(names & set(registry.loaded)):
            remove_embedding(model, name)
        if had_active:
            registry.activate_another()
        sync(model)


def unload_motion_embedding(pipe_or_model: Any) -> None:
    """Take all motion embeddings off; the model is then exactly what it was."""
    for model in _models_of(pipe_or_model).values():
        for name in list(registry_of(model).loaded):
            remove_embedding(model, name)


def _install(model: nn.Module, adapter_name: str, embedding: Embedding) -> None:
    config, tensors = embedding
    device = next(model.parameters()).device
    if device.type != "meta":  # as under sequential offloading; the layer then moves what it adds
        tensors = {path: {part: t.to(device) for part, t in parts.items()} for path, parts in tensors.items()}
    add_embedding(model, adapter_name, Embedding(config, tensors))
    registry_of(model).activate_alone(adapter_name)


def _models_of(pipe_or_model: Any) -> dict[str, nn.Module]:
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


def _choose_model(models: dict[str, nn.Module], config: MotionEmbeddingConfig) -> tuple[str, nn.Module]:
    name = config.component if config.component in models else next(iter(models))
    return name, models[name]


def choose_embeddings(
    pipe_or_model: Any, adapter_names: str | list[str] | None = None
) -> list[tuple[nn.Module, list[str]]]:
    """The models with motion embeddings, each with those of the named ones that it has.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        adapter_names: One name or several; all active ones by default.

    Raises:
        AdapterNameError: If a name is unknown, or nothing is loaded.
    """
    models = [model for model in _models_of(pipe_or_model).values() if registry_of(model).loaded]
    if not models:
        raise AdapterNameError("No motion embedding is loaded; call load_motion_embedding(...) first.")
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


def _check_scales(chosen: list[tuple[nn.Module, list[str]]], scales: list[Scale]) -> None:
    for model, _ in chosen:  # all before the first is set
        for scale in scales:
            registry_of(model).resolve(scale)


def _set_enabled(pipe_or_model: Any, enabled: bool) -> None:
    for model in _models_of(pipe_or_model).values():
        registry_of(model).enable(enabled)
        sync(model)


def _new_name(registry: MotionEmbeddingRegistry, adapter_name: str | None) -> str:
    if adapter_name is None:
        return next(name for i in range(len(registry.loaded) + 1) if (name := f"default_{i}") not in registry.loaded)
    if not isinstance(adapter_name, str) or not adapter_name:
        raise AdapterNameError(f"adapter_name must be a text that is not empty, got {adapter_name!r}.")
    if adapter_name in registry.loaded:
        raise AdapterNameError(
            f"A motion embedding named {adapter_name!r} is loaded already; choose another adapter_name, or call "
            f"delete_motion_embedding({adapter_name!r}) first."
        )
    return adapter_name


def _name_to_swap(registry: MotionEmbeddingRegistry, adapter_name: str | None) -> str:
    if adapter_name not in registry.loaded:
        raise AdapterNameError(
            f"hotswap writes over a loaded motion embedding, and none is named {adapter_name!r}; loaded: "
            f"{sorted(registry.loaded)}. Load the first one without hotswap."
        )
    return adapter_name


def _inferred_config(state_dict: Mapping[str, Tensor]) -> MotionEmbeddingConfig:
    """What the shapes of bare tensors tell; anything wrong with them is found when they are parsed."""
    parts, frames, grid = set(), 1, (1, 1)
    for key, tensor in state_dict.items():
        match = KEY.fullmatch(key)
        if match is None or not isinstance(tensor, Tensor) or tensor.ndim < 2:
            continue
        parts.add(match["part"])
        frames = max(1, tensor.shape[-2])
        if match["part"] == "v":
            grid = tuple(map(max, grid, tensor.shape[:2]))
    return MotionEmbeddingConfig(num_frames=frames, parts=tuple(parts) or ("qk", "v"), value_grid=grid)


def _warn_of_other_checkpoint(pipe_or_model: Any, model: nn.Module, config: MotionEmbeddingConfig) -> None:
    here, there = base_name(pipe_or_model, model), config.base_model_name_or_path
    if here and there and not ("/" in here and "/" in there):  # a local folder has no owner
        here, there = here.rpartition("/")[2], there.rpartition("/")[2]
    if here and there and here != there:
        warnings.warn(
            f"The motion embedding was trained on {there}, and this is {here}. It may work less well.", stacklevel=3
        )
