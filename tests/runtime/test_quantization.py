"""A base model with weights in 8 bits: the motion enters before the quantised projections."""

import pytest
import torch
from diffusers import TorchAoConfig, UNet3DConditionModel
from safetensors.torch import load_file
from torchao import quantization as torchao

from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed._compat import dtype_argument
from diffusers_motion_embed.storage.files import WEIGHTS_NAME
from tests.conftest import make_text_to_video
from tests.runtime.factories import BOTH, add_by_hand, assert_motion_acts, check_feature, run
from tests.versions import since


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_linear_layers_replaced_by_dynamically_quantized_ones_keep_the_motion(motion):
    # torch's own; it puts new modules in the place of projections without an assignment that could be noticed. Of the
    # other model class, plain diffusers calls a layer in a way that the new modules do not know.
    def quantize(pipe):
        torch.ao.quantization.quantize_dynamic(pipe.unet, {torch.nn.Linear}, dtype=torch.qint8, inplace=True)

    clips = check_feature(make_text_to_video, motion, quantize)
    assert not torch.equal(clips.plain_with, clips.plain)  # 8 bits are fewer than 32


@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_a_model_quantized_in_place_keeps_the_motion(make_pipe, motion):
    def quantize(pipe):
        torchao.quantize_(pipe.unet, torchao.Int8WeightOnlyConfig())

    clips = check_feature(make_pipe, motion, quantize)
    assert not torch.equal(clips.plain_with, clips.plain)


@since("torchao", "0.10", "is given names alone by diffusers")
def test_a_model_loaded_in_8_bits_takes_a_motion(motion, tmp_path):
    pipe = make_text_to_video()
    full = run(pipe)
    pipe.unet.save_pretrained(tmp_path / "unet")
    config = TorchAoConfig(torchao.Int8WeightOnlyConfig())

    def load():
        model = UNet3DConditionModel.from_pretrained(
            tmp_path / "unet", quantization_config=config, **dtype_argument(torch.float32)
        )
        loaded = make_text_to_video()
        loaded.register_modules(unet=model)
        return loaded

    plain_pipe, by_hand, pipe = load(), load(), enable_motion_embedding(load())
    plain = run(plain_pipe)
    assert not torch.equal(plain, full)
    source = motion(make_text_to_video().unet)
    add_by_hand(by_hand.unet, source)
    pipe.load_motion_embedding(source, debias="identity")
    moved = run(pipe)
    assert torch.equal(moved, run(by_hand))
    assert_motion_acts(moved, plain)
    saved = load_file(pipe.save_motion_embedding(tmp_path / "saved") / WEIGHTS_NAME)
    assert all(torch.equal(saved[key], source[key]) for key in source)
    pipe.unload_motion_embedding()
    assert torch.equal(run(pipe), plain)
