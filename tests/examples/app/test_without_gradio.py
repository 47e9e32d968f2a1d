"""Where the page's requirements are not installed, its tests say what to install, and all others run."""

import subprocess
import sys

import pytest

from examples.app.space import ROOT
from tests.examples.app.conftest import NEEDS


# None in sys.modules is a module that cannot be imported.
WITHOUT = """
import sys, pytest
sys.modules |= dict.fromkeys(("gradio", "playwright", "axe_playwright_python"))
sys.exit(pytest.main(["tests/examples/app", "--collect-only", "--quiet", "-p", "no:cacheprovider", "-m", ""]))
"""


@pytest.mark.slow
def test_modules_that_need_it_are_skipped():
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert all(NEEDS in line for line in skipped)
    assert {line.split("/")[-1].split(":")[0] for line in skipped} == {
        "test_browser.py",
        "test_drawing.py",
        "test_mixing.py",
        "test_sharing.py",
    }
    assert "test_workshop.py::" in done.stdout
