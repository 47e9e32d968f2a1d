"""Runs experiments, one file of measures for each and each reference, so that what was measured stays measured.

`<folder>/<group>/<experiment>/<reference>.json` has a row for each clip. Of the first seed, the clips that contact
sheets show lie beside it as `.npz`.
"""

import hashlib
import json
import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.fidelity.experiments import GROUPS, PLAIN
from benchmarks.fidelity.lab import Experiment, Lab
from benchmarks.fidelity.learned import Learned
from benchmarks.fidelity.rows import rows_of
from benchmarks.tiny_world.reference_sets import ReferenceSet
from benchmarks.tiny_world.references import CHOOSING
from diffusers_motion_embed.storage.atomic import replace_files


MEASURES = Path("outputs/fidelity")
SHOWN = 2  # prompts, the first ones, whose clips contact sheets show


@dataclass(frozen=True)
class Task:
    """One experiment on one reference.

    Args:
        group: Name of the experiment's group.
        name: The experiment's name; "without" is the plain model.
        reference: Name of the reference.
    """

    group: str
    name: str
    reference: str

    def path(self, folder: Path) -> Path:
        """Where its measures are."""
        return folder / self.group / re.sub(r"\W+", "_", self.name) / f"{self.reference}.json"

    @property
    def experiment(self) -> Experiment:
        """What the table says."""
        return GROUPS[self.group][self.name]


def measures_of(model: Path) -> Path:
    """The folder of a model's measures, named after its weights too: trained anew, it is another model."""
    digest = hashlib.sha256()
    for file in sorted(model.rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return Path(f"{model.name}-{digest.hexdigest()[:8]}")


def tasks_of(chosen: Iterable[tuple[str, str]], references: list[str]) -> list[Task]:
    """Everything to measure: first the plain model, if anything is compared with it.

    Args:
        chosen: Groups and names of experiments.
        references: Names of the references.
    """
    chosen = list(chosen)
    if any(isinstance(GROUPS[group][name], Learned) for group, name in chosen):
        chosen.insert(0, ("plain", PLAIN))
    tasks = [
        Task(group, name, reference)
        for group, name in chosen
        for reference in GROUPS[group][name].references(references)
    ]
    return list(dict.fromkeys(tasks))


class Runner:
    """Measures on one pipeline.

    Args:
        pipe: A tiny text-to-video pipeline.
        folder: Where measures are kept.
        num_seeds: Number of clips of each prompt.
        references: What is learned from, and tried on.
    """

    def __init__(self, pipe: Any, folder: Path, num_seeds: int, references: ReferenceSet = CHOOSING) -> None:
        self.folder, self.lab = folder, Lab(pipe, folder, num_seeds, references)

    def run(self, tasks: list[Task]) -> list[Task]:
        """Measure what is not measured yet; an experiment that fails is told, and the others go on.

        Returns:
            The tasks that failed.
        """
        missing = [task for task in tasks if not self.is_done(task)]
        failed = []
        bar = tqdm(missing, "experiments", disable=not missing)
        for task in bar:
            bar.set_postfix_str(f"{task.name}, {task.reference}")
            try:
                self._write(task)
            except Exception:
                failed.append(task)
                bar.write(f"{task.group}, {task.name}, {task.reference}:\n{traceback.format_exc()}")
        return failed

    def is_done(self, task: Task) -> bool:
        """Whether its measures are there, of the same settings and as many seeds or more."""
        try:
            result = json.loads(task.path(self.folder).read_text())
        except (FileNotFoundError, ValueError):  # not there, or not whole
            return False
        return result["num_seeds"] >= self.lab.num_seeds and result["settings"] == task.experiment.settings

    def _write(self, task: Task) -> None:
        outcome = task.experiment.run(self.lab, task.reference)
        result = {
            "num_seeds": self.lab.num_seeds,
            "settings": task.experiment.settings,
            "seconds": outcome.seconds,
            "num_bytes": outcome.num_bytes,
            "rows": list(rows_of(self.lab, task.reference, outcome)),
        }
        path = task.path(self.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        shown = {each.use or "clips": each.frames[0][:SHOWN] for each in outcome.clips}
        np.savez_compressed(path.with_suffix(".npz"), **shown)
        replace_files(path.parent, {path.name: json.dumps(result).encode()})
