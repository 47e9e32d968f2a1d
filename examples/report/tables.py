"""Figures as Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % interval, by bootstrap over clips."""

    mean: float
    low: float
    high: float

    def text(self, digits: int = 2, percent: bool = False) -> str:
        """As "0.95 (0.94 to 0.96)"."""
        factor, unit, digits = (100, " %", 0) if percent else (1, "", digits)
        if not np.isfinite(self.mean):
            return "-"
        mean, low, high = (f"{factor * value:.{digits}f}" for value in (self.mean, self.low, self.high))
        return f"{mean}{unit} ({low} to {high})"


def mean_and_interval(values: Iterable[float], seed: int = 0) -> tuple[float, float, float]:
    """Mean and its 95 % interval by bootstrap over the values."""
    values = np.asarray(values, float)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(2000, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def interval(values: Iterable[float | None]) -> Interval:
    """Of the values that are known; NaN if none is."""
    known = np.array([np.nan if value is None else value for value in values], float)
    known = known[np.isfinite(known)]
    return Interval(*mean_and_interval(known)) if len(known) else Interval(np.nan, np.nan, np.nan)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
