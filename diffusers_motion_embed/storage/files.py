"""Motion embeddings on disk: a PEFT adapter folder.

    adapter_config.json         the settings, for people and for PEFT
    adapter_model.safetensors   the numbers; its header repeats the settings and wins over the JSON

Keys are `base_model.model.<path of the attention>.motion_embedding_<part>`, with the parts `qk` and `v`, or in
compact form `qk_codes` and `qk_levels`, `v_codes` and `v_levels`. The position part `p` is there once, under the path
of the module that makes the model's positions; only files with it have format version 3, so that older releases read
the others. In those of version 2, it does not move in time. Everything is checked before it is returned, and written
whole or not at all.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import EmbeddingFileError, EmbeddingNotFoundError
from diffusers_motion_embed.functional import PATH_WIDTH, with_time
from diffusers_motion_embed.storage.atomic import remove_leftovers, replace_files
from diffusers_motion_embed.storage.compact import MAX_BITS, compress, expand, num_bits
from diffusers_motion_embed.storage.embedding import Embedding, EmbeddingTensors
from diffusers_motion_embed.storage.settings import config_to_dict, parse_config
from diffusers_motion_embed.values import expanded


PREFIX = "motion_embedding_"
CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
NOISE_NAME = "inverted_noise.safetensors"
HEADER_KEY = "motion_embedding_config"
KEY = re.compile(rf"base_model\.model\.(?P<path>.+)\.{PREFIX}(?P<part>qk|v|p)(?P<form>|_codes|_levels)")
PART_DIMENSIONS = {"qk": 2, "v": 4, "p": 4}
FLOAT_DTYPES = ("F64", "F32", "F16", "BF16")
MAX_NUMBERS = 2**28  # in one embedding: 1 GiB in float32; ZeroScope's full grids at all places are 166 million

# What the numbers of a file may be.
STORED_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def read_embedding(folder: str | Path, weight_name: str | None = None) -> Embedding:
    """Read and check an embedding from a folder, or from a single safetensors file.

    Args:
        folder: Folder of an embedding, or path of its safetensors file.
        weight_name: Name of the safetensors file in the folder.

    Returns:
        The embedding, with float32 tensors.

    Raises:
        EmbeddingNotFoundError: If there is no such folder or file.
        EmbeddingFileError: If the file is not a sound motion embedding.
    """
    path = expanded(folder)
    if path.is_dir():
        path = path / (weight_name or WEIGHTS_NAME)
    remove_leftovers(path.parent, (CONFIG_NAME, WEIGHTS_NAME))
    if not path.is_file():
        raise EmbeddingNotFoundError(_not_found_message(path))
    state_dict, header = _read_safetensors(path)
    return parse_embedding(state_dict, _read_config(path, header, state_dict), str(path))


def parse_embedding(state_dict: Mapping[str, Tensor], config: MotionEmbeddingConfig, source: str) -> Embedding:
    """Check the tensors of an embedding against its config and sort copies of them by path and part.

    Args:
        state_dict: Tensors under the keys of the file format.
        config: Settings of the embedding.
        source: Where it comes from, for error messages.

    Raises:
        EmbeddingFileError: If a key, shape, dtype or number is wrong.
    """
    stored: EmbeddingTensors = {}
    for key, tensor in state_dict.items():
        match = KEY.fullmatch(key)
        if match is None:
            raise EmbeddingFileError(
                f"{source} is not a motion embedding{_guess_kind(state_dict)}: it has the key {key!r}."
            )
        _check_tensor(key, tensor, match["part"], match["form"], config, source)
        dtype = torch.uint8 if match["form"] == "_codes" else torch.float32
        stored.setdefault(match["path"], {})[match["part"] + match["form"]] = tensor.detach().to(dtype, copy=True)
    if not stored:
        raise EmbeddingFileError(f"{source} holds no tensors.")
    targets = config.target_modules if isinstance(config.target_modules, list) else []
    missing = [target for target in targets if not any(f".{path}".endswith(f".{target}") for path in stored)]
    if missing:
        raise EmbeddingFileError(f"{source} lacks {len(missing)} of its target_modules, for instance {missing[0]}.")
    numbers = sum(_expanded_size(parts) for parts in stored.values())
    if numbers > MAX_NUMBERS:  # known before any of it is expanded
        raise EmbeddingFileError(f"{source} holds {numbers} numbers; at most {MAX_NUMBERS} are accepted.")
    tensors = {path: _expanded(path, parts, config, source) for path, parts in stored.items()}
    found = [part for parts in tensors.values() for part in parts]
    if found.count("p") > 1:
        raise EmbeddingFileError(f"{source} has {found.count('p')} position parts; expected one for the model.")
    if set(found) != set(config.parts):
        raise EmbeddingFileError(f"{source} has the parts {sorted(set(found))}, and the config says {config.parts}.")
    return Embedding(config, tensors)


def to_state_dict(
    embedding: Embedding, dtype: torch.dtype = torch.float32, max_error: float | None = None
) -> dict[str, Tensor]:
    """Tensors under the keys of the file format, in compact form if `max_error` is given.

    Raises:
        ValueError: If a number is not finite in `dtype`, or `max_error` is not from 0 to 1.
    """
    if dtype not in STORED_DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(map(str, STORED_DTYPES))}; got {dtype!r}.")
    if max_error is not None and not 0 <= max_error < 1:
        raise ValueError(f"max_error must be a share from 0 to below 1, or None; got {max_error!r}.")
    state_dict = {}
    for path, parts in embedding.tensors.items():
        for part, tensor in parts.items():
            key = f"base_model.model.{path}.{PREFIX}{part}"
            compact = None
            if max_error is not None and part != "p":  # which is small, and no sum of many numbers hides its errors
                # "free_placement" leaves the value part out, but another mode may be set later.
                debias = embedding.config.debias
                mode = debias if part == "v" and debias != "free_placement" else "identity"
                compact = compress(tensor.detach().cpu(), max_error, mode)
            if compact is not None:
                state_dict[f"{key}_codes"], state_dict[f"{key}_levels"] = compact
                continue
            state_dict[key] = tensor.detach().to("cpu", dtype).contiguous()
            if not torch.isfinite(state_dict[key]).all():
                raise ValueError(
                    f"The {part} part of {path} holds NaN or infinite numbers as {dtype}. Its training diverged, "
                    "or it needs float32."
                )
    return state_dict


def write_embedding(
    save_directory: str | Path,
    embedding: Embedding,
    *,
    dtype: torch.dtype = torch.float32,
    max_error: float | None = None,
) -> Path:
    """Write an embedding folder, whole or not at all. Other files of an existing folder are kept.

    The weights file is a complete embedding by itself, because its header wins over the JSON. Replacing it is one
    rename. Whoever reads at any moment, even after a crash, therefore finds either the old embedding or the new one.

    Args:
        save_directory: Folder to write.
        embedding: What to write.
        dtype: Dtype of the stored numbers.
        max_error: Compact form: every number is one of a few levels, as few as keep the relative error of each part,
            debiased as the config says, at or below this; see `compact`. A part that needs more than 8 bits for it is
            stored in full. None stores all parts in full.

    Returns:
        The folder.

    Raises:
        NotADirectoryError: If there is a file of that name, or of that of a folder around it.
        IsADirectoryError: If the folder has one in the place of a file of the embedding.
        ValueError: If a number is not finite in `dtype`, or `max_error` is not from 0 to 1.
    """
    folder = expanded(save_directory)
    check_save_directory(folder)
    state_dict = to_state_dict(embedding, dtype, max_error)
    text = json.dumps(config_to_dict(embedding.config), indent=2, sort_keys=True)
    folder.mkdir(parents=True, exist_ok=True)
    # One entry only: safetensors writes several in random order, and the same embedding must give the same bytes.
    weights = save(state_dict, metadata={HEADER_KEY: text})
    replace_files(folder, {CONFIG_NAME: f"{text}\n".encode(), WEIGHTS_NAME: weights})
    return folder


def check_save_directory(folder: str | Path) -> None:
    """Check that a folder of an embedding can be there. Nothing is created.

    Raises:
        NotADirectoryError: If there is a file of its name, or of that of a folder around it.
        IsADirectoryError: If it has a folder in the place of a file of the embedding.
        ValueError: If the path is an empty text.
    """
    folder = expanded(folder)
    for place in (folder, *folder.parents):
        if place.exists():
            if not place.is_dir():
                raise NotADirectoryError(f"{place} is a file; save_directory must be a folder or a new name.")
            break
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if (folder / name).is_dir():
            raise IsADirectoryError(f"{folder / name} is a folder, in the place of a file of the embedding.")


def check_file_name(name: str) -> None:
    """Raise a ValueError if a file or folder of that name would lie outside the folder that it belongs to."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\", "~")) or ".." in parts or ":" in name or not name.strip():
        raise ValueError(f"{name!r} must be a name inside of the folder or repository.")


