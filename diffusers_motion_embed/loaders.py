"""Putting motion embeddings on pipelines and taking them off. The life cycle is that of LoRAs.

Every function takes a pipeline or a bare model first. `pipelines.MotionEmbeddingLoaderMixin` has the same as methods.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from diffusers_motion_embed.adapter.choice import models_of, models_without_peft
from diffusers_motion_embed.adapter.registry import (
    add_embedding,
    check_new_name,
    check_replaceable,
    registry_of,
    remove_embedding,
    replace_embedding,
    sync,
    taken_off_on_error,
)
from diffusers_motion_embed.adapter.selection import check_fits
from diffusers_motion_embed.architectures import base_name, component_name, find_architecture, noise_levels
from diffusers_motion_embed.config import LAYER_PARTS, MotionEmbeddingConfig
from diffusers_motion_embed.controls import warn_of_unknown_timesteps
from diffusers_motion_embed.errors import AdapterNameError, UnsupportedModelError
from diffusers_motion_embed.functional import Debias
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import KEY, parse_embedding, read_embedding
from diffusers_motion_embed.storage.hub import HubArguments, check_hub_arguments, fetch_embedding


logger = logging.getLogger(__name__)

Models = dict[str, ModelMixin]


@dataclass(frozen=True)
class LoadReport:
    """What `load_motion_embedding` did.

    Args:
        adapter_name: Name under which the embedding is loaded.
        components: Component names of the models that it was put on, usually one.
        num_layers: Number of attention layers that it was put on in each of them; 0 if it moves positions alone.
        num_frames: Frames of its reference clip; other clip lengths are resampled as they come.
        debias: How its value part is freed from appearance.
        prompt: The prompt of its training; None if not recorded.
    """

    adapter_name: str
    components: tuple[str, ...]
    num_layers: int
    num_frames: int
    debias: Debias
    prompt: str | None

    @property
    def component(self) -> str:
        """The first of the components."""
        return self.components[0]


def load_motion_embedding(
    pipe_or_model: Any,
    pretrained_model_name_or_path_or_dict: str | Path | Mapping[str, Tensor],
    adapter_name: str | None = None,
    *,
    config: MotionEmbeddingConfig | None = None,
    debias: Debias | None = None,
    component: str | Sequence[str] | None = None,
    hotswap: bool = False,
    **hub_arguments: Unpack[HubArguments],
) -> LoadReport:
    """Load a motion embedding and make it the only active one of its model, at scale 1.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        pretrained_model_name_or_path_or_dict: Folder of an embedding, path of its safetensors file, id or address of
            its repository on the Hub, or its tensors under the keys of the file format.
        adapter_name: A label for it; "default_0" and so on by default.
        config: Settings for an embedding given as tensors. By default, frames, parts and value grid are inferred from
            the tensors' shapes, and the rest has the defaults of `MotionEmbeddingConfig`.
        debias: How to free its value part from appearance; by default as its config says. See
            `set_motion_debias`.
        component: The pipeline's model to put it on, or a list of several. In Wan 2.2, "transformer" sees high noise
            and "transformer_2" low noise. By default it is the one that its config names, or else the first; with
            `hotswap`, it is all that have an embedding of this name. On several models, it acts in each at the noise
            levels that this model sees.
        hotswap: Replace the loaded embedding `adapter_name`, which must have the same layers and shapes. The scale,
            timing, frame policy, region and activity of the old one are kept, and a compiled model is not recompiled.
        **hub_arguments: Further location of the embedding, in huggingface_hub's terms: `weight_name`, `subfolder`,
            `revision`, `token`, `cache_dir`, `force_download`, `local_files_only`. See `hub.fetch_embedding`.

    Returns:
        A report of what was loaded. If anything is wrong, nothing is changed.

    Raises:
        AdapterNameError: If `adapter_name` is empty or in use or, with `hotswap`, is not in use; or if the model has
            motion embeddings through PEFT.
        EmbeddingNotFoundError: If there is no such folder, repository, revision or file.
        EmbeddingAccessError: If the Hub refuses it.
        EmbeddingDownloadError: If the Hub cannot be reached.
        EmbeddingFileError: If it is not a sound motion embedding.
        IncompatibleEmbeddingError: If it does not fit the model.
        MissingLayersError: If the model was rebuilt without layers that an embedding loaded before adapts.
        UnsupportedModelError: If pipeline or model take no motion embeddings, or the pipeline has no such component.
        ValueError: If `debias` is not a mode, or arguments exclude each other.

    Warns:
        UserWarning: If it was trained on another checkpoint of the same model class, if it was made for a component
            that the pipeline lacks, if it acts at noise levels that only another model of the pipeline sees, if the
            model's timesteps do not tell noise levels, if `debias` is given and there is no value part, or if tensors
            are given without a config.
    """
    models = models_of(pipe_or_model)
    embedding = _read(pretrained_model_name_or_path_or_dict, config, hub_arguments)
    if debias is not None:
        embedding = embedding._replace(config=embedding.config.changed(debias=debias))
    chosen = _choose_models(pipe_or_model, models, component, embedding.config)
    if hotswap and component is None:
        chosen = {key: model for key, model in models.items() if adapter_name in registry_of(model).loaded} or chosen
    name = _name_to_swap(chosen, adapter_name) if hotswap else _new_name(chosen, adapter_name)
    for model in chosen.values():  # all before the first is changed
        sync(model)
        check_fits(model, embedding)
        if hotswap:
            check_replaceable(model, name, embedding)
    _warn_of_other_checkpoint(pipe_or_model, chosen, embedding.config)
    if debias is not None and "v" not in embedding.config.parts:
        warnings.warn('The motion embedding has no part "v", so debiasing it changes nothing.', stacklevel=2)
    if component is None and len(chosen) == 1 and not isinstance(pipe_or_model, nn.Module):
        _warn_of_other_component(pipe_or_model, models, chosen, embedding.config)
    if not hotswap:  # which keeps the timing that is there
        warn_of_unknown_timesteps(chosen.values(), embedding.config.timing)
    # All copies before the first is put on: memory may run out on the way.
    fitted = {component: _fitted(embedding, component, model) for component, model in chosen.items()}
    with contextlib.ExitStack() as stack:
        for component, model in chosen.items():
            if not hotswap:
                stack.enter_context(taken_off_on_error(model, name))
            _put(model, name, fitted[component], hotswap)
    found = embedding.config
    report = LoadReport(
        name, tuple(chosen), embedding.num_layers, found.num_frames, found.debias, found.training.get("prompt")
    )
    logger.info("Loaded motion embedding %s", report)
    return report


def delete_motion_embedding(pipe_or_model: Any, adapter_names: str | list[str]) -> None:
    """Take the named motion embeddings off. Names that are not loaded are ignored.

    When the only active one is deleted, the first of the others becomes active, as with LoRAs.

    Raises:
        AdapterNameError: If the model has motion embeddings through PEFT.
    """
    names = {adapter_names} if isinstance(adapter_names, str) else set(adapter_names)
    models = models_without_peft(pipe_or_model).values()
    were_active = [model for model in models if registry_of(model).active]
    for model in models:
        for name in sorted(names & set(registry_of(model).loaded)):
            remove_embedding(model, name)
    for model in were_active:
        if (registry := registry_of(model)).loaded and not registry.active:
            _activate_where_none_is(models, next(iter(registry.loaded)))
    for model in models:
        sync(model)


def _activate_where_none_is(models: Iterable[ModelMixin], adapter_name: str) -> None:
    """Activate an embedding on all models that have it, but for those on which another one is active."""
    for registry in map(registry_of, models):
        if adapter_name in registry.loaded and not registry.active:
            registry.activate({adapter_name: registry.loaded[adapter_name].scale})


def unload_motion_embedding(pipe_or_model: Any) -> None:
    """Take all motion embeddings off. The model is then exactly what it was before.

    Raises:
        AdapterNameError: If the model has motion embeddings through PEFT.
    """
    for model in models_without_peft(pipe_or_model).values():
        for name in list(registry_of(model).loaded):
            remove_embedding(model, name)


def _read(
    source: str | Path | Mapping[str, Tensor], config: MotionEmbeddingConfig | None, hub_arguments: HubArguments
) -> Embedding:
    check_hub_arguments(hub_arguments)
    if isinstance(source, Mapping):
        if hub_arguments:
            raise ValueError(
                f"A dictionary of tensors was given, so there is no file to find with {', '.join(hub_arguments)}. "
                "Leave one of them out."
            )
        embedding = parse_embedding(source, config or _inferred_config(source), "The given dictionary")
        if config is None:
            _warn_of_inferred_config(embedding.config)
        return embedding
    if config is not None:
        raise ValueError(
            "config is for a dictionary of tensors, but a file was given, which has its own settings. Leave config "
            "out. To change how the embedding is used, call functions such as set_motion_debias after loading."
        )
    return read_embedding(fetch_embedding(source, **hub_arguments))


def _warn_of_inferred_config(config: MotionEmbeddingConfig) -> None:
    warnings.warn(
        f"Tensors were given without config=, so their shapes decide what they do: num_frames={config.num_frames}, "
        f"value_grid={config.value_grid}. The rest has defaults: debias={config.debias!r}, at all noise levels. Give "
        "the MotionEmbeddingConfig that they were learned with.",
        stacklevel=4,
    )


def _inferred_config(state_dict: Mapping[str, Tensor]) -> MotionEmbeddingConfig:
    """Settings inferred from the shapes of bare tensors. Faults of the tensors are found when they are parsed."""
    parts, frames, grids = set(), 1, {"v": (1, 1), "p": (1, 1)}
    for key, tensor in state_dict.items():
        match = KEY.fullmatch(key)
        if match is None or not isinstance(tensor, Tensor) or tensor.ndim < 2:
            continue
        parts.add(match["part"])
        frames = max(1, tensor.shape[-2])
        if match["part"] in grids:
            height, width = grids[match["part"]]
            grids[match["part"]] = max(height, tensor.shape[0]), max(width, tensor.shape[1])
    return MotionEmbeddingConfig(
        num_frames=frames, parts=tuple(parts) or LAYER_PARTS, value_grid=grids["v"], position_grid=grids["p"]
    )


def _choose_models(
    pipe_or_model: Any, models: Models, component: str | Sequence[str] | None, config: MotionEmbeddingConfig
) -> Models:
    """The models to put the embedding on, by the component names for its config."""
    if isinstance(pipe_or_model, nn.Module):
        (model,) = models.values()
        if component is None:
            component = component_name(model) or config.component or next(iter(models))
        models = {component: model} if isinstance(component, str) else models
    if component is None:
        component = config.component if config.component in models else next(iter(models))
    names = [component] if isinstance(component, str) else list(component)
    missing = [name for name in names if name not in models]
    if missing or not names:
        raise UnsupportedModelError(
            f"component={component!r}: {type(pipe_or_model).__name__} has {', '.join(models)} that take motion "
            "embeddings; name one of them, or give a list."
        )
    return {name: models[name] for name in names}


def _new_name(chosen: Models, adapter_name: str | None) -> str:
    if adapter_name is None:
        taken = {name for model in chosen.values() for name in registry_of(model).loaded}
        adapter_name = next(name for i in range(len(taken) + 1) if (name := f"default_{i}") not in taken)
    for model in chosen.values():
        check_new_name(model, adapter_name)
    return adapter_name


def _name_to_swap(chosen: Models, adapter_name: str | None) -> str:
    without = [component for component, model in chosen.items() if adapter_name not in registry_of(model).loaded]
    if adapter_name is None or without:
        raise AdapterNameError(
            f"hotswap writes over a loaded motion embedding, and none is named {adapter_name!r} on {without[0]}; "
            f"loaded: {sorted(registry_of(chosen[without[0]]).loaded)}. Load the first one without hotswap."
        )
    return adapter_name


def _fitted(embedding: Embedding, component: str, model: ModelMixin) -> Embedding:
    """The embedding for one model: its tensors on the model's device, and the model's names in the config."""
    config = embedding.config.changed(component=component, model_class=find_architecture(model).model_class)
    device = next(model.parameters()).device
    is_offloaded = device.type == "meta"  # one by one; the layer then moves what it adds
    tensors = {
        path: {part: tensor.to(tensor.device if is_offloaded else device, copy=True) for part, tensor in parts.items()}
        for path, parts in embedding.tensors.items()
    }
    return Embedding(config, tensors)


def _put(model: ModelMixin, adapter_name: str, embedding: Embedding, hotswap: bool) -> None:
    if hotswap:
        replace_embedding(model, adapter_name, embedding)
        return
    add_embedding(model, adapter_name, embedding)
    registry_of(model).activate_alone(adapter_name)


def _warn_of_other_checkpoint(pipe_or_model: Any, chosen: Models, config: MotionEmbeddingConfig) -> None:
    here, there = base_name(pipe_or_model, next(iter(chosen.values()))), config.base_model_name_or_path
    if here and there and not ("/" in here and "/" in there):  # a local folder has no owner
        here, there = here.rpartition("/")[2], there.rpartition("/")[2]
    if here and there and here != there:
        warnings.warn(
            f"The motion embedding was trained on {there}, and this is {here}. It may work less well.", stacklevel=3
        )


LEVEL_TOLERANCE = 0.01  # in noise levels: embeddings act one schedule step beyond those of their training


def _warn_of_other_component(
    pipe_or_model: Any, models: Models, chosen: Models, config: MotionEmbeddingConfig
) -> None:
    """Say where the embedding went, if its config does not make that plain."""
    (component,) = chosen
    if config.component not in (None, component):
        warnings.warn(
            f"The motion embedding was made for {config.component}, which this {type(pipe_or_model).__name__} does "
            f"not have; it was put on {component}. Say with component= where it is to go.",
            stacklevel=3,
        )
    others = [name for name in models if name != component]
    is_meant = config.component == component != next(iter(models))
    low, high = noise_levels(pipe_or_model, component)
    start, end = config.timing or (0.0, 1.0)
    beyond = 1 - start > high + LEVEL_TOLERANCE or 1 - end < low - LEVEL_TOLERANCE
    if others and beyond and not is_meant:
        warnings.warn(
            f"The motion embedding acts at noise levels {1 - end:.2f} to {1 - start:.2f}, and {component} of this "
            f"{type(pipe_or_model).__name__} sees only {low:.2f} to {high:.2f} of them. To let it act at all of them, "
            f"load it on each model: load_motion_embedding(..., component={[component, *others]}).",
            stacklevel=3,
        )
