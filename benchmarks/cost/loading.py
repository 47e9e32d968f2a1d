"""Loading an embedding over reading its file."""

import tempfile
from pathlib import Path

from safetensors.torch import load_file

from benchmarks.cost.models import Subject, embed
from benchmarks.cost.timing import Figure, alternate, ratio
from diffusers_motion_embed import load_motion_embedding, save_motion_embedding, unload_motion_embedding
from diffusers_motion_embed.storage.files import WEIGHTS_NAME


def measure_loading(subject: Subject, rounds: int) -> list[Figure]:
    """The embedding of the layers that are adapted by default; the model is there already.

    Taking it off again counts too.
    """
    model = subject.build()
    embed(model, subject.size)
    with tempfile.TemporaryDirectory() as folder:
        save_motion_embedding(model, folder)
        unload_motion_embedding(model)
        path = Path(folder, WEIGHTS_NAME)

        def load() -> None:
            load_motion_embedding(model, folder)
            unload_motion_embedding(model)

        name = f"loading {path.stat().st_size / 1e6:.1f} MB, {subject}"
        seconds = alternate({"load": load, "read": lambda: load_file(path)}, rounds, name)
    return [ratio(f"{name}, over reading the file", seconds["load"], seconds["read"])]
