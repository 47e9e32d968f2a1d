"""PEFT's own calls beyond training and files: combining, state dicts, LoRA beside motion, checks before injection."""

import copy
import itertools
import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file

from diffusers_motion_embed import (
    AdapterNameError,
    EmbeddingFileError,
    IncompatibleEmbeddingError,
    concatenate_motion_embeddings,
    load_motion_embedding,
    set_motion_embeddings,
    unload_motion_embedding,
)
from diffusers_motion_embed.peft_tuner.model import MotionEmbeddingTunerLayer
from tests.conftest import make_unet3d
from tests.helpers import NUM_FRAMES, assert_unchanged, make_config, snapshot
from tests.peft_tuner.test_model import embedding_parameters, frozen_copy, randomise, run


@pytest.fixture
def model():
    return make_unet3d()


@pytest.fixture
def plain(model):
    return frozen_copy(model)


@pytest.fixture
def two(model, plain):
    """Two random adapters of one PeftModel."""
    peft_model = randomise(get_peft_model(model, make_config(), "first"), "first")
    peft_model.add_adapter("second", make_config())
    return randomise(peft_model, "second").requires_grad_(False)


def numbers_of(peft_model, name):
    return {path.removesuffix(f".{name}"): tensor for path, tensor in embedding_parameters(peft_model, name).items()}


def added(peft_model, name):
    """What an adapter adds, by layer and part: debiased by "difference", written out again."""
    numbers = numbers_of(peft_model, name)
    differences = {key: torch.diff(tensor, dim=-2, prepend=0 * tensor[..., :1, :]) for key, tensor in numbers.items()}
    return {key: differences[key] if key.endswith("_v") else tensor for key, tensor in numbers.items()}


def test_a_linear_combination_is_the_weighted_sum(two):
    two.add_weighted_adapter(["first", "second"], [0.5, -2.0], "both")
    assert two.active_adapters == ["first"]
    first, second, both = added(two, "first"), added(two, "second"), numbers_of(two, "both")
    assert two.peft_config["both"].debias == "identity"
    assert both.keys() == first.keys()
    for key, tensor in both.items():
        torch.testing.assert_close(tensor, 0.5 * first[key] - 2.0 * second[key])
    assert not any(tensor.requires_grad for tensor in both.values())
    two.set_adapter("both")
    alone = run(two)
    two.set_adapter("first")
    assert not torch.equal(alone, run(two))


def test_a_concatenation_is_one_after_the_other(two):
    two.add_weighted_adapter(["second", "first"], [1.0, 0.5], "both", combination_type="cat")
    assert two.peft_config["both"].num_frames == two.peft_config["both"].num_latent_frames == 2 * NUM_FRAMES
    first, second, both = added(two, "first"), added(two, "second"), numbers_of(two, "both")
    for key, tensor in both.items():
        assert torch.equal(tensor, torch.cat([second[key], 0.5 * first[key]], dim=-2))


def test_adapters_of_other_lengths_grids_parts_and_layers_combine(model):
    coarse = make_config(num_frames=3, parts=["v"], debias="identity")
    peft_model = randomise(get_peft_model(model, coarse, "coarse"), "coarse")
    fine = make_config(num_frames=5, value_grid=(4, 4), target_modules="down_blocks.*attn1", debias="identity")
    peft_model.add_adapter("fine", fine)
    randomise(peft_model, "fine").requires_grad_(False)
    peft_model.add_weighted_adapter(["coarse", "fine"], [1.0, 2.0], "both")
    config = peft_model.peft_config["both"]
    assert (config.num_frames, config.value_grid, config.parts) == (5, (4, 4), ("qk", "v"))
    layer = "down_blocks.0.temp_attentions.0.transformer_blocks.0.attn1.motion_embedding.motion_embedding"
    coarse, fine, both = (numbers_of(peft_model, name) for name in ("coarse", "fine", "both"))
    assert torch.equal(both[f"{layer}_qk"], 2 * fine[f"{layer}_qk"])
    # Frames 0, 2 and 4 of five are frames 0, 1 and 2 of three; in the middle of a cell's edge two cells are averaged.
    value = both[f"{layer}_v"] - 2 * fine[f"{layer}_v"]
    torch.testing.assert_close(value[0, 0, [0, 2, 4]], coarse[f"{layer}_v"][0, 0])
    torch.testing.assert_close(value[0, 0, 1], coarse[f"{layer}_v"][0, 0, :2].mean(0))
    torch.testing.assert_close(
        value[0, 1, 0], 0.75 * coarse[f"{layer}_v"][0, 0, 0] + 0.25 * coarse[f"{layer}_v"][0, 1, 0]
    )


