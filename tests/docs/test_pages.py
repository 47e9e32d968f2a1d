"""The pages for users: what they name exists, their code is Python, and their pictures move."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image


ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
OURS = r"`((?:benchmarks|diffusers_motion_embed|docs|examples|requirements|tests)/[\w/.-]*)`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_code_of_a_page(page):
    text = page.read_text(encoding="utf-8")
    for path in re.findall(OURS, text) + re.findall(r"examples/\w+\.\w+", text):
        assert (ROOT / path).exists(), path
    for code in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
        for module, name in imported(ast.parse(code, page.name)):
            assert hasattr(import_module(module), name), f"{module} has no {name}"


def imported(program):
    """What a program takes from this repository, as pairs of module and name."""
    for node in ast.walk(program):
        if isinstance(node, ast.ImportFrom) and re.match(
            "(benchmarks|diffusers_motion_embed|examples)\\b", node.module
        ):
            yield from ((node.module, alias.name) for alias in node.names)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 100


@pytest.mark.parametrize("path", sorted((ROOT / "docs/images").rglob("*.webp")), ids=lambda path: path.name)
def test_moving_pictures_move_and_are_small(path):
    with Image.open(path) as picture:
        assert picture.n_frames >= 16
    assert path.stat().st_size <= 1.5e6
