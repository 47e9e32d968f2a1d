"""Reading stored measures, and what is printed of them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fidelity.experiments import PLAIN
from benchmarks.fidelity.runner import Task
from diffusers_motion_embed.metrics import ColorShift, color_shift
from examples.report import Interval, interval, table


# What is right of what the prompt says: shares of frames, and of clips of which every frame is right in everything.
SHARES = ("color", "shape", "background", "pattern", "present", "every_frame")
MEASURES = ("cosine", "distance", "lk_fidelity", "leakage")


@dataclass(frozen=True)
class Measured:
    """The clips of one experiment and one use, of all references that were measured."""

    rows: list[dict[str, Any]]
    seconds: float
    num_bytes: int

    def mean(self, measure: str) -> Interval:
        """Over all clips that have it: those of cameras have no distance."""
        return interval(row.get(measure) for row in self.rows)

    def shift(self, name: str) -> ColorShift:
        """How far the colours moved from the plain clips' towards the reference's."""
        return color_shift(*(np.array([row[name][n] for row in self.rows], float) for n in range(3)))

    def spread(self, measure: str) -> float:
        """Standard deviation, from seed to seed, of the mean over all else."""
        by_seed: dict[int, list[float]] = {}
        for row in self.rows:
            by_seed.setdefault(row["seed"], []).append(row.get(measure))
        return float(np.std([interval(values).mean for values in by_seed.values()], ddof=1))

    def color_error_ratio(self, plain: "Measured") -> float:
        """How far the object's colour is off, as a multiple of the plain model's."""
        return self.mean("color_error").mean / plain.mean("color_error").mean

    def by(self, key: str) -> dict[Any, "Measured"]:
        """The same by what a row says of this key."""
        groups: dict[Any, list[dict[str, Any]]] = {}
        for row in self.rows:
            groups.setdefault(row[key], []).append(row)
        return {value: Measured(rows, self.seconds, self.num_bytes) for value, rows in groups.items()}


def results_of(folder: Path, group: str, name: str, references: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The files of an experiment that are there, by reference."""
    paths = {reference: Task(group, name, reference).path(folder) for reference in references}
    return {reference: json.loads(path.read_text()) for reference, path in paths.items() if path.is_file()}


def read(folder: Path, group: str, name: str, references: Iterable[str], use: str | None = "") -> Measured | None:
    """What was measured of an experiment.

    Args:
        folder: Where measures are kept.
        group: Name of the experiment's group.
        name: The experiment's name.
        references: The references to read.
        use: Which use; None reads all.

    Returns:
        None if nothing was measured.
    """
    results = list(results_of(folder, group, name, references).values())
    rows = [row for result in results for row in result["rows"] if use is None or row["use"] == use]
    if not rows:
        return None
    return Measured(rows, float(np.mean([result["seconds"] for result in results])), results[0]["num_bytes"])


def summary_of(folder: Path, tasks: list[Task]) -> str:
    """Everything that is told of tasks that were measured, as Markdown."""
    references: dict[tuple[str, str], list[str]] = {}
    for task in tasks:
        references.setdefault((task.group, task.name), []).append(task.reference)
    parts = []
    for (group, name), names in references.items():
        measured = read(folder, group, name, names, None)
        if measured is not None:
            plain = _plain_beside(folder, names, measured)
            parts.append(f"{group}/{name}, {', '.join(names)}; learned in {measured.seconds:.0f} s\n")
            parts += _tables(measured, plain)
    return "\n".join(parts)


def _plain_beside(folder: Path, references: list[str], measured: Measured) -> Measured | None:
    """The plain model's clips of the same references and seeds."""
    plain, seeds = read(folder, "plain", PLAIN, references), measured.by("seed").keys()
    return plain and Measured([row for row in plain.rows if row["seed"] in seeds], plain.seconds, plain.num_bytes)


def _tables(measured: Measured, plain: Measured | None) -> list[str]:
    if "targets" in measured.rows[0]:
        return [_targets_table(measured)]
    if "own" in measured.rows[0]:
        return [_sides_table(measured)]
    if "lab" not in measured.rows[0]:  # nothing to compare with
        return [_range_table(measured, "lk_fidelity")]
    found = [_measures_table(measured, plain)]
    if len(measured.by("reference")) > 1:
        found.append(_table_by_reference(measured))
    if cameras := [row for row in measured.rows if "same_pattern" in row]:
        found.append(_table_by_pattern(replace(measured, rows=cameras)))
    if len(measured.by("seed")) > 1:
        found.append(_spread_table(measured))
    if plain is not None:
        rows = measured.rows + ([] if measured.rows == plain.rows else plain.rows)
        found.append(f"Rank correlation of cosine and lk_fidelity over all clips: {rank_correlation(rows):.2f}\n")
    return found