@pytest.mark.parametrize("combination_type", ["linear", "cat"])
def test_both_doors_combine_alike(plain, embedding_folder, tmp_path, combination_type):
    """Embeddings of other lengths and debiasing: what is added is combined, not what was learned."""
    folders = {
        "first": embedding_folder(plain, "first", seed=1),
        "second": embedding_folder(plain, "second", seed=2, num_frames=NUM_FRAMES + 2, debias="centered"),
    }
    peft_model = PeftModel.from_pretrained(copy.deepcopy(plain), folders["first"], "first")
    peft_model.load_adapter(folders["second"], "second")
    weights = [0.5, 2.0] if combination_type == "linear" else [1.0, 1.0]
    peft_model.add_weighted_adapter(list(folders), weights, "both", combination_type)
    peft_model.set_adapter("both")
    peft_model.save_pretrained(tmp_path, selected_adapters=["both"])

    if combination_type == "linear":
        for name, folder in folders.items():
            load_motion_embedding(plain, folder, name)
        set_motion_embeddings(plain, list(folders), weights)
    else:
        load_motion_embedding(plain, concatenate_motion_embeddings(list(folders.values()), tmp_path / "cat"))
    num_frames = peft_model.peft_config["both"].num_frames
    assert num_frames == (NUM_FRAMES + 2 if combination_type == "linear" else 2 * NUM_FRAMES + 2)
    by_pipeline = run(plain, num_frames=num_frames)
    peft_model.requires_grad_(False)
    torch.testing.assert_close(run(peft_model, num_frames=num_frames), by_pipeline, atol=1e-5, rtol=0)
    unload_motion_embedding(plain)
    load_motion_embedding(plain, tmp_path / "both")
    torch.testing.assert_close(run(plain, num_frames=num_frames), by_pipeline, atol=1e-5, rtol=0)


def test_adapters_that_act_at_other_times_do_not_combine(two):
    two.add_adapter("early", make_config(timing=(0.0, 0.5)))
    before = snapshot(two)
    with pytest.raises(IncompatibleEmbeddingError, match=r"differ in timing: None and .0\.0, 0\.5."):
        two.add_weighted_adapter(["first", "early"], [1.0, 1.0], "both")
    assert_unchanged(two, before)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((["first", "third"], [1, 1], "new"), AdapterNameError, "third"),
        (([], [], "new"), AdapterNameError, "loaded adapters"),
        ((["first"], [1], "second"), AdapterNameError, "in use"),
        ((["first"], [1, 2], "new"), ValueError, "finite weight"),
        ((["first"], [float("nan")], "new"), ValueError, "finite weight"),
        ((["first"], [1], "new", "svd"), ValueError, "svd"),
    ],
)
def test_a_combination_that_makes_no_sense_changes_nothing(two, arguments, error, message):
    before, output = snapshot(two), run(two)
    with pytest.raises(error, match=message):
        two.add_weighted_adapter(*arguments)
    assert_unchanged(two, before)
    assert torch.equal(run(two), output)


@pytest.mark.parametrize("name", ["v1.5", "", "keys"])
def test_a_name_that_parameters_cannot_have_changes_nothing(plain, two, name):
    """The errors of PEFT's LoRAs are torch's; a ParameterDict that raised them has the name all the same."""
    before, output, plain_before = snapshot(two), run(two), snapshot(plain)
    calls = (
        lambda: two.add_weighted_adapter(["first"], [1.0], name),
        lambda: two.add_adapter(name, make_config()),
    )
    for call in calls:
        with pytest.raises(AdapterNameError, match=f"no dot .* got {name!r}.*load_motion_embedding"):
            call()
        assert list(two.peft_config) == ["first", "second"]
        assert_unchanged(two, before)
        assert torch.equal(run(two), output)
    two.add_adapter("v1_5", make_config())
    with pytest.raises(AdapterNameError, match="no dot"):
        get_peft_model(plain, make_config(), name)
    assert_unchanged(plain, plain_before)


def test_a_combination_that_memory_does_not_hold_changes_nothing(two, monkeypatch):
    before, output, update, number = snapshot(two), run(two), MotionEmbeddingTunerLayer.update_layer, itertools.count()

    def fail(layer, *arguments):
        update(layer, *arguments)
        if next(number) == 3:
            raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(MotionEmbeddingTunerLayer, "update_layer", fail)
    with pytest.raises(torch.OutOfMemoryError):
        two.add_weighted_adapter(["first", "second"], [1.0, 1.0], "both")
    assert list(two.peft_config) == ["first", "second"]
    assert_unchanged(two, before)
    assert torch.equal(run(two), output)
    two.add_weighted_adapter(["first", "second"], [1.0, 1.0], "both")


def test_a_state_dict_carries_an_embedding_over(two, plain):
    state_dict = get_peft_model_state_dict(two, adapter_name="second")
    other = get_peft_model(copy.deepcopy(plain), make_config(), "any").requires_grad_(False)
    report = set_peft_model_state_dict(other, state_dict, adapter_name="any")
    assert not report.unexpected_keys
    two.set_adapter("second")
    assert torch.equal(run(other), run(two.requires_grad_(False)))


