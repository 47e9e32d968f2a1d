"""What motion embeddings promise, for every model class; the zoo's pipelines are tested where they have quirks."""

import copy
import itertools
import re

import diffusers
import pytest
import torch
from diffusers.loaders import PeftAdapterMixin
from peft import LoraConfig, PeftModel, get_peft_model

from diffusers_motion_embed import (
    disable_motion_embedding_layers,
    enable_motion_embedding_layers,
    load_motion_embedding,
    save_motion_embedding,
    set_motion_embeddings,
    set_motion_scale,
    unload_motion_embedding,
)
from diffusers_motion_embed.adapter.registry import embedding_tensors
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.training import recompute
from diffusers_motion_embed.training.recompute import recomputation
from tests.helpers import assert_unchanged, snapshot
from tests.models.zoo import ZOO, make_model, predict, run
from tests.versions import pefts_own_calls, skip_before


SIZE = {"latent_height": 4, "latent_width": 8}


@pytest.fixture(params=ZOO)
def model(request):
    return make_model(request.param)


@pytest.fixture
def embedding(embedding_dict):
    """A function from a model and a seed to a random embedding that fits it."""
    return lambda model, seed=1, **settings: embedding_dict(
        model,
        seed=seed,
        target_modules=list(ZOO[type(model).__name__].layers),
        parts=ZOO[type(model).__name__].parts,
        **{"value_grid": (1, 1), **SIZE, **settings},
    )


def test_off_is_exactly_the_plain_model(model, embedding):
    plain, before = run(model), snapshot(model)
    load_motion_embedding(model, embedding(model), "one")
    assert not torch.equal(run(model), plain)
    set_motion_scale(model, 0.0)
    assert torch.equal(run(model), plain)
    set_motion_scale(model, 1.0)
    disable_motion_embedding_layers(model)
    assert torch.equal(run(model), plain)
    unload_motion_embedding(model)
    assert torch.equal(run(model), plain)
    assert_unchanged(model, before)


# Diffusers cannot fuse the projections of LTX-2 and Kandinsky 5.
FUSIBLE = [name for name in ZOO if hasattr(getattr(diffusers, name), "fuse_qkv_projections")]
FUSIBLE = sorted({*FUSIBLE} - {"LTX2VideoTransformer3DModel", "Kandinsky5Transformer3DModel"})


@pytest.mark.parametrize("name", FUSIBLE)
def test_fused_projections_compute_the_same(name, embedding):
    if name == "WanVACETransformer3DModel":
        skip_before("diffusers", "0.39", "computes something else when the projections of VACE are fused")
    model, late = make_model(name), make_model(name)
    load_motion_embedding(model, embedding(model, value_grid=(2, 2)), debias="identity")
    moved = run(model)
    model.fuse_qkv_projections()
    late.fuse_qkv_projections()
    plain = run(late)
    load_motion_embedding(late, embedding(late, value_grid=(2, 2)), debias="identity")
    for fused in (model, late):
        torch.testing.assert_close(run(fused), moved, atol=1e-5, rtol=1e-5)
    set_motion_scale(late, 0.0)
    assert torch.equal(run(late), plain)
    model.unfuse_qkv_projections()
    assert torch.equal(run(model), moved)
    unload_motion_embedding(late)
    assert torch.equal(run(late), plain)


def test_several_add_up_in_any_order(model, embedding):
    first, second = embedding(model), embedding(model, seed=2, value_grid=(2, 2), position_grid=(2, 3))
    load_motion_embedding(model, first, "one")
    load_motion_embedding(model, second, "two")
    set_motion_embeddings(model, ["one", "two"], [0.5, 0.25])
    both = run(model)
    set_motion_embeddings(model, ["two", "one"], [0.25, 0.5])
    torch.testing.assert_close(run(model), both, atol=1e-5, rtol=1e-5)
    unload_motion_embedding(model)
    # The same sum, formed beforehand. Grids of one position count for all of them.
    load_motion_embedding(model, {key: 0.5 * first[key] + 0.25 * second[key] for key in first}, "sum")
    torch.testing.assert_close(run(model), both, atol=1e-5, rtol=1e-5)


@pefts_own_calls
def test_saved_and_loaded_it_is_the_same(model, embedding, tmp_path):
    load_motion_embedding(model, embedding(model, value_grid=(2, 2)), "one")
    here = run(model)
    save_motion_embedding(model, tmp_path / "saved")
    other = make_model(type(model).__name__)
    report = load_motion_embedding(other, tmp_path / "saved")
    assert report.num_layers == len(ZOO[type(model).__name__].layers)
    assert torch.equal(run(other), here)
    through_peft = PeftModel.from_pretrained(make_model(type(model).__name__), str(tmp_path / "saved"))
    assert torch.equal(run(through_peft.base_model.model), here)