def _measures_table(measured: Measured, plain: Measured | None) -> str:
    first = measured.rows[0]
    known = {*MEASURES, *SHARES, "right", "color_error", "lab", "background_lab"}
    names = [name for name in MEASURES if name in first]
    figures = [name for name, value in first.items() if isinstance(value, float) and name not in known]
    rows = []
    for use, each in measured.by("use").items():
        cells = [use, str(len(each.rows)), *(each.mean(name).text(3) for name in names)]
        cells += [each.mean(name).text(percent=True) for name in SHARES]
        cells += [f"{each.mean(name).mean:.3f}" for name in ("color_error", *figures)]
        cells += [f"{each.shift(name).share:.3f}" for name in ("lab", "background_lab")]
        cells += [f"{each.color_error_ratio(plain):.3f}"] if plain is not None else []
        rows.append(cells)
    header = ["", "clips", *names, *SHARES, "color_error", *figures, "object shift", "background shift"]
    header += ["color_error_ratio"] if plain is not None else []
    return table(header, rows) + "\n"


def _range_table(measured: Measured, name: str) -> str:
    rows = []
    for use, each in measured.by("use").items():
        values = [row[name] for row in each.rows]
        rows.append(
            (use, str(len(values)), *(f"{value:.2f}" for value in (np.mean(values), min(values), max(values))))
        )
    return table((name, "clips", "mean", "lowest", "highest"), rows) + "\n"


def _table_by_reference(measured: Measured) -> str:
    names = list(measured.by("reference"))
    rows = [
        (use, *(f"{of_reference.mean('cosine').mean:.3f}" for of_reference in part.by("reference").values()))
        for use, part in measured.by("use").items()
    ]
    return table(("cosine", *names), rows) + "\n"


def _table_by_pattern(measured: Measured) -> str:
    """Cameras by the pattern that is seen."""
    rows = []
    for use, each in measured.by("use").items():
        for same, part in sorted(each.by("same_pattern").items(), reverse=True):
            pattern = "the reference's" if same else "another"
            cosines = (of_reference.mean("cosine").text() for of_reference in part.by("reference").values())
            rows.append((use, pattern, part.mean("cosine").text(), *cosines))
    return table(("", "pattern", "all", *measured.by("reference")), rows) + "\n"


def _spread_table(measured: Measured) -> str:
    names = [name for name in (*MEASURES, "background", "color_error") if name in measured.rows[0]]
    rows = [(use, *(f"{each.spread(name):.3f}" for name in names)) for use, each in measured.by("use").items()]
    return table(("spread from seed to seed", *names), rows) + "\n"


def _targets_table(measured: Measured) -> str:
    rows = []
    for use, each in measured.by("use").items():
        shares = [each.mean(name).mean for name in ("shape", "background")]
        for name in next((row["targets"] for row in each.rows if row["targets"]), {}):
            motion = [
                interval(row["targets"].get(name, {}).get(measure) for row in each.rows).mean
                for measure in ("cosine", "distance", "gain")
            ]
            rows.append((use, name, *(f"{value:.2f}" for value in [*motion, *shares])))
    return table(("case", "compared with", "cosine", "distance", "gain", "shape", "background"), rows) + "\n"


def _sides_table(measured: Measured) -> str:
    rows = [
        (
            use,
            str(len(each.rows)),
            *(each.mean(name).text() for name in ("own", "other")),
            *(each.mean(name).text(percent=True) for name in ("right", "every_frame")),
        )
        for use, each in measured.by("use").items()
    ]
    header = ("", "clips", "cosine with the side's motion", "with the other side's", "right frames", "every frame")
    return table(header, rows) + "\n"


def rank_correlation(rows: list[dict[str, Any]]) -> float:
    """Spearman's, of the exact cosine and the motion fidelity over all clips."""
    ranks = [np.argsort(np.argsort([row[name] for row in rows])) for name in ("cosine", "lk_fidelity")]
    return float(np.corrcoef(ranks)[0, 1])
