"""Peak memory of a training step over that of a plain forward, each in a process of its own. Linux only.

Measured is the resident memory that a pass adds to the loaded model at its peak, as the kernel tells it. Each is the
second pass of its process, and the C library is told to give large blocks back when they are freed: what it keeps for
later, and the holes between, would otherwise count too.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm.auto import tqdm

from benchmarks.cost.models import UNET_3D, Size
from benchmarks.cost.timing import Figure
from benchmarks.cost.training import CASES, CHOICES, Case, forward, step


FORWARD = "forward"


def measure_memory(size: Size = UNET_3D.size, cases: tuple[Case, ...] = CASES) -> list[Figure]:
    """The cases of the training steps."""
    names = [FORWARD, *map(str, cases)]
    peaks = {name: _peak_of(name, size) for name in tqdm(names, "memory", leave=False)}
    title = f"peak memory, {UNET_3D.at(size)}"
    figures = [Figure(f"{title}, {FORWARD}", peaks[FORWARD], "bytes")]
    for case in cases:
        share = peaks[str(case)] / peaks[FORWARD]
        figures.append(Figure(f"{title}, step over forward, {case}", share, goal=case.memory_goal))
    return figures


def _peak_of(name: str, size: Size) -> int:
    command = [
        sys.executable,
        "-m",
        "benchmarks.cost.memory",
        name,
        json.dumps(asdict(size)),
        str(torch.get_num_threads()),
    ]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**17)}
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"Measuring {name} failed:\n{done.stderr}")
    return int(done.stdout.split()[-1])


def _measure_here(name: str, size: Size) -> int:
    """Bytes that the second pass adds at its peak."""
    subject = UNET_3D.at(size)
    model = subject.build()
    if name == FORWARD:
        run = forward(model, subject.inputs())
    else:
        run = step(next(case for case in CASES + CHOICES if str(case) == name), model, size)
    run()
    before = _kilobytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    run()
    return (_kilobytes("VmHWM") - before) * 1024


def _kilobytes(key: str) -> int:
    return int(re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


if __name__ == "__main__":
    chosen, chosen_size, num_threads = sys.argv[1:]
    torch.set_num_threads(int(num_threads))
    print(_measure_here(chosen, Size(**json.loads(chosen_size))))
