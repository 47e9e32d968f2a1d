"""HTTP/1.1 on loopback: reads requests, lets faults happen, writes the log, sends answers."""

import json
import os
import re
import socket
import struct
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.accounts import Account, Tokens
from tests.hub.faults import Answer, Fault, Faults
from tests.hub.log import Entry, Log
from tests.hub.refusals import Refusal, invalid_token


@dataclass(frozen=True)
class Request:
    """A request that was read whole.

    Args:
        method: Of HTTP.
        path: As it was sent: a slash within a name is still %2F.
        query: Of the address; for a name given more than once, the last.
        body: Of the request.
        user: Who asks; None without a token.
    """

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    user: Account | None

    @property
    def json(self) -> dict:
        return json.loads(self.body or b"{}")

    @property
    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.body.decode())


class Wire:
    """A server in threads of its own.

    Args:
        name: For the log.
        respond: What answers requests. It may raise a `Refusal`.
        log: Where requests are written down.
        faults: What goes wrong on purpose.
        tokens: Whom tokens belong to.
    """

    def __init__(self, name: str, respond: Callable[[Request], Answer], *, log: Log, faults: Faults, tokens: Tokens):
        self.name, self.respond, self.log, self.faults, self.tokens = name, respond, log, faults, tokens
        self.errors: list[str] = []  # of the server itself; a test must not take them for answers of the Hub
        self.closing = threading.Event()
        self.connections: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.wire = self
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Stop listening, and end the connections that are open."""
        if self.closing.is_set():
            return
        self.closing.set()
        with suppress(OSError):  # the thread waits for a connection, so it gets one
            socket.create_connection(self._server.server_address, timeout=5).close()
        self._thread.join()
        self._server.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while not self.closing.is_set():
            self._server.handle_request()

    def account(self, authorization: str | None) -> Account | None:
        if authorization is None:
            return None
        token = authorization.removeprefix("Bearer ")
        if token not in self.tokens:
            raise invalid_token()
        return self.tokens[token]


class _Server(ThreadingTCPServer):
    # Not http.server's, which asks for the name of the machine, and that can take long without a network.
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64
    wire: Wire


class _HungUp(Exception):  # noqa: N818 - nothing went wrong that was not meant to
    """The connection is over."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are sent apart, which would wait for an acknowledgement
    server: _Server

    def setup(self):
        super().setup()
        self.wire = self.server.wire
        self.wire.connections.add(self.connection)

    def finish(self):
        self.wire.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, *_):
        """Say nothing: there is `Wire.log`."""

    def handle_any(self):
        address = urlsplit(self.path)
        entry = Entry(
            server=self.wire.name,
            method=self.command,
            path=unquote(address.path),
            query={name: values[-1] for name, values in parse_qs(address.query, keep_blank_values=True).items()},
            headers={name.lower(): value for name, value in self.headers.items()},
        )
        fault = self.wire.faults.take(self.command, entry.path)
        try:
            body = self._read(fault.hear)
            entry.received = len(body)
            if fault.hear is not None:
                self.wire.log.append(entry)
                self._hang_up(reset=False)
            answer = self._answer(entry, address.path, body, fault)
            entry.status = answer.status
            self.wire.log.append(entry)  # before it is sent, or the client could look too early
            self._send(answer, entry)
        except (_HungUp, ConnectionError):
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - names of http.server

    def _read(self, limit: int | None) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._read_chunks(limit)
        length = int(self.headers.get("Content-Length", 0))
        return self.rfile.read(length if limit is None else min(length, limit))

    def _read_chunks(self, limit: int | None) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
            if limit is not None and len(body) >= limit:
                return body[:limit]
        self.rfile.readline()
        return body

    def _answer(self, entry: Entry, path: str, body: bytes, fault: Fault) -> Answer:
        if fault.instead is not None:
            return fault.instead
        try:
            user = self.wire.account(self.headers.get("Authorization"))
            entry.user = user and user.name
            answer = self.wire.respond(Request(self.command, path, entry.query, body, user))
            entry.done = True
        except Refusal as refusal:
            answer = Answer(refusal.status, refusal.headers, json.dumps(refusal.body).encode())
        except Exception:
            self.wire.errors.append(f"{self.command} {self.path}\n{traceback.format_exc()}")
            return Answer(500, {"X-Error-Message": "The stand-in for the Hub has a bug, see Hub.errors."})
        if not fault.ignore_range:
            answer = _part(answer, self.headers.get("Range"))
        return fault.change(answer) if fault.change else answer

    def _send(self, answer: Answer, entry: Entry) -> None:
        self._wait(answer.wait_before)
        if answer.status is None:
            self._hang_up(reset=answer.reset)
        self.send_response(answer.status)
        headers = {"content-length": str(len(answer.body))}
        headers.update((name.lower(), value) for name, value in answer.headers.items())
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = b"" if self.command == "HEAD" else answer.body[: answer.cut_after]
        middle = len(body) // 2 if answer.wait_within else 0
        for wait, piece in ((0, body[:middle]), (answer.wait_within, body[middle:])):
            self._wait(wait)
            entry.sent += len(piece)
            self.wfile.write(piece)
        if answer.cut_after is not None:
            self._hang_up(reset=answer.reset)
        if int(headers["content-length"]) != len(answer.body) and self.command != "HEAD":
            self._hang_up(reset=False)  # the client waits for what will not come, or would read on into the next

    def _wait(self, seconds: float) -> None:
        if seconds:
            self.wire.closing.wait(seconds)  # not longer than the server lives

    def _hang_up(self, *, reset: bool) -> None:
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.wire.connections.discard(self.connection)
            os.close(self.connection.detach())  # at once: the streams on the socket would hold it open
        raise _HungUp


def _part(answer: Answer, asked: str | None) -> Answer:
    """The part of a file that was asked for: with a status of its own, or the whole if it was not a file."""
    match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "")
    if not match or answer.status != 200 or "Accept-Ranges" not in answer.headers:
        return answer
    size = len(answer.body)
    first, last = int(match[1]), min(int(match[2] or size - 1), size - 1)
    if first > last:
        return Answer(416, {"Content-Range": f"bytes */{size}"})
    headers = {**answer.headers, "Content-Range": f"bytes {first}-{last}/{size}"}
    return replace(answer, status=206, headers=headers, body=answer.body[first : last + 1])