def test_trainable_parameters_are_counted(model, capsys):
    peft_model = get_peft_model(model, make_config())
    by_hand = sum(parameter.numel() for parameter in embedding_parameters(peft_model).values())
    assert peft_model.get_nb_trainable_parameters()[0] == by_hand > 0
    peft_model.print_trainable_parameters()
    assert f"{by_hand:,}" in capsys.readouterr().out


def test_loading_without_first_making_random_numbers_is_the_same(two, plain, tmp_path):
    two.save_pretrained(tmp_path)
    usual = PeftModel.from_pretrained(copy.deepcopy(plain), tmp_path / "first")
    lean = PeftModel.from_pretrained(copy.deepcopy(plain), tmp_path / "first", low_cpu_mem_usage=True)
    lean.load_adapter(tmp_path / "second", "second", low_cpu_mem_usage=True)
    assert not torch.equal(run(usual), run(plain))
    assert torch.equal(run(lean), run(usual))
    usual.load_adapter(tmp_path / "second", "second")
    for loaded in (usual, lean):
        loaded.set_adapter("second")
    assert torch.equal(run(lean), run(usual))


def lora(rank=2):
    return LoraConfig(r=rank, target_modules=["to_q", "to_v"], init_lora_weights=False)


def with_lora_in_the_weights(plain, peft_model, adapter_name):
    """The plain model, its weights W + BA written out; the LoRA's numbers are read from `peft_model`."""
    merged, modules = copy.deepcopy(plain), dict(peft_model.named_modules())
    for name, module in modules.items():
        if hasattr(module, "lora_A"):
            path = name.removeprefix("base_model.model.").removeprefix("base_model.model.")
            delta = module.lora_B[adapter_name].weight @ module.lora_A[adapter_name].weight
            merged.get_submodule(path).weight.data += module.scaling[adapter_name] * delta
    return merged


def test_a_lora_around_a_motion_embedding_and_within(two, plain, tmp_path):
    two.save_pretrained(tmp_path, selected_adapters=["first"])
    outer = get_peft_model(two, lora())
    within = copy.deepcopy(plain)
    get_peft_model(within, lora(), "within")  # changes the model in place
    inner = PeftModel.from_pretrained(within, tmp_path / "first", is_trainable=True).requires_grad_(False)
    for nested, name in ((outer, "default"), (inner, "within")):
        nested.requires_grad_(False)
        merged = with_lora_in_the_weights(plain, nested, name)
        oracle = PeftModel.from_pretrained(merged, tmp_path / "first", is_trainable=True).requires_grad_(False)
        torch.testing.assert_close(run(nested), run(oracle), atol=1e-5, rtol=1e-5)
        assert (run(nested) - run(plain)).abs().max() > 1e-3


def test_a_lora_in_the_same_peft_model_is_pefts_error(two):
    before = snapshot(two)
    with pytest.raises(ValueError, match="type"):
        two.add_adapter("lora", lora())
    assert_unchanged(two, before)


def damaged(folder, change):
    """The saved embedding with a change to its tensors."""
    state_dict = load_file(folder / "adapter_model.safetensors")
    save_file(change(dict(state_dict)), folder / "adapter_model.safetensors")


def with_nan(state_dict):
    next(iter(state_dict.values())).view(-1)[0] = float("nan")
    return state_dict


def without_one(state_dict):
    state_dict.pop(next(iter(state_dict)))
    return state_dict


def too_wide(state_dict):
    return {key: torch.cat([tensor, tensor], dim=-1).contiguous() for key, tensor in state_dict.items()}


@pytest.mark.parametrize(
    ("change", "error"),
    [(with_nan, EmbeddingFileError), (without_one, EmbeddingFileError), (too_wide, IncompatibleEmbeddingError)],
)
def test_a_damaged_file_is_refused_before_anything_changes(two, plain, tmp_path, change, error):
    two.save_pretrained(tmp_path)
    damaged(tmp_path / "first", change)
    before = snapshot(plain)
    with pytest.raises(error):
        PeftModel.from_pretrained(plain, tmp_path / "first")
    assert_unchanged(plain, before)
    two.delete_adapter("second")
    before = snapshot(two)
    with pytest.raises(error):
        two.load_adapter(tmp_path / "first", "again")
    assert_unchanged(two, before)


def test_a_truncated_file_and_another_class_are_refused_before_anything_changes(two, plain, tmp_path):
    two.save_pretrained(tmp_path)
    before = snapshot(plain)
    weights = tmp_path / "first/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EmbeddingFileError, match="not a complete safetensors file"):
        PeftModel.from_pretrained(plain, tmp_path / "first")
    settings = tmp_path / "second/adapter_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "model_class": "UNetMotionModel"}))
    with pytest.raises(IncompatibleEmbeddingError, match="UNetMotionModel"):
        PeftModel.from_pretrained(plain, tmp_path / "second")
    assert_unchanged(plain, before)
