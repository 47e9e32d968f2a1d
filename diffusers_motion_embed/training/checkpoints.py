"""Checkpoints: everything that an interrupted run needs to go on as if nothing had happened.

A checkpoint is a folder `checkpoint-STEP` with one safetensors file. That file appears in one rename. A folder that
has it is therefore complete, and one without it was left by a killed process.
"""

import json
import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from diffusers_motion_embed.errors import CheckpointError
from diffusers_motion_embed.storage.atomic import remove_leftovers, replace_files
from diffusers_motion_embed.training.tensor_files import FILE_ERRORS, read_tensors
from diffusers_motion_embed.values import expanded, optional_whole_number


logger = logging.getLogger(__name__)

STATE_NAME = "training_state.safetensors"
VALUES_KEY = "training_state"
FOLDER = re.compile(r"checkpoint-(\d+)")
LATEST = "latest"


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When and where a run is saved, and where it resumes.

    Args:
        output_dir: Folder for the `checkpoint-STEP` folders.
        checkpointing_steps: Save after every so many steps; None saves only on request.
        checkpoints_total_limit: Number of checkpoints to keep; older ones are deleted. None keeps all.
        resume_from_checkpoint: Folder of a checkpoint, or its name in `output_dir`, or "latest" for the last one that
            is there, if there is one.

    Raises:
        ValueError: If a number is below 1, or a path is an empty text.
    """

    output_dir: Path
    checkpointing_steps: int | None = None
    checkpoints_total_limit: int | None = None
    resume_from_checkpoint: str | Path | None = None

    def __post_init__(self) -> None:
        for name in ("checkpointing_steps", "checkpoints_total_limit"):
            object.__setattr__(self, name, optional_whole_number(name, getattr(self, name), 1))
        object.__setattr__(self, "output_dir", expanded(self.output_dir))
        if self.resume_from_checkpoint not in (None, LATEST):
            object.__setattr__(self, "resume_from_checkpoint", expanded(self.resume_from_checkpoint))

    def folder(self, step: int) -> Path:
        """Folder of the checkpoint after `step` steps."""
        return Path(self.output_dir, f"checkpoint-{step}")

    def find(self) -> Path | None:
        """The checkpoint to resume from; None to start from the beginning.

        Raises:
            CheckpointError: If the named one does not exist, or the run would begin among those of another.
        """
        if self.resume_from_checkpoint is None:
            if others := [path.name for path in list_checkpoints(self.output_dir)]:
                raise CheckpointError(
                    f"{self.output_dir} holds {', '.join(others)} of an earlier run. Go on from there with "
                    f'resume_from_checkpoint="{LATEST}", delete them, or choose another output_dir.'
                )
            return None
        if str(self.resume_from_checkpoint) == LATEST:
            found = list_checkpoints(self.output_dir)
            if not found:
                logger.warning("There is no checkpoint in %s; training begins anew.", self.output_dir)
            return found[-1] if found else None
        folder = Path(self.resume_from_checkpoint)
        if not (folder / STATE_NAME).is_file():
            there = {path.name: path for path in list_checkpoints(self.output_dir)}
            if str(folder) in there:
                return there[str(folder)]
            names = list(there)
            raise CheckpointError(
                f"There is no {STATE_NAME} in {folder}. "
                + (f"{self.output_dir} holds {', '.join(names)}." if names else f"{self.output_dir} holds none.")
            )
        return folder


def list_checkpoints(output_dir: str | Path) -> list[Path]:
    """The complete checkpoints of a folder, by their number of steps."""
    folders = Path(output_dir).iterdir() if Path(output_dir).is_dir() else []
    complete = (path for path in folders if (path / STATE_NAME).is_file())
    steps = {path: int(match[1]) for path in complete if (match := FOLDER.fullmatch(path.name))}
    return sorted(steps, key=steps.__getitem__)


def write_state(folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Make `folder` a checkpoint.

    Args:
        folder: Folder of the checkpoint; it is created if needed.
        tensors: The run's tensors by name.
        values: Everything else, as JSON values.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    replace_files(folder, {STATE_NAME: save(contiguous, metadata={VALUES_KEY: json.dumps(values)})})


def read_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and values of a checkpoint.

    Raises:
        CheckpointError: If the file is damaged.
    """
    path = folder / STATE_NAME
    try:
        return read_tensors(path, VALUES_KEY)
    except FILE_ERRORS as error:
        raise CheckpointError(
            f"{path} is not a complete training state ({error}). Resume from another one."
        ) from error


def tidy(output_dir: Path, keep: int | None) -> None:
    """Delete what killed processes left, and all but the last `keep` checkpoints."""
    complete = list_checkpoints(output_dir)
    for folder in [] if keep is None else complete[:-keep]:
        folder.rename(folder.with_name(f".{folder.name}.old"))  # at once: half a checkpoint must not look like one
    for path in output_dir.iterdir():
        if re.fullmatch(rf"\.{FOLDER.pattern}\.old", path.name):
            shutil.rmtree(path, ignore_errors=True)
    for path in output_dir.glob("checkpoint-*"):
        if FOLDER.fullmatch(path.name):
            remove_leftovers(path, [STATE_NAME])
            if not any(path.iterdir()):
                path.rmdir()
