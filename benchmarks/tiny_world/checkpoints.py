"""Checkpoints of the tiny world's own training runs (local files of one's own, never shared)."""

from pathlib import Path

import torch


def save_checkpoint(path: Path, parts: dict, step: int) -> None:
    """Write the state of every part (anything with `state_dict`) and the number of steps done, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save({"step": step, **{name: part.state_dict() for name, part in parts.items()}}, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path, parts: dict) -> int:
    """Restore every part, if the file is there, and return the number of steps done."""
    if not path.exists():
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"]
