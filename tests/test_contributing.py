"""CONTRIBUTING names files that exist, and names in them that exist."""

import re
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ROWS = [line.split("|")[1:3] for line in TEXT.partition("## Where a change goes")[2].splitlines() if line[:3] == "| `"]
CHANGES = 8


def files(cell):
    for name in re.findall(r"`([\w./]+)`", cell):
        yield ROOT / (name if name.startswith(("tests/", "docs/", "examples/")) else f"diffusers_motion_embed/{name}")


def test_all_changes_have_a_table():
    assert TEXT.count("| file | what |") == CHANGES
    assert len(ROWS) > 4 * CHANGES


@pytest.mark.parametrize("cell", sorted({cell.strip() for cell, _ in ROWS}))
def test_named_files_exist(cell):
    assert list(files(cell))
    assert all(path.exists() for path in files(cell))


@pytest.mark.parametrize(("cell", "what"), ROWS, ids=[cell.strip() for cell, _ in ROWS])
def test_named_code_is_in_these_files(cell, what):
    sources = "".join(path.read_text(encoding="utf-8") for path in files(cell) if path.is_file())
    missing = [name for name in re.findall(r"`([A-Za-z_.]+)`", what) if name.rpartition(".")[2] not in sources]
    assert missing == []


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", TEXT))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()
