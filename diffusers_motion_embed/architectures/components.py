"""The models of a pipeline that take motion embeddings, and the names of their checkpoints."""

from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from diffusers_motion_embed.architectures.table import find_architecture, is_supported
from diffusers_motion_embed.errors import UnsupportedModelError


WRAPPERS = (nn.DataParallel, DistributedDataParallel)


def supported_models(pipe_or_model: Any) -> dict[str, nn.Module]:
    """The models that take motion embeddings, by component name; empty if there is none."""
    if isinstance(pipe_or_model, nn.Module):
        candidates = {None: pipe_or_model}
    else:
        candidates = getattr(pipe_or_model, "components", {})
    found = {}
    for name, candidate in candidates.items():
        model = unwrap(candidate)
        try:
            architecture = find_architecture(model)
        except UnsupportedModelError:
            continue
        found[name or architecture.component] = model
    return found


def unwrap(module: Any) -> Any:
    """The model in what `torch.compile`, PEFT or data parallelism put around it; other objects as they are."""
    while True:
        if isinstance(module, WRAPPERS):
            module = module.module
        elif hasattr(module, "_orig_mod"):  # of torch.compile
            module = module._orig_mod
        elif hasattr(module, "get_base_model"):  # of PEFT
            module = module.get_base_model()
        else:
            return module


def expects_supported_model(pipe: Any) -> bool:
    """Whether a modular pipeline, which gets its models from `load_components()`, is to get one that is supported."""
    expected = (spec.type_hint for spec in getattr(pipe, "_component_specs", {}).values())
    return any(isinstance(each, type) and is_supported(each) for each in expected)


def base_name(pipe_or_model: Any, model: nn.Module) -> str | None:
    """Name of the checkpoint, None if unknown; of a local folder its last part alone, so that no path is published."""
    for holder in (pipe_or_model, model):
        name = getattr(getattr(holder, "config", None), "_name_or_path", None)
        if name:
            path = Path(name)
            if not path.is_dir():
                return str(name)
            path = path.resolve()
            if holder is model and path.name == find_architecture(model).component:
                path = path.parent  # the model's own folder in that of its pipeline
            if path.parent.name == "snapshots":  # of the Hub's cache, models--owner--name/snapshots/revision
                return path.parent.parent.name.removeprefix("models--").replace("--", "/", 1)
            return path.name
    return None
