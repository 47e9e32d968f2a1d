"""Checks of numbers and paths that callers give."""

import operator
from pathlib import Path
from typing import Any


def whole_number(name: str, value: Any, least: int) -> int:
    """A whole number as an int; numpy's and torch's whole numbers count.

    Args:
        name: What the argument is called.
        value: What the caller gave.
        least: The smallest value that makes sense.

    Raises:
        ValueError: If it is not a whole number, or too small.
    """
    number = _as_int(value)
    if number is None or number < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return number


def optional_whole_number(name: str, value: Any, least: int) -> int | None:
    """`whole_number`, or None.

    Raises:
        ValueError: As in `whole_number`.
    """
    number = _as_int(value)
    if value is not None and (number is None or number < least):
        raise ValueError(f"{name} must be None or a whole number of at least {least}, got {value!r}.")
    return number


def is_whole_number(value: Any, least: int) -> bool:
    """Whether `whole_number` would take it."""
    number = _as_int(value)
    return number is not None and number >= least


def frames_in_words(number: int) -> str:
    """So many frames, as messages say it."""
    return f"{number} frame{'' if number == 1 else 's'}"


def expanded(path: str | Path) -> Path:
    """The path, with "~" or "~name" at its start replaced by the user's folder; without such a user, as it is.

    Raises:
        ValueError: If it is an empty text, which `Path` would take for the current folder.
    """
    if path == "":
        raise ValueError('A path must not be an empty text; "." is the current folder.')
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no user of that name
        return Path(path)


def _as_int(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None