def has_own_config(path: Path) -> bool:
    """Whether a safetensors file says in its header what it is; also False if it cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return HEADER_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _not_found_message(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no folder {path.parent}."
    files = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    subfolders = sorted(entry.parent.name for entry in path.parent.glob(f"*/{path.name}"))
    held = ", ".join(files) if files else "no files"
    return f"There is no file {path.name} in {path.parent}; it holds {held}.{subfolder_hint(subfolders)}"


def subfolder_hint(subfolders: list[str]) -> str:
    """What to do where the embeddings are one level deeper, as PEFT stores adapters that have names."""
    names = ", ".join(subfolders)
    return f" Its subfolders {names} have one: give subfolder={subfolders[0]!r}, for instance." if subfolders else ""


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    # safetensors opens the file twice, for the header and for the numbers, and a writer may replace it in between.
    while True:
        before = _identity(path)
        try:
            content = _read_safetensors_once(path)
        except EmbeddingFileError:
            if _identity(path) == before:
                raise
        else:
            if _identity(path) == before:
                return content


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _read_safetensors_once(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            sizes = {name: file.get_slice(name) for name in names}
            numbers = 0
            for name, piece in sizes.items():
                match = KEY.fullmatch(name)
                expected = ("U8",) if match and match["form"] == "_codes" else FLOAT_DTYPES
                if match and piece.get_dtype() not in expected:
                    raise EmbeddingFileError(
                        f"{path}: {name} is of dtype {piece.get_dtype()}; expected one of {', '.join(expected)}."
                    )
                numbers += torch.Size(piece.get_shape()).numel()
            if numbers > MAX_NUMBERS:
                raise EmbeddingFileError(f"{path} holds {numbers} numbers; at most {MAX_NUMBERS} are accepted.")
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, EmbeddingFileError):
            raise
        raise EmbeddingFileError(
            f"{path} is not a complete safetensors file ({error}). It may have been cut off or be of another kind; "
            "copy or download it again."
        ) from error


def _read_config(path: Path, header: Mapping[str, str], state_dict: Mapping[str, Tensor]) -> MotionEmbeddingConfig:
    if HEADER_KEY in header:
        text, place = header[HEADER_KEY], f"header of {path}"
    elif (path.parent / CONFIG_NAME).is_file() and any(KEY.fullmatch(key) for key in state_dict):
        place = str(path.parent / CONFIG_NAME)
        try:
            text = (path.parent / CONFIG_NAME).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise EmbeddingFileError(f"{place} is not text ({error}).") from error
    else:
        raise EmbeddingFileError(
            f"{path} is not a motion embedding{_guess_kind(state_dict)}: its header has no {HEADER_KEY!r}, and there "
            f"is no {CONFIG_NAME} with it."
        )
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        raise EmbeddingFileError(f"The settings in the {place} are not JSON ({error}).") from error
    return parse_config(values, place)


def _check_tensor(key: str, tensor: Tensor, part: str, form: str, config: MotionEmbeddingConfig, source: str) -> None:
    if part == "p" and form:
        raise EmbeddingFileError(f"{source}: {key} is a compact form, and position parts have none.")
    if form == "_codes" and not (isinstance(tensor, Tensor) and tensor.dtype == torch.uint8):
        raise EmbeddingFileError(f"{source}: {key} must hold bytes, got {_describe(tensor)}.")
    if form != "_codes" and not (isinstance(tensor, Tensor) and tensor.is_floating_point()):
        raise EmbeddingFileError(f"{source}: {key} must hold floating-point numbers, got {_describe(tensor)}.")
    if tensor.is_meta or tensor.layout != torch.strided:
        raise EmbeddingFileError(
            f"{source}: {key} must be a dense tensor with numbers, got {tensor.layout} on {tensor.device}."
        )
    dimensions = 1 if form == "_levels" else PART_DIMENSIONS[part]
    if tensor.ndim != dimensions or 0 in tensor.shape:
        raise EmbeddingFileError(
            f"{source}: {key} has shape {tuple(tensor.shape)}; expected {dimensions} axes of at least 1."
        )
    check_finite(tensor, key, source)
    if form == "_levels":
        if len(tensor) not in {2**bits for bits in range(1, MAX_BITS + 1)}:
            raise EmbeddingFileError(f"{source}: {key} has {len(tensor)} levels; expected a power of two up to 256.")
        return
    name = {"qk": "", "v": "value_grid", "p": "position_grid"}[part]
    grid = getattr(config, name, None)
    if isinstance(grid, tuple) and (tensor.shape[0] > grid[0] or tensor.shape[1] > grid[1]):
        raise EmbeddingFileError(
            f"{source}: {key} has a grid of {tuple(tensor.shape[:2])}, and the config's {name} is {grid}."
        )
    if part == "p" and tensor.shape[-1] not in (PATH_WIDTH - 1, PATH_WIDTH):
        raise EmbeddingFileError(
            f"{source}: {key} has {tensor.shape[-1]} numbers a place; expected rows, columns and time."
        )
    if tensor.shape[-2] != config.num_latent_frames:
        raise EmbeddingFileError(
            f"{source}: {key} has {tensor.shape[-2]} frames, and the config says {config.num_latent_frames}."
        )


def check_finite(tensor: Tensor, what: str, source: str) -> None:
    """Raise an `EmbeddingFileError` if a number is NaN or infinite."""
    if not torch.isfinite(tensor.float()).all():
        raise EmbeddingFileError(
            f"{source}: {what} holds NaN or infinite numbers. The embedding is damaged, or its training diverged."
        )


def _describe(value: Any) -> str:
    return str(value.dtype) if isinstance(value, Tensor) else type(value).__name__


def _expanded_size(parts: dict[str, Tensor]) -> int:
    codes = [(parts[name], parts.get(name.replace("_codes", "_levels"))) for name in parts if name.endswith("_codes")]
    sizes = [tensor.numel() for name, tensor in parts.items() if not name.endswith("_codes")]
    return sum(sizes) + sum(code.numel() * 8 // num_bits(levels) for code, levels in codes if levels is not None)


def _expanded(path: str, parts: dict[str, Tensor], config: MotionEmbeddingConfig, source: str) -> dict[str, Tensor]:
    parts = dict(parts)
    for part in PART_DIMENSIONS:
        codes, levels = parts.pop(f"{part}_codes", None), parts.pop(f"{part}_levels", None)
        if codes is None and levels is None:
            continue
        if codes is None or levels is None or part in parts or codes.shape[-1] * 8 % num_bits(levels):
            raise EmbeddingFileError(f"{source}: codes and levels of {path}'s {part} part do not belong together.")
        parts[part] = expand(codes, levels)
    if "p" in parts:
        parts["p"] = with_time(parts["p"])
    if set(parts) not in ({"p"} & set(config.parts), set(config.layer_parts)):
        raise EmbeddingFileError(
            f"{source}: {path} has the parts {sorted(parts)}, and the config says {config.parts}."
        )
    if len({tensor.shape[-1] for tensor in parts.values()}) != 1:
        raise EmbeddingFileError(f"{source}: the parts of {path} are of different width.")
    return parts


def _guess_kind(state_dict: Mapping[str, Any]) -> str:
    keys = " ".join(list(state_dict)[:2000])
    if "lora" in keys.lower():
        return " but a LoRA (load it with load_lora_weights)"
    if "motion_modules." in keys:
        return " but an AnimateDiff motion module (load it with MotionAdapter.from_pretrained)"
    if "vSpatial" in keys or ".pos_embed" in keys:
        return " but a checkpoint of the method's authors, which has to be converted first"
    return ""
