"""The models of a pipeline that take motion embeddings: their names, checkpoints and noise levels."""

import re
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from diffusers.models.modeling_utils import ModelMixin
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from diffusers_motion_embed.architectures.table import find_architecture, is_supported
from diffusers_motion_embed.errors import UnsupportedModelError


WRAPPERS = (nn.DataParallel, DistributedDataParallel)

# The component names under which pipelines held models; a model itself does not know its name.
_names: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def supported_models(pipe_or_model: Any) -> dict[str, ModelMixin]:
    """The models that take motion embeddings, by component name; empty if there is none."""
    is_model = isinstance(pipe_or_model, nn.Module)
    candidates = {None: pipe_or_model} if is_model else getattr(pipe_or_model, "components", {})
    found = {}
    for name, candidate in candidates.items():
        model = unwrap(candidate)
        try:
            architecture = find_architecture(model)
        except UnsupportedModelError:
            continue
        if name is not None:
            _names[model] = name
        found[name or component_name(model) or architecture.component] = model
    return found


def unwrap(module: Any) -> Any:
    """The model inside the wrappers of `torch.compile`, PEFT or data parallelism; other objects unchanged."""
    while True:
        if isinstance(module, WRAPPERS):
            module = module.module
        elif hasattr(module, "_orig_mod"):  # torch.compile
            module = module._orig_mod
        elif hasattr(module, "get_base_model"):  # PEFT
            module = module.get_base_model()
        else:
            return module


def expects_supported_model(pipe: Any) -> bool:
    """Whether a modular pipeline will get a supported model from `load_components()`."""
    expected = (spec.type_hint for spec in getattr(pipe, "_component_specs", {}).values())
    return any(isinstance(each, type) and is_supported(each) for each in expected)


def component_name(model: ModelMixin) -> str | None:
    """Component name of the model, from a pipeline seen with it or the folder it came from; None if unknown.

    Args:
        model: A model that takes motion embeddings.
    """
    folder = Path(getattr(model.config, "_name_or_path", None) or "").name
    return _names.get(model) or (folder if _is_component(folder, model) else None)


def base_name(pipe_or_model: Any, model: nn.Module) -> str | None:
    """Name of the checkpoint; None if unknown. A local folder gives its last part alone, so no path is published."""
    for holder in (pipe_or_model, model):
        name = getattr(getattr(holder, "config", None), "_name_or_path", None)
        if name:
            path = Path(name)
            if not path.is_dir():
                return str(name)
            path = path.resolve()
            if holder is model and _is_component(path.name, model):
                path = path.parent  # the model's own folder in that of its pipeline
            if path.parent.name == "snapshots":  # in the Hub's cache: models--owner--name/snapshots/revision
                return path.parent.parent.name.removeprefix("models--").replace("--", "/", 1)
            return path.name
    return None


def noise_levels(pipe_or_model: Any, component: str) -> tuple[float, float]:
    """Lowest and highest noise level that a model of the pipeline sees: 0 is the clean clip, 1 pure noise.

    A pipeline such as Wan 2.2's has one model for high noise and another for low noise.
    """
    boundary = getattr(getattr(pipe_or_model, "config", None), "boundary_ratio", None)
    if boundary is None or isinstance(pipe_or_model, nn.Module):
        return 0.0, 1.0
    return (0.0, boundary) if component.endswith("_2") else (boundary, 1.0)


def _is_component(name: str, model: nn.Module) -> bool:
    return re.fullmatch(rf"{find_architecture(model).component}(_\d+)?", name) is not None
