"""The notebook runs from top to bottom, and is committed without outputs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest


interactive = pytest.importorskip(
    "IPython.core.interactiveshell", reason='the notebook is tested with what `pip install ".[dev]"` brings'
)
NOTEBOOK = Path(__file__).parents[2] / "examples/notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]
FEW = 'STEPS, CALL["num_inference_steps"] = 2, 2'  # what to learn well needs is another test's question


@pytest.mark.slow
def test_it_runs_and_shows_moving_pictures(tmp_path, monkeypatch):
    for name in ("tiny-t2v", "assets"):
        shutil.copytree(NOTEBOOK.parent / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    shell, shown = interactive.InteractiveShell.instance(), []
    settings, *others = ("".join(cell["source"]) for cell in CODE)
    for source in (f"{settings}\n{FEW}", *others):
        done = shell.run_cell(source)
        done.raise_error()
        shown.append(getattr(done.result, "format", None))
    assert shown == [None, "webp", "webp", None, "webp", "webp"]
    made = shell.user_ns
    assert np.array_equal(made["without"], made["plain"][0])
    for moved in (made["moved"][0], made["stronger"], made["backwards"]):
        assert not np.array_equal(moved, made["plain"][0])


def test_it_is_committed_as_it_was_written():
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CODE)
    assert len({cell["id"] for cell in CELLS}) == len(CELLS)


@pytest.mark.parametrize("cell", CODE, ids=lambda cell: cell["id"])
def test_what_is_said_of_gpus_is_python(cell):
    """Lines of code in comments can be taken into the notebook as they are."""
    lines = [line.removeprefix("# ") for line in cell["source"] if line.startswith("# ") and " = " in line]
    compile("".join(lines), cell["id"], "exec")
