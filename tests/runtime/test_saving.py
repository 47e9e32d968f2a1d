"""Saving a model or a pipeline while a motion is loaded: the files are those of plain diffusers, to the byte."""

import json

import pytest
import torch
from diffusers import DiffusionPipeline

from diffusers_motion_embed import enable_motion_embedding
from tests.conftest import make_animatediff
from tests.runtime.factories import BOTH, assert_motion_acts, make_lora, run


def files(folder):
    return {str(path.relative_to(folder)): content(path) for path in folder.rglob("*") if path.is_file()}


def content(path):
    """The bytes; of safetensors header and numbers, because it writes entries of the header in random order."""
    data = path.read_bytes()
    if path.suffix != ".safetensors":
        return data
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), data[end:]


SAVES = {
    "pipeline": lambda pipe, folder: pipe.save_pretrained(folder),
    "pipeline in shards": lambda pipe, folder: pipe.save_pretrained(folder, max_shard_size="100KB"),
    "model": lambda pipe, folder: pipe.unet.save_pretrained(folder),
}


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_the_files_are_the_same_with_a_motion_as_without(make_pipe, save, motion, tmp_path):
    plain_pipe, pipe = make_pipe(), enable_motion_embedding(make_pipe())
    pipe.load_motion_embedding(motion(pipe.unet))
    plain, moved = run(plain_pipe), run(pipe)
    assert_motion_acts(moved, plain)
    save(plain_pipe, tmp_path / "plain")
    save(pipe, tmp_path / "moved")
    saved = files(tmp_path / "moved")
    assert saved == files(tmp_path / "plain")
    assert any(name.endswith(".safetensors") for name in saved)
    assert torch.equal(run(pipe), moved)  # saving takes nothing off


@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_what_was_saved_with_a_motion_loads_as_a_plain_pipeline(make_pipe, motion, tmp_path):
    plain = run(make_pipe())
    pipe = enable_motion_embedding(make_pipe())
    pipe.load_motion_embedding(motion(pipe.unet))
    pipe.save_pretrained(tmp_path / "pipeline")
    loaded = DiffusionPipeline.from_pretrained(tmp_path / "pipeline")
    loaded.set_progress_bar_config(disable=True)
    assert torch.equal(run(loaded), plain)
    model = type(pipe.unet).from_pretrained(tmp_path / "pipeline/unet")
    assert model.state_dict().keys() == pipe.unet.state_dict().keys()
    pipe.unet.load_state_dict(model.state_dict(), strict=True)


def test_motion_modules_and_loras_are_saved_without_the_motion(motion, tmp_path):
    clips = []
    for name in ("plain", "moved"):
        pipe = enable_motion_embedding(make_animatediff())
        pipe.load_lora_weights(make_lora(pipe.unet), adapter_name="style")
        if name == "moved":
            pipe.load_motion_embedding(motion(pipe.unet))
        clips.append(run(pipe))
        pipe.unet.save_lora_adapter(tmp_path / name, adapter_name="style")
        pipe.unload_lora_weights()
        pipe.unet.save_motion_modules(tmp_path / name / "motion_modules")
    assert_motion_acts(*clips)
    assert files(tmp_path / "moved") == files(tmp_path / "plain")
    assert len(files(tmp_path / "plain")) >= 3
