"""What the package offers, and what importing it costs."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Unpack, get_origin

import pytest

import diffusers_motion_embed
from diffusers_motion_embed import training
from diffusers_motion_embed.sharing import UploadArguments
from diffusers_motion_embed.video.reading import ReadingArguments


ROOT = Path(__file__).parent.parent


def test_all_is_sorted_without_repetition():
    names = diffusers_motion_embed.__all__
    assert names == sorted(set(names))


@pytest.mark.parametrize("name", diffusers_motion_embed.__all__)
def test_everything_offered_exists_and_is_explained(name):
    offered = getattr(diffusers_motion_embed, name)
    text = vars(offered)["__doc__"] if inspect.isclass(offered) else offered.__doc__
    assert text
    assert not text.startswith(f"{name}(")  # a dataclass without a text of its own


@pytest.mark.parametrize("name", [*diffusers_motion_embed.__all__, *training.__all__])
def test_functions_spell_their_arguments_out(name):
    offered = getattr(diffusers_motion_embed, name, None) or getattr(training, name)
    for parameter in inspect.signature(offered).parameters.values() if inspect.isfunction(offered) else ():
        assert parameter.kind != parameter.VAR_POSITIONAL
        assert parameter.kind != parameter.VAR_KEYWORD or get_origin(parameter.annotation) is Unpack


@pytest.mark.parametrize(
    ("arguments", "function"),
    [
        (UploadArguments, diffusers_motion_embed.save_motion_embedding),
        (ReadingArguments, diffusers_motion_embed.read_reference),
    ],
)
def test_arguments_that_are_passed_on_are_those_of_the_function(arguments, function):
    own = inspect.signature(function).parameters
    for name, annotation in arguments.__annotations__.items():
        assert own[name].annotation == annotation, name


def test_everything_public_is_offered():
    public = {
        name
        for name, value in vars(diffusers_motion_embed).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public == set(diffusers_motion_embed.__all__)


# What is imported of what the package depends on.
DEPENDENCIES = {
    *("accelerate", "diffusers", "huggingface_hub", "jinja2", "natsort", "numpy", "packaging", "peft", "PIL"),
    *("safetensors", "torch", "tqdm", "transformers"),
}
IMPORTING = """
import json, sys, diffusers, peft, diffusers.models.modeling_utils  # diffusers imports its own parts only when used
hosts = set(sys.modules)
import diffusers_motion_embed
kind = type(peft.get_peft_config({"peft_type": "MOTION_EMBEDDING"})).__name__
print(json.dumps([sorted(set(sys.modules) - hosts), kind]))
"""


@pytest.fixture(scope="module")
def imported():
    """What importing the package adds to the modules that its hosts import, and the class that PEFT then knows."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", IMPORTING]
    return json.loads(subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def test_importing_the_package_leaves_training_and_metrics_out(imported):
    added, _ = imported
    assert "diffusers_motion_embed.loaders" in added
    assert not [name for name in added if name.startswith(("diffusers_motion_embed.t", "diffusers_motion_embed.me"))]


def test_importing_the_package_adds_little_to_its_hosts(imported):
    added, _ = imported
    others = {name for name in added if name.partition(".")[0] != "diffusers_motion_embed"}
    assert {name.partition(".")[0] for name in others} <= DEPENDENCIES | set(sys.stdlib_module_names)
    assert len(others) < 100


def test_importing_the_package_teaches_peft_the_adapter_type(imported):
    _, kind = imported
    assert kind == "MotionEmbeddingConfig"
