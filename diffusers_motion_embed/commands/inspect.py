"""Say what a motion embedding is: its base, frames, size, parts, layers, timing, bytes and previews.

    diffusers-motion-embed inspect skateboard-motion
    diffusers-motion-embed inspect you/skateboard-motion --revision v2

No model is loaded.
"""

import argparse
from pathlib import Path
from typing import cast

from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import WEIGHTS_NAME, read_embedding
from diffusers_motion_embed.storage.hub import HubArguments, fetch_embedding
from diffusers_motion_embed.storage.model_card import preview_files


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="diffusers-motion-embed inspect",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="A folder, a file, or a repository on the Hub.")
    for name in ("weight_name", "subfolder", "revision", "token"):
        parser.add_argument(f"--{name}", help="As of load_motion_embedding.")
    options = vars(parser.parse_args(arguments))
    source = options.pop("source")
    where = cast(HubArguments, {name: value for name, value in options.items() if value is not None})
    path = fetch_embedding(source, **where)
    file = path / WEIGHTS_NAME if path.is_dir() else path
    for name, value in describe(read_embedding(path), file).items():
        print(f"{name:14} {value}")


def describe(embedding: Embedding, file: Path) -> dict[str, str]:
    """What is known of an embedding, by a short name.

    Args:
        embedding: What was read.
        file: Where it lies.
    """
    config = embedding.config
    sizes = sorted({"x".join(map(str, parts["v"].shape[:2])) for parts in embedding.tensors.values() if "v" in parts})
    numbers = sum(tensor.numel() for parts in embedding.tensors.values() for tensor in parts.values())
    layers = [path for path, parts in embedding.tensors.items() if "p" not in parts]
    previews = [each.name for each in preview_files(file.parent)]
    return {
        "base": f"{config.base_model_name_or_path or 'not stated'} ({config.model_class or 'class not stated'})",
        "component": config.component or "the first that takes embeddings",
        "frames": f"{config.num_frames}{_latent_frames(config)}",
        "size": f"{config.width} x {config.height} pixels" if config.width and config.height else "not stated",
        "parts": ", ".join(config.parts),
        "value grid": ", ".join(sizes) or "none",
        "layers": f"{len(layers)}: {', '.join(layers)}" if layers else "none",
        "debiasing": config.debias,
        "timing": "at all noise levels" if config.timing is None else "{} to {}".format(*config.timing),
        "numbers": f"{numbers:,}",
        "bytes": f"{file.stat().st_size:,}",
        "previews": ", ".join(previews) or "none",
    }


def _latent_frames(config: MotionEmbeddingConfig) -> str:
    latent = config.num_latent_frames
    return f" ({latent} latent frames)" if latent and latent != config.num_frames else ""
