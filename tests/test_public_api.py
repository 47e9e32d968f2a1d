"""What the package offers, and what importing it costs."""

import inspect
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


def in_a_new_process(code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def test_importing_the_package_leaves_training_and_metrics_out():
    code = "import sys, diffusers_motion_embed; print([name for name in sys.modules if 'motion_embed' in name])"
    loaded = in_a_new_process(code)
    assert "'diffusers_motion_embed.loaders'" in loaded
    assert "diffusers_motion_embed.training" not in loaded
    assert "diffusers_motion_embed.metrics" not in loaded


def test_importing_the_package_teaches_peft_the_adapter_type():
    code = "import diffusers_motion_embed, peft; print(peft.get_peft_config({'peft_type': 'MOTION_EMBEDDING'}))"
    assert in_a_new_process(code).startswith("MotionEmbeddingConfig(")
