"""Writes docs/report from stored measures; measures nothing.

python -m benchmarks.fidelity.report --measures outputs/fidelity --output docs/report
python -m benchmarks.fidelity.report --half report
"""

import argparse
import shlex
from pathlib import Path

import numpy as np

from benchmarks.fidelity.experiments import DEFAULT, GROUPS, PLAIN, REPORTED
from benchmarks.fidelity.figures import curve
from benchmarks.fidelity.halves import HALVES, names_of, references_of
from benchmarks.fidelity.learned import BUDGET
from benchmarks.fidelity.runner import MEASURES, SHOWN, Task, measures_of
from benchmarks.fidelity.summary import SHARES, Measured, read, results_of
from benchmarks.tiny_world.pipelines import TINY_T2V
from benchmarks.tiny_world.references import reference_frames
from benchmarks.tiny_world.scene import NUM_FRAMES
from examples.report import Interval, Page, scatter, table


OUTPUTS = dict(zip(HALVES, (Path("docs/report"), Path("docs/report/held_out")), strict=True))
EXPLANATION = """\
* **cosine**: displacement cosine of the object's centroid to the reference's motion, exact; 1 is the same, 0 chance
* **distance** of the two centroids, in half frame widths
* **lk fidelity**: motion fidelity by the formula of DMT, points followed by Lucas and Kanade's method
* **frames right**: frames in which everything is right that the prompt says: objects there, whole, of the right shape
  and colour, and the background's colour and pattern; **every frame**: clips of which that holds throughout
* **leakage**: how much more a clip looks like the reference than the plain clip of the same prompt and seed does, by
  histograms of colours; **object shift** and **background shift**: the share of the way from the plain colour to the
  reference's
* **bytes** to store, in float32 unless said otherwise; **time** of learning, as a multiple of the default's

Means with 95 % intervals over motions, prompts and seeds. Temporal consistency and text similarity by CLIP are left
out, since CLIP knows nothing of these clips."""


class Report:
    """Writes the report of everything that is in a folder.

    Args:
        measures: The folder that a `Runner` filled.
        output: Folder of the report.
        base: Folder of the pipeline that was measured.
        half: Which half of the references.
    """

    def __init__(self, measures: Path, output: Path, base: Path = TINY_T2V, half: str = HALVES[0]) -> None:
        self.measures, self.output, self.base, self.half = measures, output, base, half
        self.known = references_of(half)
        self.names = [name for name in names_of(half) if Task("plain", PLAIN, name).path(measures).is_file()]
        self.default = self._read("methods", DEFAULT)
        self.page = Page(self._title(), *self._commands())

    def write(self) -> Path:
        """The page, with everything that was measured."""
        self.page.add(EXPLANATION)
        self.page.add(f"## Methods\n\nEach learned from {BUDGET} samples of the reference, or without training.")
        kinds = {self.known.is_camera(name) for name in self.names}
        for is_camera in sorted(kinds):
            if len(kinds) > 1:
                self.page.add(f"### {'Cameras' if is_camera else 'Moving objects'}")
            self._methods([name for name in self.names if self.known.is_camera(name) == is_camera])
        for name in self.names:
            self._sheet(name)
        for write in (self._ablations, self._steps, self._sizes, self._scales):
            write()
        return self.page.write(self.output)

    def _title(self) -> str:
        return f"Report on {self.base.name}" + (", held-out references" if self.half == "report" else "")

    def _commands(self) -> list[str]:
        """The commands that measure everything as it was measured, and write the page."""
        groups: dict[tuple[str, ...], list[str]] = {}
        for group in REPORTED:
            found = [results_of(self.measures, group, name, self.names) for name in GROUPS[group]]
            references = [reference for reference in self.names if any(reference in each for each in found)]
            if references:
                num_seeds = min(result["num_seeds"] for each in found for result in each.values())
                options = ("--references", *references, "--num_seeds", str(num_seeds))
                groups.setdefault(options, []).append(group)
        others = [] if self.base == TINY_T2V else ["--pretrained_model_name_or_path", str(self.base)]
        others += [] if self.half == HALVES[0] else ["--half", self.half]
        start = ["python", "-m", "benchmarks.fidelity"]
        commands = [[*start, *names, *options, *others] for options, names in groups.items()]
        report = [*start[:2], "benchmarks.fidelity.report", *others, "--output", str(self.output)]
        return [shlex.join(each) for each in [*commands, report]]

    def _read(self, group: str, name: str, use: str = "", references: list[str] | None = None) -> Measured | None:
        return read(self.measures, group, name, self.names if references is None else references, use)

    def _group(self, group: str, references: list[str] | None = None) -> dict[str, Measured]:
        found = {name: self._read(group, name, references=references) for name in GROUPS[group]}
        return {name: each for name, each in found.items() if each is not None}

    def _methods(self, references: list[str]) -> None:
        plain = self._read("plain", PLAIN, references=references)
        rows = ({PLAIN: plain} if plain else {}) | self._group("methods", references)
        self.page.add(measures_table(rows, self._read("methods", DEFAULT, references=references)))
        self.page.add(
            "Frames in which what the prompt says is right, clips of which every frame is, and how far the object's "
            "colour is off, as a multiple of the plain model's:"
        )
        self.page.add(appearance_table(rows, plain))
        kind = "camera_" if references and self.known.is_camera(references[0]) else ""
        self._plot(
            {name: (each.mean("leakage"), each.mean("cosine")) for name, each in rows.items()},
            f"{kind}fidelity_and_leakage",
            "appearance leakage (colour histograms)",
            "Displacement cosine against appearance leakage, one point for each method",
        )
        self._plot(
            {name: (each.mean("every_frame"), each.mean("cosine")) for name, each in rows.items()},
            f"{kind}fidelity_and_text",
            "clips with everything that the prompt says in every frame",
            "Displacement cosine against text fidelity, one point for each method",
        )

    def _sheet(self, reference: str) -> None:
        """The reference, and the same prompts by every method."""
        scene, looks = self.known.scenes(NUM_FRAMES)[reference], self.known.looks_for(reference)
        rows = []
        for number in range(SHOWN):
            for group, name in (("plain", PLAIN), *(("methods", name) for name in GROUPS["methods"])):
                path = Task(group, name, reference).path(self.measures).with_suffix(".npz")
                if path.is_file():
                    rows.append((f"{name}: {looks[number].prompt}", np.load(path)["clips"][number]))
        if rows:
            num_frames = len(rows[0][1])
            shown = (f"reference: {scene.appearance.prompt}", reference_frames(reference, num_frames, self.known))
            self.page.add(f"### {reference}")
            self.page.sheet([shown, *rows], reference, f"Clips of every method with the motion of {reference}")

    def _plot(self, points: dict[str, tuple[Interval, Interval]], name: str, xlabel: str, title: str) -> None:
        self.page.plot(scatter(points, xlabel, "displacement cosine"), name, title)

    def _ablations(self) -> None:
        ablations = self._group("ablations")
        if ablations:
            self.page.add("## Ablations\n\nThe default settings with one thing changed, whatever the model's recipe.")
            self.page.add(measures_table(ablations, self.default))

    def _steps(self) -> None:
        steps = self._group("steps")
        if not steps:
            return
        self.page.add("## Samples of training")
        self.page.add(measures_table(steps, self.default))
        lines: dict[str, dict[float, Interval]] = {}
        for name, each in steps.items():
            recipe, _, samples = name.removesuffix(" samples").partition(", ")
            lines.setdefault(recipe, {})[float(samples)] = each.mean("cosine")
        self.page.plot(
            curve(lines, "training samples", "displacement cosine", log=True),
            "fidelity_and_samples",
            "Displacement cosine against training samples, by recipe",
        )

    def _sizes(self) -> None:
        sizes = self._group("sizes")
        if not sizes:
            return
        self.page.add("## Sizes")
        self.page.add(measures_table(sizes, self.default))
        self._plot(
            {name: (constant(each.num_bytes / 1e6), each.mean("cosine")) for name, each in sizes.items()},
            "fidelity_and_size",
            "size, MB",
            "Displacement cosine against bytes",
        )

    def _scales(self) -> None:
        found = {float(use): self._read("scales", "scale", use) for use in GROUPS["scales"]["scale"].uses}
        scales = {scale: each for scale, each in found.items() if each is not None}
        if not scales:
            return
        self.page.add("## Motion scale")
        self.page.add(measures_table({f"{scale:g}": each for scale, each in scales.items()}, self.default))
        lines = {
            "displacement cosine": {scale: each.mean("cosine") for scale, each in scales.items()},
            "frames right": {scale: each.mean("right") for scale, each in scales.items()},
        }
        self.page.plot(
            curve(lines, "motion scale", "displacement cosine, share of frames"),
            "fidelity_and_scale",
            "Displacement cosine and right frames against the motion scale",
        )


