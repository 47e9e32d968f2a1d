"""The page as a process that serves it."""

import contextlib
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path


SECONDS = 180  # the longest wait, on a machine that does other things too


@contextlib.contextmanager
def served(command: list[str], port: int, log: Path, cwd: Path, **changes: str) -> Iterator[str]:
    """Run a command until it serves a page; gives its address. The process ends with the block.

    Args:
        command: The command.
        port: Where it serves the page.
        log: File for what it prints.
        cwd: The folder to run it in.
        **changes: Variables of its environment.
    """
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=cwd, env=os.environ | changes, stdout=file, stderr=subprocess.STDOUT)
    try:
        _wait_for(address, process, log)
        yield address
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(address) as answer:
            assert answer.status == 200
            return
        time.sleep(0.5)
    raise TimeoutError(log.read_text())
