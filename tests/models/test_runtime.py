"""Runtime features on a model where all tokens attend to each other; the others are in tests/runtime."""

import gguf
import pytest
import torch
from diffusers import GGUFQuantizationConfig, WanTransformer3DModel
from diffusers.quantizers.gguf.utils import GGUFLinear

from diffusers_motion_embed import (
    load_motion_embedding,
    set_motion_frame_policy,
    unload_motion_embedding,
)
from tests.models.zoo import ZOO, Clip, make_model, run
from tests.versions import offload_groups


NAMES = ["WanTransformer3DModel", "CogVideoXTransformer3DModel", "HunyuanVideoTransformer3DModel"]
SIZE = {"latent_height": 4, "latent_width": 8}


@pytest.fixture(params=NAMES)
def model(request):
    return make_model(request.param)


@pytest.fixture
def embedding(embedding_dict):
    def make(model):
        layers = list(ZOO[type(model).__name__].layers)
        return embedding_dict(model, target_modules=layers, value_grid=(2, 2), **SIZE)

    return make


def test_half_precision_keeps_the_embedding_in_full(model, embedding):
    load_motion_embedding(model, embedding(model))
    expected = run(model)
    model.to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        half = run(model)
    layer = model._motion_embedding_registry.layers[ZOO[type(model).__name__].layers[0]]
    assert layer.embeddings["default_0"].tensors["v"].dtype == torch.float32
    torch.testing.assert_close(half.float(), expected, atol=0.15, rtol=0.15)


def test_offloaded_groups_compute_the_same(model, embedding):
    load_motion_embedding(model, embedding(model))
    expected = run(model)
    offload_groups(model, offload_type="block_level", num_blocks_per_group=1)
    assert torch.equal(run(model), expected)


def test_clips_of_another_length_follow_the_policy(model, embedding):
    load_motion_embedding(model, embedding(model))
    clip = Clip(1, 6, 4, 8)
    stretched = run(model, clip)
    set_motion_frame_policy(model, "hold")
    assert not torch.equal(run(model, clip), stretched)
    set_motion_frame_policy(model, "error")
    with pytest.raises(ValueError, match="6 frames"):
        run(model, clip)


def test_a_base_from_a_gguf_file_keeps_the_motion(embedding, tmp_path):
    # Blocks of 32 numbers are quantized together.
    full = make_model("WanTransformer3DModel", attention_head_dim=16, ffn_dim=32)
    full.save_config(tmp_path / "transformer")
    write_gguf(tmp_path / "wan.gguf", full.state_dict())
    model = WanTransformer3DModel.from_single_file(
        str(tmp_path / "wan.gguf"),
        config=str(tmp_path),
        subfolder="transformer",
        quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32),
        torch_dtype=torch.float32,
    )
    assert isinstance(model.blocks[0].attn1.to_q, GGUFLinear)
    plain, source = run(model), embedding(full)
    for module in full.modules():
        if isinstance(module, torch.nn.Linear):  # as the file has them
            rounded = gguf.quants.quantize(module.weight.numpy(), kind_of(module.weight))
            module.weight.data = torch.from_numpy(gguf.quants.dequantize(rounded, kind_of(module.weight)))
    rounding = {"atol": 2e-3, "rtol": 0}  # diffusers expands the numbers of the file in half precision
    torch.testing.assert_close(run(full), plain, **rounding)

    for each in (model, full):
        load_motion_embedding(each, source)
    moved = run(model)
    torch.testing.assert_close(moved, run(full), **rounding)
    assert (moved - plain).abs().max() > 0.1
    unload_motion_embedding(model)
    assert torch.equal(run(model), plain)


def kind_of(weight):
    """8 bits for every matrix that has whole blocks."""
    kinds = gguf.GGMLQuantizationType
    return kinds.Q8_0 if weight.ndim == 2 and weight.shape[-1] % 32 == 0 else kinds.F32


def write_gguf(path, weights):
    """A file of weights under the names of diffusers."""
    writer = gguf.GGUFWriter(path, "wan")
    for name, tensor in weights.items():
        kind = kind_of(tensor)
        writer.add_tensor(name, gguf.quants.quantize(tensor.numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
