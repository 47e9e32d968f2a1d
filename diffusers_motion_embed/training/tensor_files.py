"""Safetensors files with JSON values in their header, as training keeps its state and its features."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor


# What damaged or foreign files raise while they are read.
FILE_ERRORS = (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError)


def read_tensors(path: Path, key: str, device: str | torch.device = "cpu") -> tuple[dict[str, Tensor], Any]:
    """The tensors of a file, and the JSON values under `key` of its header. Raises one of `FILE_ERRORS`."""
    with safe_open(path, framework="pt", device=str(device)) as file:
        names = list(file.keys())
        return {name: file.get_tensor(name) for name in names}, json.loads(file.metadata()[key])
