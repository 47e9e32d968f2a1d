"""Things that run in turns, and what each costs over another.

Times are processor time of the process, not time on the wall: what else the machine does disturbs them less. With one
thread and nothing else to do, the two are the same.
"""

import gc
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Args:
        name: What was measured.
        value: The number, a median if it was measured several times.
        unit: "times", a ratio, or "bytes".
        quartiles: Of the rounds.
        goal: What it should not exceed.
        seconds: Of the thing and of what it is compared with, medians.
    """

    name: str
    value: float
    unit: str = "times"
    quartiles: tuple[float, float] | None = None
    goal: float | None = None
    seconds: tuple[float, float] | None = None

    def __str__(self) -> str:
        text = f"{self.value:.3f}" if self.unit == "times" else f"{self.value:,.0f} {self.unit}"
        if self.quartiles is not None:
            text += " ({:.3f} to {:.3f})".format(*self.quartiles)
        if self.seconds is not None:
            text += ", {:.4g} s over {:.4g} s".format(*self.seconds)
        if self.goal is not None:
            text += f", goal {self.goal:g}"
        return f"{self.name}: {text}"


def alternate(
    runs: dict[str, Callable[[], Any]],
    rounds: int,
    title: str,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Seconds of each run in every round; each round has all of them in an order of its own, after one unmeasured.

    Args:
        runs: What to run, by name.
        rounds: How often.
        title: Of the progress bar.
        clock: Tells processor time in seconds.
    """
    order = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    gc.freeze()  # so that collecting garbage need not look through everything there is
    try:
        for number in tqdm(range(rounds + 1), title, leave=False):
            for name in order.sample(list(runs), len(runs)):
                gc.collect()  # now, and not while the clock runs
                start = clock()
                runs[name]()
                if number:
                    seconds[name].append(clock() - start)
    finally:
        gc.unfreeze()
    return seconds


def ratio(name: str, seconds: list[float], base: list[float], goal: float | None = None) -> Figure:
    """The median over all rounds of what something costs over something else in the same round."""
    ratios = [one / other for one, other in zip(seconds, base, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    medians = (statistics.median(seconds), statistics.median(base))
    return Figure(name, statistics.median(ratios), "times", (low, high), goal, medians)
