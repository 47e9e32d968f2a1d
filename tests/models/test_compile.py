"""Every change takes effect on a compiled model of every class, compiled whole and by repeated blocks.

The backend runs the graphs as they are, because what is tested is whether a change is noticed. A twin that is not
compiled gets the same calls.
"""

import functools
import logging

import diffusers
import pytest
import torch
from diffusers.loaders import PeftAdapterMixin
from peft import LoraConfig

from diffusers_motion_embed import (
    disable_motion_embedding_layers,
    enable_motion_embedding,
    enable_motion_embedding_layers,
    load_motion_embedding,
    set_motion_debias,
    set_motion_embeddings,
    set_motion_scale,
    set_motion_timing,
    unload_motion_embedding,
)
from diffusers_motion_embed.adapter.registry import add_embedding, embedding_tensors
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.functional import DEBIAS_MODES
from diffusers_motion_embed.storage.embedding import Embedding
from tests.conftest import make_text_to_video
from tests.models.zoo import ZOO, make_model, predict, run
from tests.versions import skip_before


SIZE = {"latent_height": 4, "latent_width": 8}

BREAKS_GRAPHS = ["HunyuanVideo15Transformer3DModel"]  # plain diffusers does
REPEATED = [name for name in ZOO if getattr(diffusers, name)._repeated_blocks]

# Diffusers lets a LoRA be loaded on these; on the first once a pipeline of it is enabled.
WITH_LORA = ["UNet3DConditionModel", *(name for name in ZOO if issubclass(getattr(diffusers, name), PeftAdapterMixin))]

# Tracing takes seconds for every block, so there is one where another test compiles two by blocks.
BLOCK_COUNTS = ("num_layers", "num_single_layers", "num_visual_blocks")
ONE_LEVEL_3D = {"block_out_channels": (8,), "down_block_types": ("DownBlock3D",), "up_block_types": ("UpBlock3D",)}
SMALLER = {
    "UNet3DConditionModel": ONE_LEVEL_3D,
    "I2VGenXLUNet": ONE_LEVEL_3D,
    "UNetMotionModel": {
        "block_out_channels": (8,),
        "down_block_types": ("DownBlockMotion",),
        "up_block_types": ("UpBlockMotion",),
        "use_motion_mid_block": False,
    },
    "UNetSpatioTemporalConditionModel": {
        "block_out_channels": (32,),
        "down_block_types": ("CrossAttnDownBlockSpatioTemporal",),
        "up_block_types": ("UpBlockSpatioTemporal",),
        "num_attention_heads": 2,
    },
}
SMALLER |= {name: {count: 1 for count in BLOCK_COUNTS if count in ZOO[name].settings} for name in REPEATED}


def skip_uncompiled(name):
    if name == "MochiTransformer3DModel":
        skip_before("torch", "2.11", "compiles no indexing by a mask, as Mochi does it")


@pytest.fixture(autouse=True)
def _forget_graphs(caplog):
    caplog.set_level(logging.CRITICAL, "torch.__trace")  # megabytes, which pytest would collect
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def make_pair():
    """A function from a class and a way of compiling to a compiled model and its twin that is not compiled."""

    def make(name, way):
        changes = SMALLER.get(name, {}) if way == "compile" else {}
        compiled, eager = (make_model(name, **changes) for _ in range(2))
        getattr(compiled, way)(backend="eager", fullgraph=name not in BREAKS_GRAPHS)
        return Pair(compiled, eager)

    return make


class Pair:
    """A compiled model and its twin, which get the same calls and must predict the same."""

    def __init__(self, compiled, eager):
        self.compiled, self.eager = compiled, eager
        self.layers = find_architecture(eager).attention_paths(eager)

    def each(self, call, *arguments, **named):
        for model in (self.compiled, self.eager):
            call(model, *arguments, **named)

    def agree(self):
        """What both predict."""
        expected = run(self.eager)
        torch.testing.assert_close(run(self.compiled), expected, atol=1e-5, rtol=1e-5)
        return expected


