"""Model cards: metadata that the Hub understands, and an example that is a program."""

import ast
import re

import pytest
import yaml
from PIL import Image

from diffusers_motion_embed import MotionEmbeddingConfig, read_video
from diffusers_motion_embed.storage.files import write_embedding
from diffusers_motion_embed.storage.model_card import example_code, make_model_card
from tests.conftest import make_animatediff, make_text_to_video
from tests.pipelines.unets import FAMILIES
from tests.versions import since


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
    assert found["pipe"] == ([], {"prompt": 'it\'s "quoted"', **expected})
    assert found["export_to_video"][1] == {"fps": 12}


BASES = {
    "text": (make_text_to_video, "text-to-video"),
    "text, and a motion adapter": (make_animatediff, "text-to-video"),
    "a picture alone": (FAMILIES["StableVideoDiffusion"].make, "image-to-video"),
}


MEASURED = {"prompts": 2, "motion_fidelity_without": 0.18, "motion_fidelity": 0.92, "appearance_leakage": -0.003}


def test_the_card_shows_what_the_run_measured():
    card = str(make_model_card(make_config(training={"seed": 3, "measured": MEASURED}), "me/motion"))
    assert "| 2 | 0.18 | 0.92 | -0.003 |" in card
    assert "| seed | 3 |" in card
    assert "measured |" not in card


@pytest.mark.parametrize("found", [None, 3, {}, {**MEASURED, "prompts": "| <b>"}])
def test_figures_of_another_kind_are_left_out(found):
    card = str(make_model_card(make_config(training={"measured": found}), "me/motion"))
    assert "What it reaches" not in card
    assert "<b>" not in card


ADAPTER_DTYPE = since("diffusers", "0.40", "calls the dtype of a motion adapter torch_dtype")


@pytest.mark.parametrize(
    "base", [pytest.param(base, marks=ADAPTER_DTYPE) if "adapter" in base else base for base in BASES]
)
def test_the_example_runs(tmp_path, monkeypatch, make_embedding, base):
    """On a CPU: its numbers and its place are the only changes."""
    make, task = BASES[base]
    pipe, generation = make(), {"num_inference_steps": 2, "guidance_scale": 2.0, "prompt": "a ring"}
    pipe.save_pretrained(tmp_path / "base")
    if "motion_adapter" in pipe.components:
        pipe.motion_adapter.save_pretrained(tmp_path / "adapter")
        generation["motion_adapter"] = str(tmp_path / "adapter")
    embedding = make_embedding(pipe.unet, num_frames=4, height=32, width=32)
    write_embedding(tmp_path / "motion", embedding)
    Image.new("RGB", (32, 32), "red").save(tmp_path / "picture.png")
    generation |= {"pipeline": type(pipe).__name__, "scheduler": type(pipe.scheduler).__name__}
    config = embedding.config.changed(generation=generation, base_model_name_or_path=str(tmp_path / "base"))
    code = example_code(config, str(tmp_path / "motion"))
    for found, here in (("torch.float16", "torch.float32"), ('"cuda"', '"cpu"')):
        assert found in code
        code = code.replace(found, here)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "card", "exec"), made := {})
    assert len(made["video"]) == 4
    assert read_video("video.mp4").shape[0] == 4
    assert yaml.safe_load(str(make_model_card(config, "me/motion")).split("---")[1])["pipeline_tag"] == task


@pytest.mark.parametrize(
    ("model_class", "task"),
    [("UNetSpatioTemporalConditionModel", "image-to-video"), ("UNet3DConditionModel", "text-to-video")],
)
def test_the_task_is_known_by_the_model_where_no_pipeline_is_named(model_class, task):
    card = make_model_card(make_config(model_class=model_class), "me/motion", [("preview.mp4", "a ring")])
    assert card.data.pipeline_tag == task
    assert "<Gallery />" in card.text


def test_a_pipeline_that_takes_both_gets_a_picture_and_the_prompt():
    config = make_config(generation={"pipeline": "WanImageToVideoPipeline"}, model_class="WanTransformer3DModel")
    arguments = calls(example_code(config, "me/motion"))["pipe"][1]
    assert arguments == {"prompt": "a panda surfs on a wave", "num_frames": 16, "height": 320, "width": 576}
    assert 'image=load_image("picture.png")' in example_code(config, "me/motion")
    assert make_model_card(config, "me/motion").data.pipeline_tag == "image-to-video"


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
