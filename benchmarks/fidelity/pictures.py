"""Draws the pictures of motion arithmetic in benchmarks/NOTES.md from stored measures.

python -m benchmarks.fidelity.pictures --measures outputs/fidelity --output benchmarks/images
python -m benchmarks.fidelity.pictures "arithmetic of paths" --pretrained_model_name_or_path examples/tiny-wan
"""

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from benchmarks.fidelity.arithmetic import ALL, QUESTIONS, resampled
from benchmarks.fidelity.runner import MEASURES, measures_of
from benchmarks.fidelity.summary import read
from benchmarks.tiny_world.pipelines import TINY_T2V


matplotlib.use("Agg")
import matplotlib.pyplot as plt


GROUPS = ("arithmetic", "arithmetic of paths")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", nargs="?", choices=GROUPS, default="arithmetic")
    parser.add_argument("--pretrained_model_name_or_path", type=Path, default=TINY_T2V)
    parser.add_argument("--measures", type=Path, default=MEASURES)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/images"))
    options = parser.parse_args(arguments)
    folder = options.measures / measures_of(options.pretrained_model_name_or_path)
    options.output.mkdir(parents=True, exist_ok=True)
    for question in QUESTIONS:
        paths = paths_of(folder, options.group, question)
        picture = options.output / f"{options.group.replace(' ', '_')}_{question}.png"
        if not paths:
            print(f"Nothing is measured of {options.group}/{question} in {folder}.")
        elif question == "sequence":  # two motions over each other are a tangle
            draw_over_time(paths, picture)
        else:
            draw(paths, picture)


def paths_of(folder: Path, group: str, question: str) -> dict[str, tuple[np.ndarray, list[np.ndarray]]]:
    """The expected path and those of the clips, (frames, 2), by case; empty if nothing was measured."""
    paths = {}
    for case in QUESTIONS[question].cases():
        measured = read(folder, group, question, [ALL], case.title)
        if measured is not None:
            centers = [np.array(row["center"], float) for row in measured.rows]
            target = next(iter(case.targets.values()))
            paths[case.title] = (resampled(target, len(centers[0])), centers)
    return paths


def draw(paths: dict[str, tuple[np.ndarray, list[np.ndarray]]], path: Path, columns: int = 4) -> None:
    """One panel for each case: the paths of all clips, over the one that is expected; dots where they begin."""
    figure, panels = panels_for(paths, columns)
    for panel, (target, found) in zip(panels, paths.values(), strict=True):
        panel.plot(*target.T, "-", lw=5, color="0.8", solid_joinstyle="round")
        panel.plot(*target[0], "o", ms=10, color="0.6")
        for number, center in enumerate(found):
            panel.plot(*center.T, "-", lw=1, color=f"C{number % 10}")
            panel.plot(*center[0], "o", ms=4, color=f"C{number % 10}")
        panel.set(xlim=(-0.9, 0.9), ylim=(0.9, -0.9), xticks=[], yticks=[], aspect="equal")
    save(figure, path)


def draw_over_time(paths: dict[str, tuple[np.ndarray, list[np.ndarray]]], path: Path, columns: int = 3) -> None:
    """One panel for each case: how far to the right (red) and down (blue) clips are in each frame, over the target."""
    figure, panels = panels_for(paths, columns)
    for panel, (target, found) in zip(panels, paths.values(), strict=True):
        for axis, (dark, pale) in enumerate((("tab:red", "lightpink"), ("tab:blue", "lightsteelblue"))):
            panel.plot(target[:, axis], "-", lw=5, color=pale, zorder=1)
            for center in found:
                panel.plot(center[:, axis], "-", lw=0.8, color=dark)
        panel.set(xlim=(0, len(target) - 1), xticks=range(0, len(target), 5), ylim=(-0.9, 0.9), yticks=[])
    save(figure, path)


def panels_for(paths: dict[str, Any], columns: int) -> tuple[Any, list]:
    """A figure, and a panel with its title for each case."""
    columns = min(columns, len(paths))
    rows = -(-len(paths) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.9 * columns, 3.1 * rows), dpi=80, squeeze=False, layout="constrained"
    )
    panels = list(grid.flat)
    for panel in panels[len(paths) :]:
        panel.set_axis_off()
    for panel, title in zip(panels, paths, strict=False):
        panel.set_title(title.replace(": ", "\n"), fontsize=10)
    return figure, panels[: len(paths)]


def save(figure: Any, path: Path) -> None:
    """As a PNG of few colours, a third of the size that matplotlib writes."""
    figure.canvas.draw()
    Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB").quantize(64).save(path, optimize=True)
    plt.close(figure)


if __name__ == "__main__":
    main()
