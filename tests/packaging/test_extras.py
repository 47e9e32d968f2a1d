"""What works without the extras, and what is said when one is missing."""

import inspect
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import diffusers
import pytest


ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
# What is imported of what the extras for users bring.
MODULES = {"training": {"av": "av", "imageio[ffmpeg]": "imageio"}, "metrics": {"opencv-python-headless": "cv2"}}
MISSING = [module for modules in MODULES.values() for module in modules.values()]


PROGRAM = f"""
import importlib, json, sys
sys.modules.update(dict.fromkeys({MISSING}))  # importing them fails

def error(function, *arguments):
    try:
        function(*arguments)
    except ImportError as missing:
        return str(missing)

import diffusers_motion_embed
print(json.dumps({{
    "errors": {{name: error(importlib.import_module, name) for name in sys.argv[1:]}},
    "video": error(diffusers_motion_embed.read_video, "examples/assets/figure_eight.mp4", 16),
}}))
"""


@pytest.fixture(scope="module")
def without_extras():
    """What importing each module gives, and reading a video, in a process in which nothing of the extras is there."""
    paths = (ROOT / "diffusers_motion_embed").rglob("*.py")
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    command = [sys.executable, "-c", PROGRAM, *sorted(names)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return json.loads(subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE).stdout)


@pytest.mark.parametrize("extra", MODULES)
def test_the_extras_bring_what_is_missing_here(extra):
    others = [entry for entry in EXTRAS[extra] if not entry.startswith("diffusers_motion_embed[")]
    assert [entry.partition(">")[0] for entry in others] == list(MODULES[extra])


@pytest.mark.parametrize("folder", sorted((ROOT / "examples").glob("tiny-*")), ids=lambda folder: folder.name)
def test_the_demo_brings_what_pipelines_of_embedded_models_clean_prompts_with(folder):
    name = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))["_class_name"]
    source = inspect.getsource(inspect.getmodule(getattr(diffusers, name)))
    assert "is_ftfy_available" not in source or "ftfy" in {entry.partition(">")[0] for entry in EXTRAS["demo"]}


# Metrics, and what measures with them: a run of training ends with a report.
MEASURING = ("metrics", "reports", "commands.train")


def test_all_but_what_measures_is_imported_without_extras(without_extras):
    errors = without_extras["errors"]
    assert len(errors) > 60
    failed = {name for name, error in errors.items() if error}
    assert "diffusers_motion_embed.metrics" in failed
    allowed = tuple(f"diffusers_motion_embed.{name}" for name in MEASURING)
    assert {name for name in failed if not name.startswith(allowed)} == set()


def test_a_missing_extra_is_named(without_extras):
    for name, error in without_extras["errors"].items():
        assert error is None or 'pip install "diffusers_motion_embed[metrics]"' in error, name
    assert 'pip install "diffusers_motion_embed[training]"' in without_extras["video"]
