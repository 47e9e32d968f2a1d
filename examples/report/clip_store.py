"""Generated clips on disk, so that a command that was stopped goes on."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffusers_motion_embed.storage.atomic import replace_files


class ClipStore:
    """Keeps clips under everything that they depend on.

    Args:
        folder: Of the files, which is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, identity: Mapping[str, Any], make: Callable[[], np.ndarray]) -> np.ndarray:
        """The clip of this identity, made if it is not there, or not whole.

        Args:
            identity: Everything that the clip depends on, of JSON's types.
            make: Makes it.
        """
        name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32] + ".npy"
        try:
            return np.load(self.folder / name)
        except (OSError, ValueError, EOFError):
            clip = make()
        contents = io.BytesIO()
        np.save(contents, clip)
        replace_files(self.folder, {name: contents.getvalue()})
        return clip


def digest_of(source: np.ndarray | str | Path) -> str:
    """What tells clips, or embeddings, from one another.

    Args:
        source: A clip, the folder of an embedding, or its id on the Hub, which stands for itself.
    """
    if isinstance(source, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(source).tobytes()).hexdigest()
    if not Path(source).exists():
        return str(source)
    files = sorted(Path(source).glob("*.safetensors")) if Path(source).is_dir() else [Path(source)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
