"""Model cards: metadata that the Hub understands, and an example that is a program."""

import ast
import re

import pytest
import yaml

from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.storage.model_card import example_code, make_model_card


def make_config(**settings):
    known = {
        "num_frames": 16,
        "height": 320,
        "width": 576,
        "model_class": "UNetMotionModel",
        "target_modules": ["a", "b"],
    }
    return MotionEmbeddingConfig(**{**known, **settings})


def calls(code):
    """The calls of a program: name of the function -> arguments given by name, as far as they are literal."""
    found = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call):
            literal = {k.arg: k.value.value for k in node.keywords if isinstance(k.value, ast.Constant)}
            found[ast.unparse(node.func)] = ([ast.unparse(argument) for argument in node.args], literal)
    return found


def test_the_example_uses_the_base_the_frames_and_the_settings():
    generation = {
        "pipeline": "AnimateDiffPipeline",
        "motion_adapter": "someone/adapter",
        "scheduler": "DDIMScheduler",
        "scheduler_config": {"beta_schedule": "linear"},
        "num_inference_steps": 25,
        "guidance_scale": 7.5,
        "fps": 12,
        "prompt": 'it\'s "quoted"',
    }
    code = example_code(make_config(base_model_name_or_path="someone/base", generation=generation), "me/motion")
    found = calls(code)
    assert found["AnimateDiffPipeline.from_pretrained"][0] == ["'someone/base'"]
    assert found["MotionAdapter.from_pretrained"][0] == ["'someone/adapter'"]
    assert found["DDIMScheduler.from_config"][1] == {"beta_schedule": "linear"}
    assert found["pipe.load_motion_embedding"][0] == ["'me/motion'"]
    expected = {"num_frames": 16, "height": 320, "width": 576, "num_inference_steps": 25, "guidance_scale": 7.5}
    assert found["pipe"] == ([repr('it\'s "quoted"')], expected)
    assert found["export_to_video"][1] == {"fps": 12}


def test_a_card_tells_of_the_parts_that_there_are():
    layers = ["blocks.0.attn1", "blocks.1.attn1"]
    card = str(make_model_card(make_config(parts=["p"], target_modules=["rope"], position_grid=(2, 3)), "me/motion"))
    assert re.search(r"adapted layers \| 0 ", card)
    assert re.search(r"position grid \| 2 x 3 ", card)
    assert "value grid" not in card
    card = str(make_model_card(make_config(target_modules=layers, value_grid=(3, 3)), "me/motion"))
    assert re.search(r"adapted layers \| 2 ", card)
    assert re.search(r"value grid \| 3 x 3 ", card)
    assert "position grid" not in card


def test_settings_that_are_no_names_stay_out_of_the_example():
    generation = {"pipeline": "os; import os", "scheduler": "__import__('os')"}
    code = example_code(make_config(generation=generation), "me/motion")
    assert "import os" not in code
    assert "__import__" not in code
    ast.parse(code)


@pytest.mark.parametrize("base", ["someone/base", "a-local-folder", None])
def test_only_a_repository_is_named_as_base_model(base):
    card = make_model_card(make_config(base_model_name_or_path=base), "me/motion")
    metadata = yaml.safe_load(str(card).split("---")[1])
    assert metadata.get("base_model") == (base if base == "someone/base" else None)
    assert ("base_model_relation" in metadata) == (base == "someone/base")


@pytest.mark.parametrize(
    "prompt", ["plain", "a: b", "# no comment", "line\nbreak", "---", "'\"{}[]&*!|>%@`", "äöü 中"]
)
def test_any_prompt_makes_valid_metadata(prompt):
    config = make_config(generation={"prompt": prompt}, training={"prompt": prompt})
    card = make_model_card(config, "me/motion", [("preview.mp4", prompt)])
    assert yaml.safe_load(card.data.to_yaml())["widget"] == [{"text": prompt, "output": {"url": "preview.mp4"}}]
    rows = [line for line in card.text.splitlines() if line.startswith("| prompt |")]
    assert len(rows) == 1
