"""A page of Markdown with its pictures, written as a whole."""

import os
import platform
import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from examples.pictures import contact_sheet


MARK = "<!-- A report, written by a program. -->"  # by which pages that may be replaced are known
PACKAGES = ("torch", "diffusers", "peft", "diffusers_motion_embed")


def make_report_folder(folder: Path) -> Path:
    """Make a folder for a report, before hours are spent on it.

    Args:
        folder: May have an earlier report.

    Returns:
        Where its page will be.

    Raises:
        FileExistsError: If the folder has a page that is no report, or is a file.
        PermissionError: If nothing may be written there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "README.md"
    if page.is_file() and MARK not in page.read_text(encoding="utf-8"):
        raise FileExistsError(f"{page} is no report; choose another folder than {folder}.")
    with tempfile.TemporaryFile(dir=folder):  # may it be written to?
        return page


class Page:
    """Collects a report; nothing is on disk before `write`.

    Args:
        title: Of the page.
        commands: With which it is made.
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
        factor = max(1, 96 // rows[0][1].shape[2])
        contact_sheet(rows, factor=factor).save(Path(self._folder.name, f"{name}.webp"), quality=80)
        self.parts.append(f"![{title}]({name}.webp)")

    def write(self, folder: Path) -> Path:
        """Put the page and its pictures into `folder`, in the place of an earlier report.

        Returns:
            The page.

        Raises:
            OSError: As of `make_report_folder`.
        """
        page = make_report_folder(folder)
        before = page.read_text(encoding="utf-8") if page.is_file() else ""
        for name in re.findall(r"!\[[^]]*\]\(([\w-]+\.(?:png|webp))\)", before):
            (folder / name).unlink(missing_ok=True)
        for picture in Path(self._folder.name).iterdir():
            shutil.copy(picture, folder)
        page.write_text("\n\n".join(self.parts) + "\n", encoding="utf-8")
        return page