def constant(value: float) -> Interval:
    """A number that is known."""
    return Interval(value, value, value)


def measures_table(rows: dict[str, Measured], default: Measured | None) -> str:
    """One line for each experiment; times are in those of the default, if it was measured."""
    header = (
        "",
        "clips",
        "cosine",
        "distance",
        "lk fidelity",
        "frames right",
        "every frame",
        "leakage",
        "object shift",
    )
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
                each.mean("right").text(percent=True),
                each.mean("every_frame").text(percent=True),
                each.mean("leakage").text(3),
                f"{each.shift('lab').share:.3f}",
                f"{each.shift('background_lab').share:.3f}",
                f"{each.num_bytes:,}",
                f"{each.seconds / default.seconds:.2f}" if default else "-",
            )
            for name, each in rows.items()
        ],
    )


def appearance_table(rows: dict[str, Measured], plain: Measured | None) -> str:
    """One line for each experiment, of each thing that prompts name."""
    return table(
        ("", "colour", "shape", "background", "pattern", "object there", "every frame", "colour error ratio"),
        [
            (
                name,
                *(each.mean(share).text(percent=True) for share in SHARES),
                f"{each.color_error_ratio(plain):.2f}" if plain else "-",
            )
            for name, each in rows.items()
        ],
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--pretrained_model_name_or_path", type=Path, default=TINY_T2V)
    add("--half", choices=HALVES, default=HALVES[0], help="Which half of the references was measured.")
    add("--measures", type=Path, default=MEASURES, help="Where measures are kept.")
    add("--output", type=Path, help="By default docs/report, or docs/report/held_out.")
    options = parser.parse_args(arguments)
    base = options.pretrained_model_name_or_path
    folder = options.measures / measures_of(base)
    if not folder.is_dir():
        parser.error(
            f"there are no measures of {base} in {options.measures}; python -m benchmarks.fidelity makes them"
        )
    output = options.output or OUTPUTS[options.half]
    print(f"Wrote {Report(folder, output, base, options.half).write()}")


if __name__ == "__main__":
    main()
