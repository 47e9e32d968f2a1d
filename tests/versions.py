"""Tests with older versions of what the package builds on: what those lack is looked up here, or skipped and said."""

import importlib
from importlib.metadata import version
from typing import Any

import pytest
import torch
import transformers
from diffusers import DiffusionPipeline
from diffusers.hooks import apply_group_offloading
from huggingface_hub import errors
from packaging.version import Version

from diffusers_motion_embed._compat import tuner_refusal


CPU = torch.device("cpu")
# Pictures prepared by Pillow. In transformers 4, that is the class without a suffix.
CLIPImageProcessorPil = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)
# Before huggingface_hub 1.0, files that are missing in a cache and on the Hub have one class.
RemoteEntryNotFoundError = getattr(errors, "RemoteEntryNotFoundError", errors.EntryNotFoundError)


def is_older(package: str, first: str) -> bool:
    return Version(version(package)) < Version(first)


def since(package: str, first: str, lack: str) -> pytest.MarkDecorator:
    """Skip a test with versions of a package before the first that has what it needs.

    Args:
        package: Its name.
        first: The oldest version with which the test passes, as far as `requirements/` has them.
        lack: What earlier versions lack, as it follows the name and the version of the package.
    """
    return pytest.mark.skipif(is_older(package, first), reason=_reason(package, lack))


def skip_before(package: str, first: str, lack: str) -> None:
    """Skip the running test, as `since` does."""
    if is_older(package, first):
        pytest.skip(_reason(package, lack))


def skip_unwritten(suffix: str) -> None:
    """Skip the running test if its kind of pictures came to Pillow later."""
    if suffix.removeprefix(".") in ("avif", "avifs", "qoi"):
        skip_before("pillow", "12.0", f"writes no {suffix.removeprefix('.')}")


def offload_groups(model: Any, **settings: Any) -> None:
    """Offload a model, or all those of a pipeline, by groups, from the CPU to the CPU."""
    skip_before("diffusers", "0.39", "offloads no groups on a machine without an accelerator")
    if isinstance(model, DiffusionPipeline):
        model.enable_group_offload(CPU, CPU, **settings)
    else:
        apply_group_offloading(model, CPU, CPU, **settings)


pefts_own_calls = pytest.mark.skipif(tuner_refusal() is not None, reason=str(tuner_refusal()))


def found(path: str, first: str) -> Any:
    """A class by its full name; where earlier versions of its package lack it, the running test is skipped."""
    module, _, name = path.rpartition(".")
    package = path.partition(".")[0]
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        skip_before(package, first, f"has no {name}")
        raise


def _reason(package: str, lack: str) -> str:
    return f"{package} {version(package)} {lack}"
