"""Curves of measured figures with their intervals."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from examples.report import Interval


def curve(lines: Mapping[str, Mapping[float, Interval]], xlabel: str, ylabel: str, log: bool = False) -> Figure:
    """One line with a band of its intervals for each entry.

    Args:
        lines: Figures by place along the first axis, by label.
        xlabel: What is along the first axis.
        ylabel: What is along the second.
        log: Whether the first axis is logarithmic.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for label, values in lines.items():
        places = sorted(values)
        means, lows, highs = zip(*((values[x].mean, values[x].low, values[x].high) for x in places), strict=True)
        (line,) = axes.plot(places, means, marker="o", markersize=4, label=label)
        axes.fill_between(places, lows, highs, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale="log" if log else "linear")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
