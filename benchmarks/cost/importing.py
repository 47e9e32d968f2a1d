"""Importing the package over importing diffusers and PEFT, in processes of their own."""

import resource
import subprocess
import sys
from pathlib import Path

from benchmarks.cost.timing import Figure, alternate, ratio


PACKAGE = "import diffusers_motion_embed"
HOSTS = "import diffusers, peft"


def measure_importing(rounds: int) -> list[Figure]:
    """Processor time of whole Python processes."""
    runs = {"package": lambda: _run(PACKAGE), "hosts": lambda: _run(HOSTS)}
    seconds = alternate(runs, rounds, "importing", clock=_time_of_children)
    return [ratio("importing, the package over diffusers and peft", seconds["package"], seconds["hosts"])]


def _run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, check=True)


def _time_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
