"""`--quantization` and `--gguf`: what is loaded, that a motion is learned on it, and what is refused."""

import argparse

import numpy as np
import pytest
import torch
from diffusers import WanPipeline
from diffusers.quantizers.gguf.utils import GGUFLinear

from diffusers_motion_embed import UnsupportedModelError
from diffusers_motion_embed.adapter.registry import embedding_tensors
from diffusers_motion_embed.commands.base_pipeline import load_pipeline
from diffusers_motion_embed.commands.quantization import QUANTIZATIONS
from diffusers_motion_embed.commands.training_arguments import add_base
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from tests.conftest import make_text_to_video
from tests.helpers import NUM_FRAMES, make_config
from tests.models.test_runtime import write_gguf
from tests.pipelines.wan import wan_parts
from tests.versions import since


def load(folder, *arguments):
    parser = argparse.ArgumentParser()
    add_base(parser)
    base = ("--pretrained_model_name_or_path", str(folder))
    options = parser.parse_args([*base, *map(str, arguments)])
    # What `needs_text` asks of the other arguments.
    vars(options).update(features=None, validation_prompt=["a"], save_inverted_noise=False)
    return load_pipeline(options, "cpu")


@since("torchao", "0.10", "is given names alone by diffusers")
@pytest.mark.parametrize("name", ["torchao_int8", "torchao_float8"])
def test_a_motion_learned_on_a_quantized_base_is_like_that_of_the_whole_one(name, tmp_path):
    make_text_to_video().save_pretrained(tmp_path)
    quantized, whole = load(tmp_path, "--quantization", name), load(tmp_path)
    layers = [each for part in (quantized.unet, quantized.text_encoder) for each in part.modules()]
    weights = [each.weight.data for each in layers if isinstance(each, torch.nn.Linear)]
    assert weights
    assert all(type(weight).__module__.startswith("torchao") for weight in weights)
    learned = []
    for pipe in (quantized, whole):
        frames = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, 16, 16, 3), dtype=np.uint8)
        options = TrainingConfig(max_train_steps=3, gradient_accumulation_steps=1, learning_rate=0.1)
        train_motion_embedding(
            pipe, frames, "a red circle", options, embedding_config=make_config(), progress_bar=False
        )
        tensors = embedding_tensors(pipe.unet, "default")
        learned.append(torch.cat([tensor.flatten() for parts in tensors.values() for tensor in parts.values()]))
    assert not torch.equal(*learned)
    assert torch.nn.functional.cosine_similarity(*learned, dim=0) > 0.8


def test_a_motion_is_learned_on_the_weights_of_a_gguf_file(tmp_path):
    # Blocks of 32 numbers are quantized together.
    pipe = WanPipeline(**wan_parts(attention_head_dim=16, ffn_dim=32))
    pipe.save_pretrained(tmp_path / "base")
    write_gguf(tmp_path / "wan.gguf", pipe.transformer.state_dict())
    loaded = load(tmp_path / "base", "--gguf", tmp_path / "wan.gguf")
    assert isinstance(loaded.transformer.blocks[0].attn1.to_q, GGUFLinear)
    frames = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    options = TrainingConfig(max_train_steps=2, gradient_accumulation_steps=1)
    train_motion_embedding(loaded, frames, "a red circle", options, progress_bar=False)
    tensors = embedding_tensors(loaded.transformer, "default")
    assert all(tensor.any() for parts in tensors.values() for tensor in parts.values())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--gguf", "nowhere.gguf"], ValueError, "there is no file at nowhere.gguf"),
        (["--gguf", __file__, "--quantization", "torchao_int8"], ValueError, "leave out --quantization"),
        (["--motion_adapter", "a/b", "--quantization", "torchao_int8"], ValueError, "do not go with --motion_adapter"),
        (["--gguf", __file__], ValueError, "is no GGUF file"),
        (["--gguf", "pickled.gguf"], ValueError, "is no GGUF file"),
        (["--gguf", "sound.gguf"], UnsupportedModelError, "no single files of UNet3DConditionModel"),
        (
            ["--gguf", "sound.gguf", "--component", "transformer"],
            UnsupportedModelError,
            "it has unet",
        ),
    ],
    ids=["no-file", "both", "adapter", "other-file", "pickle", "no-single-files", "no-component"],
)
def test_what_cannot_be_loaded_is_told_first(arguments, error, message, tmp_path, monkeypatch):
    pipe = make_text_to_video()
    pipe.save_pretrained(tmp_path)
    monkeypatch.chdir(tmp_path)
    torch.save({}, "pickled.gguf")
    write_gguf("sound.gguf", pipe.unet.state_dict())
    with pytest.raises(error, match=message):
        load(tmp_path, *arguments)


@pytest.mark.parametrize("name", ["bitsandbytes_4bit", "bitsandbytes_8bit"])
def test_a_missing_package_is_named(name, tmp_path):
    assert QUANTIZATIONS[name] == "bitsandbytes"
    with pytest.raises(ImportError, match="pip install bitsandbytes"):
        load(tmp_path, "--quantization", name)
