"""Writes the report of what was measured."""

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fidelity.experiments import BUDGET, DEFAULT, GROUPS
from benchmarks.fidelity.runner import PLAIN, Task
from benchmarks.tiny_world.evaluate_motion import reference_frames
from benchmarks.tiny_world.pipelines import TINY_T2V
from benchmarks.tiny_world.references import OBJECT_REFERENCES, PROMPTS
from diffusers_motion_embed.metrics import color_shift
from examples.report import Interval, Page, curve, interval, scatter, table


# Prompts whose clips the contact sheets show.
SHOWN = (0, 1)

MEASURES = """\
* **cosine**: displacement cosine of the object's centroid to the reference's motion, exact; 1 is the same, 0 chance
* **distance** of the two centroids, in half frame widths
* **lk fidelity**: motion fidelity by the formula of DMT, points followed by Lucas and Kanade's method
* **text**: clips with the right colour, shape and background, and the object in every frame
* **background**: clips with the right background and pattern
* **leakage**: how much more a clip looks like the reference than the plain clip of the same prompt and seed does, by
  histograms of colours; **object shift** and **background shift**: the share of the way from the plain colour to the
  reference's
* **bytes** to store, in float32 unless said otherwise; **time** of learning, as a multiple of the default's

Means with 95 % intervals over motions, prompts and seeds. Temporal consistency and text similarity by CLIP are left
out, since CLIP knows nothing of these clips."""


@dataclass(frozen=True)
class Measured:
    """The clips of one experiment and one use, of all references that were measured."""

    rows: list[dict[str, Any]]
    seconds: float
    num_bytes: int

    def mean(self, measure: str) -> Interval:
        """Over all clips."""
        return interval(row[measure] for row in self.rows)

    def text_fidelity(self) -> Interval:
        """Share of the clips with everything that the prompt says."""
        names = ("color", "background", "shape", "present")
        return interval(float(all(row[name] == 1 for name in names)) for row in self.rows)

    def shift(self, name: str) -> float:
        """Share of the way from the plain clip's colour to the reference's."""
        generated, plain, reference = (np.array([row[name][n] for row in self.rows], float) for n in range(3))
        return color_shift(generated, plain, reference).share


