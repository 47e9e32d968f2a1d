"""The API reference names everything that is public, once."""

import re
from pathlib import Path

import pytest

import diffusers_motion_embed
from diffusers_motion_embed import estimate, metrics, reports, training


PAGES = Path(__file__).parents[2] / "docs/reference"


def documented():
    return [name for page in PAGES.glob("*.md") for name in re.findall(r"^::: (\S+)", page.read_text(), re.M)]


@pytest.mark.parametrize(
    "module", [diffusers_motion_embed, training, metrics, reports, estimate], ids=lambda module: module.__name__
)
def test_no_public_name_is_missing(module):
    assert {f"{module.__name__}.{name}" for name in module.__all__} <= set(documented())


def test_nothing_is_documented_twice():
    assert len(documented()) == len(set(documented()))
