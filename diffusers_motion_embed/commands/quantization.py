"""`--quantization` and `--gguf`: a frozen base whose linear layers have few bits."""

import argparse
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers import GGUFQuantizationConfig, PipelineQuantizationConfig

from diffusers_motion_embed._compat import dtype_argument
from diffusers_motion_embed.errors import UnsupportedModelError


# Name -> the package that it needs. These keep the weights in few bits and compute in the base's dtype, through which
# gradients reach the embedding.
QUANTIZATIONS = {
    "bitsandbytes_4bit": "bitsandbytes",
    "bitsandbytes_8bit": "bitsandbytes",
    "torchao_int8": "torchao",
    "torchao_float8": "torchao",
}
DENOISERS = ("unet", "transformer", "transformer_2")


def check_quantization(options: argparse.Namespace) -> None:
    """Check the arguments before anything is loaded.

    Raises:
        ValueError: If they contradict each other, or there is no such GGUF file. diffusers would unpickle others.
        ImportError: If a package is missing.
    """
    if options.gguf and options.quantization:
        raise ValueError("--gguf brings weights that are quantized already: leave out --quantization.")
    if options.motion_adapter and (options.gguf or options.quantization):
        raise ValueError(
            "--quantization and --gguf do not go with --motion_adapter, which is joined with an image model's weights."
        )
    if options.gguf and not options.gguf.is_file():
        raise ValueError(f"--gguf: there is no file at {options.gguf}.")
    if options.gguf and not _is_gguf(options.gguf):
        raise ValueError(f"--gguf: {options.gguf} is no GGUF file, whose name ends in .gguf and which begins so.")
    package = "gguf" if options.gguf else QUANTIZATIONS.get(options.quantization)
    if package and find_spec(package) is None:
        raise ImportError(f"This needs the package {package}: pip install {package}.")


def quantized_components(options: argparse.Namespace, index: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `from_pretrained` for a quantized base; none for a base as it is.

    Args:
        options: They have `quantization`, `gguf`, `dtype`, `component`, `pretrained_model_name_or_path`, `revision`.
        index: The pipeline's model_index.json.

    Raises:
        UnsupportedModelError: If the pipeline lacks the model, or diffusers reads no single files of its class.
    """
    present = [name for name in DENOISERS if name in index]
    if options.gguf:
        component = options.component or next(iter(present), None)
        if component not in present:
            raise UnsupportedModelError(f"--gguf: the pipeline has no {component!r}; it has {', '.join(present)}.")
        return {component: _from_gguf(options, component, index[component][1])}
    if not options.quantization:
        return {}
    texts = [name for name, value in index.items() if name.startswith("text_encoder") and value[0] == "transformers"]
    mapping = {name: _config(options, diffusers) for name in present}
    mapping |= {name: _config(options, transformers) for name in texts}
    return {"quantization_config": PipelineQuantizationConfig(quant_mapping=mapping)}


def _config(options: argparse.Namespace, library: Any) -> Any:
    """The settings as diffusers or transformers has them, which are classes of the same names."""
    backend, _, kind = options.quantization.partition("_")
    if backend == "bitsandbytes":
        four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": getattr(torch, options.dtype)}
        settings = {"load_in_4bit": True, **four} if kind == "4bit" else {"load_in_8bit": True}
        return library.BitsAndBytesConfig(**settings)
    types = {"int8": "Int8WeightOnlyConfig", "float8": "Float8WeightOnlyConfig"}
    return library.TorchAoConfig(getattr(import_module("torchao.quantization"), types[kind])())


def _is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix == ".gguf" and file.read(4) == b"GGUF"


def _from_gguf(options: argparse.Namespace, component: str, class_name: str) -> Any:
    model_class = getattr(diffusers, class_name)
    if not hasattr(model_class, "from_single_file"):
        raise UnsupportedModelError(f"diffusers reads no single files of {class_name}; use --quantization instead.")
    dtype = getattr(torch, options.dtype)
    return model_class.from_single_file(
        str(options.gguf),
        config=options.pretrained_model_name_or_path,
        subfolder=component,
        revision=options.revision,
        quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
        **dtype_argument(dtype),
    )