def results_of(folder: Path, group: str, name: str, references: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The files of an experiment that are there, by reference."""
    paths = {reference: Task(group, name, reference).path(folder) for reference in references}
    return {reference: json.loads(path.read_text()) for reference, path in paths.items() if path.is_file()}


def read(folder: Path, group: str, name: str, references: Iterable[str], use: str = "") -> Measured | None:
    """What was measured of an experiment; None if nothing was."""
    results = list(results_of(folder, group, name, references).values())
    if not results:
        return None
    rows = [row for result in results for row in result["rows"] if row["use"] == use]
    return Measured(rows, float(np.mean([result["seconds"] for result in results])), results[0]["num_bytes"])


def commands_of(measures: Path, base: Path, output: Path) -> list[str]:
    """The commands that measure everything as it was measured."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for group in GROUPS:
        found = [results_of(measures, group, name, OBJECT_REFERENCES) for name in GROUPS[group]]
        references = [reference for reference in OBJECT_REFERENCES if any(reference in each for each in found)]
        if references:
            num_seeds = min(result["num_seeds"] for each in found for result in each.values())
            options = ("--references", *references, "--num_seeds", str(num_seeds))
            groups.setdefault(options, []).append(group)
    start = ["python", "-m", "benchmarks.fidelity"]
    others = [] if base == TINY_T2V else ["--pretrained_model_name_or_path", str(base), "--output", str(output)]
    return [shlex.join([*start, "--groups", *names, *options, *others]) for options, names in groups.items()]


def default_beside(measures: Path, group: str, label: str) -> dict[str, Measured]:
    """The default on the references on which the group was measured, so that means are of the same motions."""
    names = GROUPS[group]
    shared = {reference for name in names for reference in results_of(measures, group, name, OBJECT_REFERENCES)}
    found = read(measures, "methods", DEFAULT, shared)
    return {} if found is None else {label: found}


def write_report(measures: Path, output: Path, base: Path = TINY_T2V) -> Path:
    """Write the report of everything that is in `measures`.

    Args:
        measures: Folder that a `Runner` filled.
        output: Folder of the report.
        base: Folder of the pipeline that was measured.

    Returns:
        The page.
    """
    page = Page(f"Report on {base.name}", *commands_of(measures, base, output))
    page.add(MEASURES)
    references = [name for name in OBJECT_REFERENCES if Task("plain", PLAIN, name).path(measures).is_file()]
    plain = read(measures, "plain", PLAIN, references)
    default = read(measures, "methods", DEFAULT, references)
    groups = {
        group: {
            name: found for name in GROUPS[group] if (found := read(measures, group, name, references)) is not None
        }
        for group in ("methods", "ablations", "sizes", "steps")
    }
    rows = ({PLAIN: plain} if plain else {}) | groups["methods"]
    page.add(f"## Methods\n\nEach learned from {BUDGET} samples of the reference, or without training.")
    page.add(measures_table(rows, default))
    page.add(
        "What of the prompt is right, and how far the object's colour is off, as a multiple of the plain model's:"
    )
    page.add(appearance_table(rows, plain))
    page.plot(
        scatter(
            {name: (each.mean("leakage"), each.mean("cosine")) for name, each in rows.items()},
            "appearance leakage (colour histograms)",
            "displacement cosine",
        ),
        "fidelity_and_leakage",
        "Displacement cosine against appearance leakage, one point for each method",
    )
    page.plot(
        scatter(
            {name: (each.text_fidelity(), each.mean("cosine")) for name, each in rows.items()},
            "clips with everything that the prompt says",
            "displacement cosine",
        ),
        "fidelity_and_text",
        "Displacement cosine against text fidelity, one point for each method",
    )
    for reference in references:
        sheet = sheet_rows(measures, reference)
        if sheet:
            page.add(f"### {reference}")
            page.sheet(sheet, reference, f"Clips of every method with the motion of {reference}")
    if groups["ablations"]:
        page.add("## Ablations\n\nThe default with one thing changed.")
        page.add(measures_table(default_beside(measures, "ablations", "default") | groups["ablations"], default))
    if groups["steps"]:
        page.add("## Samples of training")
        page.add(measures_table(groups["steps"], default))
        lines: dict[str, dict[float, Interval]] = {}
        for name, each in groups["steps"].items():
            recipe, _, samples = name.removesuffix(" samples").partition(", ")
            lines.setdefault(recipe, {})[float(samples)] = each.mean("cosine")
        page.plot(
            curve(lines, "training samples", "displacement cosine", log=True),
            "fidelity_and_samples",
            "Displacement cosine against training samples, by recipe",
        )
    if groups["sizes"]:
        sizes = default_beside(measures, "sizes", "4 x 4, float32") | groups["sizes"]
        page.add("## Sizes")
        page.add(measures_table(sizes, default))
        page.plot(
            scatter(
                {name: (constant(each.num_bytes / 1e6), each.mean("cosine")) for name, each in sizes.items()},
                "size, MB",
                "displacement cosine",
            ),
            "fidelity_and_size",
            "Displacement cosine against bytes",
        )
    scales = {
        float(use): found
        for use in GROUPS["scales"]["scale"].uses
        if (found := read(measures, "scales", "scale", references, use)) is not None
    }
    if scales:
        page.add("## Motion scale")
        page.add(measures_table({f"{scale:g}": each for scale, each in scales.items()}, default))
        lines = {
            "displacement cosine": {scale: each.mean("cosine") for scale, each in scales.items()},
            "right background": {scale: each.mean("background") for scale, each in scales.items()},
        }
        page.plot(
            curve(lines, "motion scale", "displacement cosine, share of clips"),
            "fidelity_and_scale",
            "Displacement cosine and right backgrounds against the motion scale",
        )
    return page.write(output)


def constant(value: float) -> Interval:
    """A number that is known."""
    return Interval(value, value, value)


def measures_table(rows: dict[str, Measured], default: Measured | None) -> str:
    """One line for each experiment; times are in those of the default, if it was measured."""
    header = ("", "clips", "cosine", "distance", "lk fidelity", "text", "background", "leakage", "object shift")
    header += ("background shift", "bytes", "time")
    return table(
        header,
        [
            (
                name,
                str(len(each.rows)),
                each.mean("cosine").text(),
                each.mean("distance").text(),
                each.mean("lk_fidelity").text(),
                each.text_fidelity().text(percent=True),
                each.mean("background").text(percent=True),
                each.mean("leakage").text(3),
                f"{each.shift('lab'):.3f}",
                f"{each.shift('background_lab'):.3f}",
                f"{each.num_bytes:,}",
                f"{each.seconds / default.seconds:.2f}" if default else "-",
            )
            for name, each in rows.items()
        ],
    )


def appearance_table(rows: dict[str, Measured], plain: Measured | None) -> str:
    """One line for each experiment, of each thing that prompts name."""
    shares = ("color", "shape", "background", "present")
    return table(
        ("", "colour", "shape", "background", "object in every frame", "colour error ratio"),
        [
            (
                name,
                *(each.mean(share).text(percent=True) for share in shares),
                f"{each.mean('color_error').mean / plain.mean('color_error').mean:.2f}" if plain else "-",
            )
            for name, each in rows.items()
        ],
    )


def sheet_rows(measures: Path, reference: str) -> list[tuple[str, np.ndarray]]:
    """The reference, and the same prompts by every method, for a contact sheet."""
    scene = OBJECT_REFERENCES[reference]
    rows = [(f"reference: {scene.appearance.prompt}", reference_frames(reference, scene))]
    for number in SHOWN:
        for group, name in (("plain", PLAIN), *(("methods", name) for name in GROUPS["methods"])):
            path = Task(group, name, reference).path(measures).with_suffix(".npz")
            if path.is_file():
                rows.append((f"{name}: {PROMPTS[number].prompt}", np.load(path)["clips"][number]))
    return rows if len(rows) > 1 else []
