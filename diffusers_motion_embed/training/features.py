"""Text features and whatever else a pipeline gives its model with the references, kept in a file.

With such a file, a pipeline without its text encoders can be trained.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.modeling_utils import ModelMixin
from safetensors.torch import save
from torch import Tensor

from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.architectures.conditioning import Conditioning, call_parameters
from diffusers_motion_embed.errors import FeaturesError
from diffusers_motion_embed.storage.atomic import replace_files
from diffusers_motion_embed.training.tensor_files import FILE_ERRORS, read_tensors


VALUES_KEY = "conditionings"
STORED = [each.name for each in fields(Conditioning) if each.name != "layout"]  # which the model knows


def source_of(
    pipe: Any,
    component: str,
    shown: Sequence[tuple[np.ndarray, str | None]],
    call_arguments: Mapping[str, Any] | None,
    with_frames: bool,
) -> dict[str, Any]:
    """What features depend on, as JSON values: those of another source do not fit.

    Args:
        pipe: The pipeline.
        component: Name of the model that is trained.
        shown: Clips and prompts.
        call_arguments: Further arguments of the pipeline's call.
        with_frames: Whether single frames have features of their own.
    """
    sees_pixels = bool({"image", "video"} & call_parameters(pipe).keys())
    return {
        "pipeline": type(pipe).__name__,
        "component": component,
        "prompts": [prompt for _, prompt in shown],
        "sizes": [list(clip.shape[:3]) for clip, _ in shown],
        "pixels": [hashlib.sha256(clip.tobytes()).hexdigest() for clip, _ in shown] if sees_pixels else [],
        "call_arguments": {name: repr(value) for name, value in sorted((call_arguments or {}).items())},
        "single_frames": with_frames,
    }


def kept_features(
    path: Path,
    source: Mapping[str, Any],
    model: ModelMixin,
    device: torch.device,
    capture: Callable[[], list[Conditioning]],
) -> list[Conditioning]:
    """The conditionings of a file if it exists; otherwise captured, and written to it.

    Args:
        path: The file.
        source: See `source_of`.
        model: The model that is trained.
        device: Where it computes.
        capture: Gets the conditionings from the pipeline.

    Raises:
        FeaturesError: As in `read_features` and `write_features`.
    """
    if path.exists():
        return read_features(path, source, model, device)
    found = capture()
    write_features(path, source, found)
    return found


def write_features(path: Path, source: Mapping[str, Any], conditionings: Sequence[Conditioning]) -> None:
    """Keep conditionings in a safetensors file.

    Args:
        path: The file; it is replaced.
        source: See `source_of`.
        conditionings: Of clips, and then of single frames.

    Raises:
        FeaturesError: If the pipeline gives its model something that such a file cannot hold.
    """
    tensors: dict[str, Tensor] = {}
    values = [{name: _pack(getattr(each, name), tensors) for name in STORED} for each in conditionings]
    metadata = {VALUES_KEY: json.dumps({"source": dict(source), "values": values})}
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_files(path.parent, {path.name: save(tensors, metadata=metadata)})


def read_features(
    path: Path, source: Mapping[str, Any], model: ModelMixin, device: torch.device
) -> list[Conditioning]:
    """The conditionings of a file.

    Args:
        path: What `write_features` wrote.
        source: See `source_of`.
        model: The model that is trained.
        device: Where it computes.

    Raises:
        FeaturesError: If the file is damaged, or its features are of another source.
    """
    try:
        tensors, stored = read_tensors(path, VALUES_KEY, device)
        there = {name: stored["source"].get(name) for name in source}
        values = [{name: _unpack(value[name], tensors) for name in STORED} for value in stored["values"]]
    except FILE_ERRORS as error:
        raise FeaturesError(f"{path} holds no features ({error}). Delete it, and the run writes it anew.") from error
    wrong = [f"{name} {there[name]!r} there, {here!r} here" for name, here in source.items() if there[name] != here]
    if wrong:
        raise FeaturesError(f"{path} holds features of something else: {', '.join(wrong)}. Give another file.")
    layout = find_architecture(model).input_layout(model)
    return [Conditioning(layout=layout, **value) for value in values]


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A value as JSON, with its tensors put aside."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": {key: _pack(entry, tensors) for key, entry in value.items()}}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_pack(entry, tensors) for entry in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    raise FeaturesError(f"The pipeline gives its model a {type(value).__name__}, which cannot be kept in a file.")


def _unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    ((kind, value),) = packed.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "dict":
        return {key: _unpack(entry, tensors) for key, entry in value.items()}
    if kind in ("list", "tuple"):
        return (list if kind == "list" else tuple)(_unpack(entry, tensors) for entry in value)
    return value
