"""`python -m benchmarks.true_sizes`: bases of true size with random weights, measured and estimated, as a table.

Each base trains two steps, with and without recomputation, and generates in two steps. The clips are as small as two
cores can bear. What full clips need, in bfloat16, is estimated.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.true_sizes.bases import BASES, Base, Clip
from benchmarks.true_sizes.running import measure
from diffusers_motion_embed.estimate import MemoryEstimate, estimate_memory
from diffusers_motion_embed.estimate.memory import RUNS, gigabytes
from diffusers_motion_embed.training import TrainingConfig


DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
HEADS = ("base", "dtype", "stage", "allocated", "estimate over it", "seconds")
ONE_PASS = TrainingConfig(gradient_accumulation_steps=1)


def rows(base: Base, dtype: str) -> Iterator[tuple[str, ...]]:
    """A line for each stage, and two for the rest."""
    with tempfile.TemporaryDirectory() as folder:
        base.write_settings(Path(folder))
        small = _estimated(folder, base.small, DTYPES[dtype])
        usual = _estimated(folder, base.usual, torch.bfloat16)
    expected = {run: small.stages[run][-2 if run == "generation" else -1].activations for run in RUNS}
    stages, embedding_bytes = measure(base, DTYPES[dtype])
    for each in stages:
        share = f"{expected[each.stage] / each.allocated:.3f}" if each.stage in expected else ""
        yield base.name, dtype, each.stage, f"{each.allocated / 1e6:.1f} MB", share, f"{each.seconds:.0f}"
    weights = ", ".join(f"{name} {gigabytes(size)}" for name, size in usual.weights.items())
    needs = ", ".join(
        f"{run} {gigabytes(usual.needs[offload, 'none', run])} ({offload} offloading)"
        for offload in ("none", "model")
        for run in RUNS
    )
    file = f"the embedding's file, of {_shown(base.small)}: {embedding_bytes / 1e6:.2f} MB"
    for fact in (f"weights: {weights}; {file}", f"{_shown(base.usual)} would need: {needs}"):
        yield base.name, "bfloat16", fact, "", "", ""


def _estimated(folder: str, clip: Clip, dtype: torch.dtype) -> MemoryEstimate:
    return estimate_memory(folder, *clip, config=ONE_PASS, dtype=dtype, guided=False)


def _shown(clip: Clip) -> str:
    return "{} frames of {} x {}".format(*clip)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.true_sizes", description=__doc__)
    parser.add_argument("bases", nargs="*", metavar="base", help=", ".join(BASES))
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="Of what is run; VAEs are float32.")
    parser.add_argument("--threads", type=int, default=1, help="Threads of torch.")
    options = parser.parse_args(arguments)
    if unknown := set(options.bases) - set(BASES):
        parser.error(f"no such base: {', '.join(sorted(unknown))}; there are {', '.join(BASES)}")
    torch.set_num_threads(options.threads)
    for line in (HEADS, ("---",) * len(HEADS)):
        print("|", " | ".join(line), "|")
    for name in options.bases or BASES:
        for row in rows(BASES[name], options.dtype):
            print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
