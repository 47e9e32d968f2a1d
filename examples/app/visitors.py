"""The files of visitors: each has a folder that nobody else can name, and it does not stay forever."""

import hashlib
import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from diffusers_motion_embed.storage.files import WEIGHTS_NAME
from diffusers_motion_embed.values import whole_number


MAX_MOTIONS = 20  # of one visitor
MAX_BYTES = 2**30  # the same
MAX_NAME = 48  # characters of a motion's name
SWEEPING_SECONDS = 30
TEMPORARY_SECONDS = 2 * 3600  # how long uploads and downloads are kept
TEMPORARY = "temporary"  # uploads and downloads


class LibraryError(ValueError):
    """A visitor's library is full, or has no such motion."""


@dataclass(frozen=True)
class Visitor:
    """A visitor's motions, each a folder of an embedding.

    Args:
        folder: Where they are.
    """

    folder: Path

    @property
    def run(self) -> Path:
        """The folder of the run that is under way, or was stopped."""
        return self.folder / "run"

    def names(self) -> list[str]:
        """The motions, the newest first."""
        motions = [path.parent for path in self.folder.glob(f"motions/*/{WEIGHTS_NAME}")]
        return [path.name for path in sorted(motions, key=lambda path: path.stat().st_mtime_ns, reverse=True)]

    def motion(self, name: str | None) -> Path:
        """The folder of a motion.

        Raises:
            LibraryError: If there is none of that name.
        """
        if name is None:
            raise LibraryError("Choose a motion. If there is none yet, learn one, or load one.")
        if name not in self.names():
            raise LibraryError(
                f"Your library has no motion named {name!r}: it holds {', '.join(self.names()) or 'none'}."
            )
        return self.folder / "motions" / name

    def new_motion(self, name: str) -> Path:
        """An empty place for another motion, named as wished or nearly so.

        Raises:
            LibraryError: If the library is full.
        """
        names = self.names()
        size = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        if len(names) >= MAX_MOTIONS or size > MAX_BYTES:
            raise LibraryError(
                f"Your library is full: it holds {len(names)} motions in {size / 2**20:.0f} MB, and there is room for "
                f"{MAX_MOTIONS} in {MAX_BYTES / 2**20:.0f} MB. Download what you want to keep, and delete some."
            )
        name = re.sub(r"[^\w-]+", "-", name)[:MAX_NAME].strip("-_") or "motion"
        tried = (name if number == 1 else f"{name}-{number}" for number in range(1, MAX_MOTIONS + 2))
        return self.folder / "motions" / next(each for each in tried if each not in names)

    def delete(self, name: str | None) -> None:
        """Delete a motion."""
        shutil.rmtree(self.motion(name))


class Visitors:
    """All visitors' folders, and a thread that removes old ones.

    Args:
        root: The folder that they are in.
        keep_seconds: How long a visitor's files are kept after the last use.
        max_bytes: The size of all files. What was not used for longest goes first.
    """

    def __init__(self, root: Path, keep_seconds: float, max_bytes: float) -> None:
        self.root, self.keep_seconds, self.max_bytes = root, keep_seconds, max_bytes
        self.temporary = root / TEMPORARY
        self.temporary.mkdir(parents=True, exist_ok=True)
        self._sweeping = threading.Lock()
        threading.Thread(target=self._keep_sweeping, daemon=True).start()

    def of(self, key: str | None) -> Visitor:
        """The visitor with this key, which only that visitor's browser knows.

        Raises:
            LibraryError: If there is no key.
        """
        if not isinstance(key, str) or len(key) < len(new_key()):
            raise LibraryError("The page has not loaded completely. Load it again.")
        folder = self.root / hashlib.sha256(key.encode()).hexdigest()
        (folder / "motions").mkdir(parents=True, exist_ok=True)
        folder.touch()  # it is in use
        return Visitor(folder)

    def sweep(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        with self._sweeping:
            kept = {path: self.keep_seconds for path in self.root.iterdir() if path != self.temporary}
            kept |= dict.fromkeys(self.temporary.iterdir(), TEMPORARY_SECONDS)
            left = 0
            for path in sorted(kept, key=_time, reverse=True):
                left += _size(path)
                if left > self.max_bytes or time.time() - _time(path) > kept[path]:
                    shutil.rmtree(path, ignore_errors=True)

    def _keep_sweeping(self) -> None:
        while True:
            self.sweep()
            time.sleep(SWEEPING_SECONDS)


def new_key() -> str:
    """A key for a visitor's browser, which cannot be guessed."""
    return secrets.token_urlsafe(24)


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # removed meanwhile


def _size(path: Path) -> int:
    try:
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    except FileNotFoundError:
        return 0


def checked(name: str, value: float, most: int) -> int:
    """A number of a form that must be whole, and within what a visitor may ask for.

    Raises:
        ValueError: If it is not.
    """
    number = whole_number(name, int(value) if isinstance(value, float) and value.is_integer() else value, 1)
    if number > most:
        raise ValueError(f"{name} can be {most} at most, got {number}.")
    return number
