"""Rewrites a pipeline folder so that it loads alike with old and new versions of diffusers and transformers.

    python -m benchmarks.tiny_world.portable examples/tiny-t2v examples/tiny-animatediff examples/tiny-wan

Weights and vocabulary stay the same. `base_training.write_pipeline` does it to every folder that it writes.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file


# What the weights of a CLIP text encoder begin with in the files of all published models. transformers 5.6 and later
# read them with and without it, and write them without it; others need it.
CLIP_PREFIX = "text_model."
# By the class that transformers 5 names: one that reads tokenizer.json with every version.
TOKENIZERS = {"T5Tokenizer": "T5TokenizerFast"}
# What a tokenizer is made with; transformers 5 writes more, which version 4 does not read.
TOKENIZER_SETTINGS = (
    *("bos_token", "eos_token", "extra_ids", "model_max_length", "pad_token", "tokenizer_class", "unk_token"),
)


def make_portable(folder: Path) -> None:
    """Rewrite a pipeline's folder; one that is portable already stays as it is."""
    _edit_json(folder / "model_index.json", _name_tokenizer)
    _edit_json(folder / "tokenizer/tokenizer_config.json", _keep_known_settings)
    _edit_json(folder / "text_encoder/config.json", _load_as_float32)
    if json.loads((folder / "text_encoder/config.json").read_text(encoding="utf-8"))["model_type"].startswith("clip"):
        _prefix_weights(folder / "text_encoder/model.safetensors")
        _write_clip_vocabulary(folder / "tokenizer")


def _edit_json(path: Path, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    content = edit(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _name_tokenizer(index: dict[str, Any]) -> dict[str, Any]:
    library, name = index["tokenizer"]
    return {**index, "tokenizer": [library, TOKENIZERS.get(name, name)]}


def _keep_known_settings(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name in TOKENIZER_SETTINGS}


def _load_as_float32(config: dict[str, Any]) -> dict[str, Any]:
    """Without a dtype, diffusers loads models in float32, and transformers 5 in what the configuration says."""
    return {**config, "dtype": "float32"}


def _prefix_weights(path: Path) -> None:
    with safe_open(path, framework="pt") as file:
        weights = {name: file.get_tensor(name) for name in list(file.keys())}
    named = {CLIP_PREFIX + name.removeprefix(CLIP_PREFIX): weight for name, weight in weights.items()}
    save_file(named, path, metadata={"format": "pt"})


def _write_clip_vocabulary(folder: Path) -> None:
    """The two files that transformers 4 reads, beside tokenizer.json, which has the same."""
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False) + "\n", encoding="utf-8")
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    for folder in parser.parse_args().folders:
        make_portable(folder)


if __name__ == "__main__":
    main()