@pytest.mark.parametrize("grid", [(1, 1), (2, 2)], ids=str)
def test_clips_of_other_lengths_and_sizes(model, embedding, grid):
    load_motion_embedding(model, embedding(model, value_grid=grid))
    for clip in ZOO[type(model).__name__].sizes:
        with_motion = run(model, clip)
        disable_motion_embedding_layers(model)
        plain = run(model, clip)
        enable_motion_embedding_layers(model)
        assert with_motion.shape == plain.shape
        assert with_motion.isfinite().all()
        assert not torch.equal(with_motion, plain)


def test_only_the_embedding_gets_gradients(model, embedding):
    load_motion_embedding(model, embedding(model))
    tensors = [tensor for parts in embedding_tensors(model, "default_0").values() for tensor in parts.values()]
    for tensor in tensors:
        tensor.requires_grad_(True)
    predict(model).square().mean().backward()
    gradients = [tensor.grad for tensor in tensors]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)
    assert all(parameter.grad is None for parameter in model.parameters())


def gradients_of(model, tensors):
    for tensor in tensors:
        tensor.grad = None
    predict(model).square().mean().backward()
    return [tensor.grad for tensor in tensors]


def test_recomputing_layers_gives_the_same_gradients(model, embedding):
    """With this package's recomputation, and with diffusers' own where the class has it."""
    load_motion_embedding(model, embedding(model))
    tensors = [tensor for parts in embedding_tensors(model, "default_0").values() for tensor in parts.values()]
    for tensor in tensors:
        tensor.requires_grad_(True)
    expected = gradients_of(model, tensors)
    with recomputation(model, find_architecture(model).layers):
        checks = [gradients_of(model, tensors)]
    if getattr(model, "_supports_gradient_checkpointing", False):
        model.enable_gradient_checkpointing()
        checks.append(gradients_of(model, tensors))
    for gradients in checks:
        torch.testing.assert_close(gradients, expected, atol=1e-6, rtol=1e-4)


def test_recomputation_gives_an_instance_s_own_forward_back(model):
    paths = find_architecture(model).layers
    layer = next(module for path, module in model.named_modules() if re.fullmatch(paths, path))
    own = layer.forward = layer.forward  # as hooks of diffusers do it
    with recomputation(model, paths):
        assert layer.forward is not own
    assert layer.forward is own


def test_layers_whose_weights_come_and_go_give_the_same_gradients(model, embedding, monkeypatch):
    """The weights that are away are useless here, so that whoever computes with them is found out."""
    load_motion_embedding(model, embedding(model))
    tensors = [tensor for parts in embedding_tensors(model, "default_0").values() for tensor in parts.values()]
    for tensor in tensors:
        tensor.requires_grad_(True)
    model.requires_grad_(False)
    expected, plain = gradients_of(model, tensors), run(model)
    paths, device = find_architecture(model).layers, torch.device("cpu")
    away = [module for path, module in model.named_modules() if re.fullmatch(paths, path)]
    weights = {weight.data.data_ptr(): weight.data.clone() for layer in away for weight in layer.parameters()}
    assert weights
    for layer in away:
        for weight in layer.parameters():
            weight.fill_(torch.nan)
    monkeypatch.setattr(recompute, "_fetched", lambda weight, device: weights[weight.data_ptr()].clone())
    with recomputation(model, paths, device, away):
        torch.testing.assert_close(gradients_of(model, tensors), expected, atol=1e-6, rtol=1e-4)
        assert torch.equal(run(model), plain)
    assert all(weight.isnan().all() for layer in away for weight in layer.parameters())


def test_a_lora_and_a_motion_in_either_order(model, embedding):
    """Against the model with W + ΔW written into its weights, and the same motion."""
    specimen = ZOO[type(model).__name__]
    targets = [f"{path}.{projection}" for path, projection in itertools.product(specimen.layers, specimen.projections)]
    config = LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
    written = copy.deepcopy(model)
    tensors = embedding(model)
    outputs = []
    for motion_first in (True, False):
        torch.manual_seed(5)
        adapted = copy.deepcopy(model)
        if motion_first:
            load_motion_embedding(adapted, tensors)
        if isinstance(adapted, PeftAdapterMixin):
            adapted.add_adapter(config)
        else:
            adapted = get_peft_model(adapted, config).base_model.model
        if not motion_first:
            load_motion_embedding(adapted, tensors)
        outputs.append(run(adapted))
    for target in targets:
        layer = adapted.get_submodule(target)
        delta = layer.lora_B["default"].weight @ layer.lora_A["default"].weight * layer.scaling["default"]
        written.get_submodule(target).weight.data += delta.detach()
    load_motion_embedding(written, tensors)
    expected = run(written)
    for output in outputs:
        torch.testing.assert_close(output, expected, atol=1e-4, rtol=1e-4)
