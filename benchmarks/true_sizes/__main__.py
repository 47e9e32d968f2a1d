"""`python -m benchmarks.true_sizes`: bases of true size with random weights, measured and estimated, as a table.

Each base trains two steps, with and without recomputation, and generates in two steps. The clips are as small as two
cores can bear. What full clips need is estimated.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.true_sizes.bases import BASES, DTYPE, Base, Clip
from benchmarks.true_sizes.running import measure
from diffusers_motion_embed.estimate import MemoryEstimate, estimate_memory
from diffusers_motion_embed.estimate.memory import RUNS, gigabytes
from diffusers_motion_embed.training import TrainingConfig


HEADS = ("base", "stage", "allocated", "estimate over it", "seconds")
ONE_PASS = TrainingConfig(gradient_accumulation_steps=1)


def rows(base: Base) -> Iterator[tuple[str, ...]]:
    """A line for each stage, and one for the rest."""
    with tempfile.TemporaryDirectory() as folder:
        base.write_settings(Path(folder))
        small, usual = (_estimated(folder, clip) for clip in (base.small, base.usual))
    expected = {run: small.stages[run][-2 if run == "generation" else -1].activations for run in RUNS}
    stages, embedding_bytes = measure(base)
    for each in stages:
        share = f"{expected[each.stage] / each.allocated:.3f}" if each.stage in expected else ""
        yield base.name, each.stage, f"{each.allocated / 1e6:.1f} MB", share, f"{each.seconds:.0f}"
    weights = ", ".join(f"{name} {gigabytes(size)}" for name, size in small.weights.items())
    needs = ", ".join(
        f"{run} {gigabytes(usual.needs[offload, 'none', run])} ({offload} offloading)"
        for offload in ("none", "model")
        for run in RUNS
    )
    yield base.name, f"weights: {weights}; the embedding's file: {embedding_bytes / 1e6:.2f} MB", "", "", ""
    yield base.name, f"{_shown(base.usual)} would need: {needs}", "", "", ""


def _estimated(folder: str, clip: Clip) -> MemoryEstimate:
    return estimate_memory(folder, *clip, config=ONE_PASS, dtype=DTYPE, guided=False)


def _shown(clip: Clip) -> str:
    return "{} frames of {} x {}".format(*clip)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.true_sizes", description=__doc__)
    parser.add_argument("bases", nargs="*", metavar="base", help=", ".join(BASES))
    parser.add_argument("--threads", type=int, default=1, help="Threads of torch.")
    options = parser.parse_args(arguments)
    if unknown := set(options.bases) - set(BASES):
        parser.error(f"no such base: {', '.join(sorted(unknown))}; there are {', '.join(BASES)}")
    torch.set_num_threads(options.threads)
    for line in (HEADS, ("---",) * len(HEADS)):
        print("|", " | ".join(line), "|")
    for name in options.bases or BASES:
        for row in rows(BASES[name]):
            print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
