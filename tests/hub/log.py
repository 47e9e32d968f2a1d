"""The requests a hub has seen, so that tests can say how many it takes."""

from collections import Counter
from dataclasses import dataclass, field
from fnmatch import fnmatch


@dataclass
class Entry:
    """One request.

    Args:
        server: "hub", or "storage" for contents of LFS.
        method: Of HTTP.
        path: Decoded, without the query.
        query: Of the address.
        headers: Of the request, with names in lower case.
        user: Whose token came along.
        status: Of the answer; None if there was none.
        received: Bytes of the request's body.
        sent: Bytes of the answer's body.
        done: Whether what was asked was done, whether or not the client heard of it.
    """

    server: str
    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    status: int | None = None
    received: int = 0
    sent: int = 0
    done: bool = False

    @property
    def line(self) -> tuple[str, str, int | None]:
        return self.method, self.path, self.status


class Log(list[Entry]):
    """All requests, in order of their answers."""

    def of(self, method: str = "*", path: str = "*", server: str = "*") -> list[Entry]:
        """Requests by method, pattern of the path, and server."""
        return [
            entry
            for entry in self
            if fnmatch(entry.method, method) and fnmatch(entry.path, path) and fnmatch(entry.server, server)
        ]

    def count(self, method: str = "*", path: str = "*", server: str = "*") -> int:
        return len(self.of(method, path, server))

    @property
    def lines(self) -> list[tuple[str, str, int | None]]:
        """Method, path and status of every request."""
        return [entry.line for entry in self]

    @property
    def commits(self) -> list[Entry]:
        """Commits that were made, whether or not the client heard of it."""
        return [entry for entry in self.of("POST", "/api/*/commit/*") if entry.done]

    @property
    def repeated(self) -> list[tuple[str, str]]:
        """Method and path of contents that went up or down more than once, in whole or in part."""
        contents = [entry for entry in self if entry.sent and entry.path.startswith(("/api/resolve-cache/", "/lfs/"))]
        contents += [entry for entry in self if entry.method == "PUT" and entry.received]
        return [key for key, times in Counter((one.method, one.path) for one in contents).items() if times > 1]
