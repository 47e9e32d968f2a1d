"""What can go wrong on the way, on purpose: which request, how, and how many times.

    hub.faults.add("GET", "*config.json", cut(after=10))  # the next download of config.json ends after ten bytes
    hub.faults.add("HEAD", "*", refuse(503, retry_after=0), times=2)

The path is the one in `hub.log`: decoded, without the query. A request meets one fault, the first that fits and is
not used up.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch


@dataclass(frozen=True)
class Answer:
    """An answer, and how it is sent.

    Args:
        status: Of HTTP; None for no answer, only the end of the connection.
        headers: Beside Content-Length, which is the body's unless it is given here.
        body: Whole, even for HEAD.
        cut_after: Bytes of the body after which the connection ends.
        reset: Whether a connection ends as if the other machine had failed, not politely.
        wait_before: Seconds before the first byte of the answer.
        wait_within: Seconds in the middle of the body.
    """

    status: int | None = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None
    reset: bool = False
    wait_before: float = 0.0
    wait_within: float = 0.0


@dataclass(frozen=True)
class Fault:
    """What happens to a request.

    Args:
        instead: The answer to give without doing what was asked.
        change: What is done to the answer after doing what was asked.
        hear: Bytes of the request's body after which the connection ends, with nothing done.
        ignore_range: Whether the whole file is sent where a part of it was asked for.
    """

    instead: Answer | None = None
    change: Callable[[Answer], Answer] | None = None
    hear: int | None = None
    ignore_range: bool = False


def refuse(
    status: int, *, retry_after: int | None = None, code: str | None = None, message: str | None = None
) -> Fault:
    """Refuse with a status; `code` and `message` are what huggingface_hub tells the reasons apart by."""
    headers = {"Retry-After": retry_after, "X-Error-Code": code, "X-Error-Message": message}
    headers = {name: str(value) for name, value in headers.items() if value is not None}
    return Fault(instead=Answer(status, headers))


def cut(after: int, *, reset: bool = False) -> Fault:
    """End the connection after so many bytes of the answer's body."""
    return Fault(change=lambda answer: replace(answer, cut_after=after, reset=reset))


def hang_up(*, reset: bool = False) -> Fault:
    """End the connection instead of answering, with nothing done."""
    return Fault(instead=Answer(None, reset=reset))


def hang_up_on_upload(after: int) -> Fault:
    """End the connection after so many bytes of the request's body, with nothing done."""
    return Fault(hear=after)


def lose_answer(*, reset: bool = False) -> Fault:
    """Do what was asked, then end the connection instead of answering."""
    return Fault(change=lambda answer: replace(answer, status=None, reset=reset))


def late(seconds: float) -> Fault:
    """Begin to answer after so many seconds."""
    return Fault(change=lambda answer: replace(answer, wait_before=seconds))


def slow(seconds: float) -> Fault:
    """Wait so many seconds in the middle of the answer's body."""
    return Fault(change=lambda answer: replace(answer, wait_within=seconds))


def corrupt() -> Fault:
    """Send another content of the same size."""
    return Fault(change=lambda answer: replace(answer, body=bytes(byte ^ 255 for byte in answer.body)))


def resize(by: int) -> Fault:
    """Send a shorter or longer content, in a well-formed answer."""

    def change(answer: Answer) -> Answer:
        body = answer.body[:by] if by < 0 else answer.body + b"?" * by
        return replace(answer, body=body)

    return Fault(change=change)


def misstate(**headers: str | None) -> Fault:
    """Send other headers (`X_Linked_Size="7"`), or none of a name (`ETag=None`), with the right content."""

    def change(answer: Answer) -> Answer:
        changed = {name.lower(): value for name, value in answer.headers.items()}
        changed.setdefault("content-length", str(len(answer.body)))
        changed.update((name.lower().replace("_", "-"), value) for name, value in headers.items())
        return replace(answer, headers={name: value for name, value in changed.items() if value is not None})

    return Fault(change=change)


def ignore_range() -> Fault:
    """Send the whole file where a part of it was asked for, as some caches do."""
    return Fault(ignore_range=True)


@dataclass
class _Planned:
    method: str
    path: str
    fault: Fault
    left: float


class Faults:
    """The faults that are still to happen."""

    def __init__(self):
        self._planned: list[_Planned] = []
        self._lock = threading.Lock()

    def add(self, method: str, path: str, fault: Fault, times: int | None = 1) -> None:
        """Plan a fault.

        Args:
            method: Of HTTP, or "*".
            path: Pattern of the request's path, as of the shell.
            fault: What happens.
            times: To how many requests; None for all.
        """
        with self._lock:
            self._planned.append(_Planned(method, path, fault, float("inf") if times is None else times))

    def clear(self) -> None:
        with self._lock:
            self._planned.clear()

    @property
    def pending(self) -> list[tuple[str, str]]:
        """Methods and patterns of the faults that did not happen as often as planned."""
        with self._lock:
            return [(one.method, one.path) for one in self._planned if 0 < one.left < float("inf")]

    def take(self, method: str, path: str) -> Fault:
        """What happens to a request: a fault, or nothing unusual."""
        with self._lock:
            for planned in self._planned:
                if planned.left > 0 and fnmatch(method, planned.method) and fnmatch(path, planned.path):
                    planned.left -= 1
                    return planned.fault
        return Fault()
