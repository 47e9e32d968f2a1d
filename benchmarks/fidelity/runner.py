"""Runs experiments, one file of measures for each and each reference, so that what was measured stays measured.

`<folder>/<group>/<experiment>/<reference>.json` has a row for each clip; the clips of the first seed lie beside it as
`.npz`, for contact sheets.
"""

import json
import re
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.fidelity.experiments import GROUPS, Experiment
from benchmarks.peers import Reference
from benchmarks.tiny_world.evaluate_motion import reference_frames
from benchmarks.tiny_world.measures import measure_clip, object_fidelity, text_fidelity
from benchmarks.tiny_world.pipelines import call_arguments, generate
from benchmarks.tiny_world.references import PROMPTS, object_references
from diffusers_motion_embed.metrics import appearance_leakage, track, track_fidelity
from diffusers_motion_embed.storage.atomic import replace_files


PLAIN = "without"
TEXTS = [appearance.prompt for appearance in PROMPTS]


@dataclass(frozen=True)
class Task:
    """One experiment on one reference.

    Args:
        group: Name of the experiment's group.
        name: Of the experiment; "without" is the plain model.
        reference: Name of the reference.
    """

    group: str
    name: str
    reference: str

    def path(self, folder: Path) -> Path:
        """Where its measures are."""
        return folder / self.group / re.sub(r"\W+", "_", self.name) / f"{self.reference}.json"


def tasks_of(groups: Iterable[str], references: Iterable[str]) -> list[Task]:
    """Everything to measure, first the plain model."""
    names = list(references)
    return [Task("plain", PLAIN, reference) for reference in names] + [
        Task(group, name, reference) for group in groups for name in GROUPS[group] for reference in names
    ]


def experiment_of(task: Task) -> Experiment | None:
    """None for the plain model."""
    return None if task.name == PLAIN else GROUPS[task.group][task.name]


def settings_of(task: Task) -> str:
    """What the measures depend on, as text."""
    experiment = experiment_of(task)
    return PLAIN if experiment is None else experiment.settings


class Runner:
    """Measures on one pipeline.

    Args:
        pipe: A tiny text-to-video pipeline.
        folder: Where measures are kept.
        num_seeds: Clips of each prompt.
    """

    def __init__(self, pipe: Any, folder: Path, num_seeds: int) -> None:
        self.pipe, self.folder, self.num_seeds = pipe, folder, num_seeds
        self.scenes = object_references(call_arguments(pipe)["num_frames"])
        self._plain: np.ndarray | None = None

    def run(self, tasks: list[Task]) -> list[Task]:
        """Measure what is not measured yet; an experiment that fails is told, and the others go on.

        Returns:
            Those that failed.
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
        return result["num_seeds"] >= self.num_seeds and result["settings"] == settings_of(task)

    def _write(self, task: Task) -> None:
        scene, experiment = self.scenes[task.reference], experiment_of(task)
        frames = reference_frames(task.reference, scene)
        result: dict[str, Any] = {"num_seeds": self.num_seeds, "settings": settings_of(task)}
        result |= {"seconds": 0.0, "num_bytes": 0}
        clips = {}
        if experiment is None:
            clips[""] = self._plain_clips()
        else:
            started = time.process_time()
            with experiment.method.learn(
                self.pipe, Reference(frames, scene.appearance.prompt), experiment.num_samples, seed=0
            ) as transfer:
                result |= {"seconds": time.process_time() - started, "num_bytes": transfer.num_bytes}
                for use, prepare in experiment.uses.items():
                    prepare(self.pipe)
                    clips[use] = np.stack([transfer.generate(TEXTS, seeds) for seeds in self._seeds()])
        result["rows"] = [row for use in clips for row in self._measure(clips[use], frames, task.reference, use)]
        path = task.path(self.folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path.with_suffix(".npz"), **{use or "clips": each[0] for use, each in clips.items()})
        replace_files(path.parent, {path.name: json.dumps(result).encode()})

    def _seeds(self) -> list[list[int]]:
        return [[1000 * seed + number for number in range(len(TEXTS))] for seed in range(self.num_seeds)]

    def _plain_clips(self) -> np.ndarray:
        """(seeds, prompts, frames, size, size, 3); the same for every reference."""
        if self._plain is None:
            self._plain = np.stack([generate(self.pipe, TEXTS, seeds) for seeds in self._seeds()])
        return self._plain

    def _measure(
        self, clips: np.ndarray, reference: np.ndarray, reference_name: str, use: str
    ) -> Iterator[dict[str, Any]]:
        motion, reference_tracks = self.scenes[reference_name].motion, track(reference)
        reference_colors = measure_clip(reference)
        for seed, (generated, plain) in enumerate(zip(clips, self._plain_clips(), strict=True)):
            for look, clip, without in zip(PROMPTS, generated, plain, strict=True):
                seen, seen_without = measure_clip(clip), measure_clip(without)
                cosine, distance = object_fidelity(seen, motion)
                row = {"reference": reference_name, "use": use, "prompt": look.prompt, "seed": seed}
                row |= {"cosine": cosine, "distance": distance, **text_fidelity([seen], [look])}
                row["lk_fidelity"] = track_fidelity(track(clip), reference_tracks).score
                row["leakage"] = appearance_leakage(clip, without, reference).leakage
                for name in ("lab", "background_lab"):
                    colors = (getattr(each, name).tolist() for each in (seen, seen_without, reference_colors))
                    row[name] = list(colors)
                yield row