def train(model, config, tensors):
    """A step of training, as `training` does it; another model may be compiled for it or not."""
    copies = {path: {part: tensor.clone() for part, tensor in parts.items()} for path, parts in tensors.items()}
    add_embedding(model, "trained", Embedding(config, copies))
    parameters = [
        tensor.requires_grad_() for parts in embedding_tensors(model, "trained").values() for tensor in parts.values()
    ]
    set_motion_embeddings(model, ["first", "trained"])
    with torch.compiler.set_stance("force_eager"):
        predict(model).square().mean().backward()
    for tensor in parameters:
        tensor.requires_grad_(False).sub_(0.1 * tensor.grad.sign())


@pytest.mark.parametrize("name", ZOO)
def test_a_motion_takes_effect(make_pair, embedding_dict, name):
    """What the slow test shows of every change, of the first."""
    skip_uncompiled(name)
    pair = make_pair(name, "compile")
    plain = pair.agree()
    source = embedding_dict(pair.eager, value_grid=(2, 2), parts=ZOO[name].parts, target_modules=pair.layers, **SIZE)
    pair.each(load_motion_embedding, source)
    assert (pair.agree() - plain).abs().max() > 1e-3
    with torch.compiler.set_stance("fail_on_recompile"):
        pair.each(set_motion_scale, 0.5)
        pair.agree()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "way"),
    [*((name, "compile") for name in ZOO), *((name, "compile_repeated_blocks") for name in REPEATED)],
)
def test_every_change_takes_effect(make_pair, embedding_dict, make_embedding, name, way):
    skip_uncompiled(name)
    pair, by_blocks = make_pair(name, way), way == "compile_repeated_blocks"
    half = max(1, len(pair.layers) // 2)
    settings = {"value_grid": (2, 2), "parts": ZOO[name].parts, **SIZE}
    random = functools.partial(embedding_dict, pair.eager, **settings)
    some, others = ({"target_modules": layers} for layers in (pair.layers[:half], pair.layers[-half:]))
    plain = pair.agree()

    # Compiling takes seconds, so changes that both must be noticed are made together.
    pair.each(load_motion_embedding, random(seed=1, **some), "first")
    pair.each(train, *make_embedding(pair.eager, seed=2, **settings, **others))
    assert (pair.agree() - plain).abs().max() > 1e-3

    with torch.compiler.set_stance("fail_on_recompile"):
        pair.each(set_motion_embeddings, ["first", "trained"], [0.5, {"qk": -1.0}])
        pair.agree()
        pair.each(set_motion_scale, {"p": 1.2}, "trained")
        pair.agree()
        pair.each(set_motion_timing, 0.1, 0.4)
        pair.agree()
        pair.each(set_motion_timing, 0.5, 1.0, "first")
        pair.agree()
        for mode in DEBIAS_MODES:
            pair.each(set_motion_debias, mode)
            pair.agree()
        pair.each(load_motion_embedding, random(seed=3, **some), "first", hotswap=True)
        pair.each(set_motion_embeddings, "first", 0.7)
        pair.agree()
        pair.each(disable_motion_embedding_layers)
        assert torch.equal(pair.agree(), plain)
        pair.each(enable_motion_embedding_layers)

    if name in WITH_LORA:
        moved = pair.agree()
        pair.each(add_lora, ZOO[name].projections[-1])
        assert (pair.agree() - moved).abs().max() > 1e-4
        pair.each(lambda model: model.delete_adapters("style"))
        if not by_blocks:  # where it goes together with the motion
            assert torch.equal(pair.agree(), moved)
    pair.each(unload_motion_embedding)
    assert torch.equal(pair.agree(), plain)
    if by_blocks:
        pair.each(load_motion_embedding, random(seed=4, **others), "later")
        assert (pair.agree() - plain).abs().max() > 1e-3


def add_lora(model, projection):
    if not hasattr(model, "add_adapter"):
        enable_motion_embedding(make_text_to_video())  # gives UNet3DConditionModel the methods
    torch.manual_seed(5)
    model.add_adapter(LoraConfig(r=2, target_modules=[projection], init_lora_weights=False), adapter_name="style")
