"""Starts the page on a Space, where this file lies at the root of the folder that `examples.app.space` writes."""

import tempfile
from pathlib import Path

from examples.app.__main__ import main


main(["--library", str(Path(tempfile.gettempdir(), "motions")), "--keep_days", "1"])
