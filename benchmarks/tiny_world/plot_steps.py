"""Draw fidelity against training steps, from what `evaluate_motion.py --at_steps ...` wrote.

    python -m benchmarks.tiny_world.plot_steps default=outputs/default.json paper=outputs/paper.json \
        --output docs/images/fidelity_by_steps.png

Bands are 95 % intervals.
"""

import argparse
import json
import re
from pathlib import Path

from matplotlib.figure import Figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", metavar="title=file", help="Files written by evaluate_motion.py.")
    parser.add_argument("--output", type=Path, default=Path("outputs/fidelity_by_steps.png"))
    options = parser.parse_args()
    curves = {}
    for result in options.results:
        title, _, file = result.partition("=")
        curves[title] = read_curve(Path(file))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    draw(curves).savefig(options.output)
    print(f"Wrote {options.output}")


def read_curve(file: Path) -> dict[int, tuple[float, float, float]]:
    """Displacement cosine of objects by step: its mean and the ends of its 95 % interval."""
    curve = {}
    for mode, figures in json.loads(file.read_text())["summary"].items():
        found = re.fullmatch(r"object, .*step (\d+)", mode)
        if found:
            curve[int(found[1])] = tuple(figures["measures"]["cosine"]["mean"])
    if not curve:
        raise ValueError(f"{file} has no figures by step; evaluate_motion.py writes them with --at_steps.")
    return dict(sorted(curve.items()))


def draw(curves: dict[str, dict[int, tuple[float, float, float]]]) -> Figure:
    """One line for each title, from the plain model's 0 on."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    for title, curve in curves.items():
        steps = list(curve)
        means, lows, highs = zip(*curve.values(), strict=True)
        (line,) = axes.plot(steps, means, marker="o", markersize=4, label=title)
        axes.fill_between(steps, lows, highs, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel="training steps", ylabel="displacement cosine", ylim=(-0.1, 1))
    axes.grid(alpha=0.3)
    axes.legend(loc="center right")
    return figure


if __name__ == "__main__":
    main()
