"""Replacing files of a folder so that every reader, at any moment and after any crash, finds the old or the new ones.

New contents are written beside the old ones, as `.NAME.new`, and renamed into place. Such a file is locked while its
writer lives. Whoever finds one without a lock knows that the writer was killed, and removes it.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO


try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed even without a lock
    HAS_LOCKS = False
else:
    HAS_LOCKS = True


def replace_files(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write all files, then rename each into place, in the given order. Waits while another process does the same.

    Args:
        folder: An existing folder.
        contents: New contents by file name.
    """
    with contextlib.ExitStack() as stack:
        new = {name: stack.enter_context(_new_file(_beside(folder, name))) for name in sorted(contents)}
        for name, file in new.items():
            file.write(contents[name])
            file.flush()
            os.fsync(file.fileno())
            if not HAS_LOCKS:
                file.close()
        for name in contents:
            os.replace(_beside(folder, name), folder / name)


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Remove what killed writers left of the named files. Does nothing where this process lacks permission."""
    for name in names:
        path = _beside(folder, name)
        with contextlib.suppress(OSError), open(path, "r+b") as file:
            _lock(file, wait=False)
            if _is_at(path, file):
                path.unlink()


def _beside(folder: Path, name: str) -> Path:
    return folder / f".{name}.new"


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    while True:
        if path.is_symlink():  # never write through one: it may lead anywhere
            path.unlink()
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666), "r+b")
        try:
            _lock(file, wait=True)
            if _is_at(path, file):  # not a file that another process has moved or removed
                file.truncate(0)
                yield file
                return
        finally:
            if _is_at(path, file):
                path.unlink()
            file.close()


def _lock(file: BinaryIO, wait: bool) -> None:
    if HAS_LOCKS:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(path: Path, file: BinaryIO) -> bool:
    if file.closed:
        return path.exists()
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
