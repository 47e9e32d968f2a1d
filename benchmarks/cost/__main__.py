"""`python -m benchmarks.cost`: measures what is named, or everything, and writes it to a file as well."""

import argparse
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.cost.estimating import measure_estimates
from benchmarks.cost.forward import BLOCK, measure_block, measure_forward
from benchmarks.cost.importing import measure_importing
from benchmarks.cost.loading import measure_loading
from benchmarks.cost.memory import measure_memory
from benchmarks.cost.models import SUBJECTS, UNET_3D, UNET_MOTION, WAN, WIDER
from benchmarks.cost.seeking import measure_seeking
from benchmarks.cost.sizes import measure_sizes
from benchmarks.cost.timing import Figure
from benchmarks.cost.training import CHOICES, measure_steps


# Each measurement in the order in which they run; a model class that is measured is one too.
MEASUREMENTS: dict[str, Callable[[int], list[Figure]]] = {
    **{f"forward:{each.model_class}": lambda rounds, each=each: measure_forward(each, rounds) for each in SUBJECTS},
    **{
        f"forward:{each.model_class}:wider": lambda rounds, each=each: measure_forward(each.at(WIDER), rounds)
        for each in (UNET_3D, UNET_MOTION)
    },
    **{
        f"forward:{WAN.model_class}:{'-'.join(parts)}": lambda rounds, parts=parts: measure_forward(WAN, rounds, parts)
        for parts in (("p",), ("qk", "v", "p"))
    },
    "block": lambda rounds: measure_block(BLOCK, rounds),
    "step": measure_steps,
    "memory": lambda rounds: measure_memory(),
    "estimate": lambda rounds: measure_estimates(),
    "recomputation": lambda rounds: measure_steps(rounds, cases=CHOICES) + measure_memory(cases=CHOICES),
    "loading": lambda rounds: measure_loading(UNET_3D, rounds),
    "importing": measure_importing,
    "seeking": measure_seeking,
    "sizes": lambda rounds: measure_sizes(),
}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    parser.add_argument("measurements", nargs="*", metavar="measurement", help=", ".join(MEASUREMENTS))
    parser.add_argument("--rounds", type=int, default=30, help="How often each thing runs; at least 2.")
    parser.add_argument("--threads", type=int, default=1, help="Of torch.")
    parser.add_argument("--output", type=Path, default=Path("outputs/benchmarks.json"))
    options = parser.parse_args(arguments)
    unknown = set(options.measurements) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}; there are {', '.join(MEASUREMENTS)}")
    if options.rounds < 2 or options.threads < 1:
        parser.error("--rounds must be at least 2, and --threads at least 1")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    torch.set_num_threads(options.threads)
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} used",
        "versions": {name: version(name) for name in ("torch", "diffusers", "peft")},
        "rounds": options.rounds,
        "figures": {},
    }
    if options.output.is_file():  # what is not measured again stays
        report["figures"] = json.loads(options.output.read_text())["figures"]
    for name in options.measurements or MEASUREMENTS:
        figures = MEASUREMENTS[name](options.rounds)
        print(*figures, sep="\n", flush=True)
        report["figures"][name] = [asdict(figure) for figure in figures]
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
