"""Reports of measured clips: pages of tables, plots and contact sheets that can be read on GitHub."""

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from diffusers_motion_embed.video.sheets import contact_sheet


MARK = "<!-- A report, written by a program. -->"  # a page with it may be replaced
SHEET_WIDTH = 112  # of a frame on a contact sheet, in pixels
PACKAGES = ("torch", "diffusers", "peft", "diffusers_motion_embed")


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


def interval(values: Iterable[float | None]) -> Interval:
    """The mean of the known values, and its interval; NaN if there are none."""
    known = np.array([np.nan if value is None else value for value in values], float)
    known = known[np.isfinite(known)]
    if not len(known):
        return Interval(np.nan, np.nan, np.nan)
    drawn = np.random.default_rng(0).integers(len(known), size=(2000, len(known)))
    low, high = np.quantile(known[drawn].mean(1), [0.025, 0.975])
    return Interval(float(known.mean()), float(low), float(high))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def scatter(points: Mapping[str, tuple[Interval, Interval]], xlabel: str, ylabel: str) -> Figure:
    """One labelled point with intervals for each entry.

    Args:
        points: The values along both axes, by label.
        xlabel: The label of the first axis.
        ylabel: The label of the second axis.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for number, (label, (x, y)) in enumerate(points.items()):
        errors = [[[each.mean - each.low], [each.high - each.mean]] for each in (x, y)]
        axes.errorbar(x.mean, y.mean, errors[1], errors[0], fmt="os^Dv*P"[number % 7], capsize=2, label=label)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


class Page:
    """Collects a report. Nothing is on disk before `write`.

    Args:
        title: The page's title.
        commands: The commands that make it.
    """

    def __init__(self, title: str, *commands: str) -> None:
        versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        self.parts = [
            MARK,
            f"# {title}",
            "\n".join(f"    {command}" for command in commands),
            f"Versions: {versions}, Python {platform.python_version()}; {os.cpu_count()} cores, {platform.machine()}.",
        ]
        self._folder = tempfile.TemporaryDirectory()

    def add(self, text: str) -> None:
        """A paragraph, heading or table."""
        self.parts.append(text)

    def plot(self, figure: Figure, name: str, title: str) -> None:
        """A plot, with what it shows in words."""
        figure.savefig(Path(self._folder.name, f"{name}.png"), dpi=100)
        self.parts.append(f"![{title}]({name}.png)")

    def sheet(self, rows: list[tuple[str, np.ndarray]], name: str, title: str) -> None:
        """Clips under one another, (frames, height, width, 3), uint8, as a WebP."""
        width = rows[0][1].shape[2]
        sheet = contact_sheet(rows, width=min(SHEET_WIDTH, width * max(1, 96 // width)))
        sheet.save(Path(self._folder.name, f"{name}.webp"), quality=80)
        self.parts.append(f"![{title}]({name}.webp)")

    def write(self, folder: Path) -> Path:
        """Put the page and its pictures into `folder`, replacing an earlier report.

        Returns:
            The page.

        Raises:
            FileExistsError: If the folder has a page that is not a report.
        """
        folder.mkdir(parents=True, exist_ok=True)
        page = folder / "README.md"
        before = page.read_text(encoding="utf-8") if page.is_file() else ""
        if page.is_file() and MARK not in before:
            raise FileExistsError(f"{page} is not a report. Choose another folder than {folder}.")
        for name in re.findall(r"!\[[^]]*\]\(([\w-]+\.(?:png|webp))\)", before):
            (folder / name).unlink(missing_ok=True)
        for picture in Path(self._folder.name).iterdir():
            shutil.copy(picture, folder)
        page.write_text("\n\n".join(self.parts) + "\n", encoding="utf-8")
        return page
