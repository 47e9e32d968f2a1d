"""PEFT's door, on real models: get_peft_model, PeftModel's life cycle, and files that both doors read."""

import copy

import peft
import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import PeftModel, PeftType, get_peft_model
from safetensors.torch import load_file

from diffusers_motion_embed import (
    AdapterNameError,
    IncompatibleEmbeddingError,
    MotionEmbeddingConfig,
    TargetModulesError,
    UnsupportedModelError,
    delete_motion_embedding,
    disable_motion_embedding_layers,
    get_list_motion_embeddings,
    load_motion_embedding,
    register_motion_embedding,
    save_motion_embedding,
    set_motion_scale,
    unload_motion_embedding,
)
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.functional import DEBIAS_MODES
from diffusers_motion_embed.storage.files import write_embedding
from tests.conftest import make_animatediff, make_unet3d
from tests.helpers import NUM_FRAMES, assert_unchanged, hook_count, make_config, snapshot


@pytest.fixture
def model():
    return make_unet3d()


@pytest.fixture
def plain(model):
    """The same model, untouched."""
    return frozen_copy(model)


@pytest.fixture
def trained(model, plain):
    """A PeftModel whose embedding has random numbers; `plain` stays as it was."""
    return randomise(get_peft_model(model, make_config()))


def frozen_copy(model):
    """A copy frozen as PEFT freezes: torch multiplies matrices that need gradients in another order of rounding."""
    return copy.deepcopy(model).requires_grad_(False)


@torch.no_grad()
def run(model, num_frames=NUM_FRAMES, height=8, width=8, text_rows_per_clip=1):
    generator = torch.Generator().manual_seed(2)
    sample = torch.randn(2, 4, num_frames, height, width, generator=generator)
    text = torch.randn(2, 5, 16, generator=generator).repeat_interleave(text_rows_per_clip, dim=0)
    return model(sample, 10, encoder_hidden_states=text).sample


def embedding_parameters(peft_model, adapter_name="default"):
    return {
        name.removeprefix("base_model.model."): parameter
        for name, parameter in peft_model.named_parameters()
        if name.endswith(f".{adapter_name}") and ".motion_embedding." in name
    }


def randomise(peft_model, adapter_name="default"):
    for parameter in embedding_parameters(peft_model, adapter_name).values():
        torch.nn.init.normal_(parameter)
    return peft_model


def adapted_layers(peft_model):
    return sorted({name.split(".motion_embedding.")[0] for name in embedding_parameters(peft_model)})


# Computing and training


@pytest.mark.parametrize(
    ("make", "text_rows_per_clip"),
    [
        pytest.param(make_unet3d, 1, id="unet3d"),
        pytest.param(lambda: make_animatediff().unet, NUM_FRAMES, id="animatediff"),
    ],
)
def test_a_new_embedding_changes_nothing_and_a_trained_one_something(make, text_rows_per_clip):
    model = make()
    plain = run(frozen_copy(model), text_rows_per_clip=text_rows_per_clip)
    peft_model = get_peft_model(model, make_config())
    assert torch.equal(run(peft_model, text_rows_per_clip=text_rows_per_clip), plain)
    assert not torch.equal(run(randomise(peft_model), text_rows_per_clip=text_rows_per_clip), plain)


def test_only_the_embedding_trains(model):
    peft_model = get_peft_model(model, make_config()).train()
    trainable = {name for name, parameter in peft_model.named_parameters() if parameter.requires_grad}
    assert trainable == {f"base_model.model.{name}" for name in embedding_parameters(peft_model)}
    text = torch.randn(1, 5, 16)
    peft_model(torch.randn(1, 4, NUM_FRAMES, 8, 8), 10, encoder_hidden_states=text).sample.square().mean().backward()
    assert {name for name, parameter in peft_model.named_parameters() if parameter.grad is not None} == trainable
    value_gradients = [p.grad for name, p in peft_model.named_parameters() if "motion_embedding_v" in name]
    assert all(gradient.abs().sum() > 0 for gradient in value_gradients)


def test_disabled_adapters_leave_the_plain_model(trained, plain):
    changed = run(trained)
    with trained.disable_adapter():
        assert torch.equal(run(trained), run(plain))
    assert torch.equal(run(trained), changed)
    assert not torch.equal(changed, run(plain))


def test_an_embedding_serves_other_sizes_and_lengths(trained, plain):
    larger = {"num_frames": NUM_FRAMES + 3, "height": 16, "width": 8}
    assert run(trained, **larger).shape == run(plain, **larger).shape
    assert not torch.equal(run(trained, **larger), run(plain, **larger))


# Files


def test_what_was_saved_computes_the_same(trained, plain, tmp_path):
    trained.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(plain, tmp_path, is_trainable=True)
    assert torch.equal(run(again), run(trained))


@pytest.mark.parametrize("policy", ["resample", "hold"])
@pytest.mark.parametrize("debias", DEBIAS_MODES)
def test_training_computes_what_both_doors_compute_with_the_file(model, plain, tmp_path, debias, policy):
    trained = randomise(get_peft_model(model, make_config(debias=debias, frame_policy=policy)))
    trained.save_pretrained(tmp_path)
    other = copy.deepcopy(plain)
    load_motion_embedding(other, tmp_path)
    longer = {"num_frames": NUM_FRAMES + 1}
    expected = run(trained.requires_grad_(False), **longer)
    assert torch.equal(run(PeftModel.from_pretrained(plain, tmp_path), **longer), expected)
    assert torch.equal(run(other, **longer), expected)


@pytest.mark.parametrize(("name", "value"), [("debias", "centered"), ("frame_policy", "hold")])
def test_a_setting_that_is_changed_in_the_config_is_heard_and_saved(trained, plain, tmp_path, name, value):
    longer = {"num_frames": NUM_FRAMES + 1}
    before = run(trained, **longer)
    setattr(trained.peft_config["default"], name, value)
    changed = run(trained, **longer)
    assert not torch.equal(changed, before)
    trained.save_pretrained(tmp_path)
    assert torch.equal(run(PeftModel.from_pretrained(plain, tmp_path), **longer), changed)


def test_a_debiasing_that_does_not_exist_is_refused(trained):
    trained.peft_config["default"].debias = "none"
    with pytest.raises(ValueError, match=r"debias must be one of identity, .*got 'none'"):
        run(trained)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="as-is"),
        pytest.param({"max_error": 0.5}, id="compact"),
        pytest.param({"value_grid": "full"}, id="full-grids"),
        pytest.param({"parts": ["qk"]}, id="query-key-alone"),
        pytest.param({"target_modules": ["attn2"]}, id="some-layers"),
        pytest.param({"latent_height": 4, "latent_width": 12, "value_grid": "full"}, id="another-size"),
    ],
)
def test_peft_reads_what_the_pipelines_door_wrote(plain, embedding_folder, settings):
    folder = embedding_folder(plain, **settings)
    other = copy.deepcopy(plain)
    load_motion_embedding(other, folder)
    assert torch.equal(run(PeftModel.from_pretrained(plain, folder)), run(other))


def test_both_doors_write_the_same_keys_and_numbers(trained, plain, tmp_path):
    trained.save_pretrained(tmp_path / "peft")
    load_motion_embedding(plain, tmp_path / "peft")
    save_motion_embedding(plain, tmp_path / "pipeline")
    one, two = (load_file(tmp_path / door / "adapter_model.safetensors") for door in ("peft", "pipeline"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert {key.rsplit(".", 1)[1] for key in one} == {"motion_embedding_qk", "motion_embedding_v"}
    assert all(key.startswith("base_model.model.") for key in one)


# Several adapters


@pytest.fixture
def two(trained):
    """Adapters "default" and "second", of different layers, frames and grids."""
    second = MotionEmbeddingConfig(num_frames=6, value_grid=(1, 1), target_modules=["attn1"])
    trained.add_adapter("second", second)
    return randomise(trained, "second")


def test_adding_an_adapter_does_not_activate_it(trained):
    before = run(trained)
    trained.add_adapter("second", make_config())
    assert torch.equal(run(randomise(trained, "second")), before)


def test_one_adapter_is_active_at_a_time(two, plain, tmp_path):
    two.save_pretrained(tmp_path)
    for name, folder in {"default": tmp_path, "second": tmp_path / "second"}.items():
        two.set_adapter(name)
        alone = copy.deepcopy(plain)
        load_motion_embedding(alone, folder)
        assert torch.equal(run(two), run(alone))


def test_a_deleted_adapter_is_gone(two):
    before = run(two)
    two.delete_adapter("second")
    assert not embedding_parameters(two, "second")
    assert torch.equal(run(two), before)
    with pytest.raises(ValueError, match="second"):
        two.set_adapter("second")


def test_the_other_adapter_takes_over_when_the_active_one_is_deleted(two):
    two.set_adapter("second")
    expected = run(two)
    two.set_adapter("default")
    with pytest.warns(UserWarning, match="Setting active adapter to second"):
        two.delete_adapter("default")
    assert torch.equal(run(two), expected)
    assert not embedding_parameters(two)


# Taking off


@pytest.mark.parametrize("merge", ["merge_and_unload", "merge_adapter", "unmerge_adapter"])
def test_merging_is_refused_and_changes_nothing(trained, merge):
    before, output = snapshot(trained), run(trained)
    with pytest.raises(ValueError, match="A motion embedding cannot be merged"):
        getattr(trained, merge)()
    assert_unchanged(trained, before)
    assert torch.equal(run(trained), output)


def test_unloading_leaves_the_plain_model(two, plain):
    restored = two.unload()
    assert vars(restored).keys() == vars(plain).keys()
    assert torch.equal(run(restored), run(plain))
    assert [name for name, _ in restored.named_modules()] == [name for name, _ in plain.named_modules()]
    assert restored.state_dict().keys() == plain.state_dict().keys()
    assert hook_count(restored) == hook_count(plain) == 0


@pytest.mark.filterwarnings("error:Already found a `peft_config` attribute")
def test_an_unloaded_model_can_be_adapted_again(trained, plain):
    again = get_peft_model(trained.unload(), make_config())
    assert torch.equal(run(again), run(plain))
    assert len(embedding_parameters(again)) == 2 * len(adapted_layers(again))


def test_injecting_is_refused_and_changes_nothing(model):
    before = snapshot(model)
    with pytest.raises(ValueError, match=r"does not support .*MOTION_EMBEDDING.* use `get_peft_model`"):
        peft.inject_adapter_in_model(make_config(), model)
    assert_unchanged(model, before)


# Which layers, and how large

DOWN = [f"down_blocks.{block}.temp_attentions.0.transformer_blocks.0" for block in (0, 1)]
UP = [f"up_blocks.{block}.temp_attentions.{place}.transformer_blocks.0" for block in (0, 1) for place in (0, 1)]
MID = ["mid_block.temp_attentions.0.transformer_blocks.0"]
IN = ["transformer_in.transformer_blocks.0"]


def both(blocks):
    return sorted(f"{block}.{attention}" for block in blocks for attention in ("attn1", "attn2"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, both(DOWN + UP), id="default-is-down-and-up-blocks"),
        pytest.param({"target_modules": r"down_blocks\..*attn2"}, [f"{b}.attn2" for b in DOWN], id="pattern"),
        pytest.param(
            {"target_modules": ["0.attn1"]}, sorted(f"{b}.attn1" for b in DOWN + MID + UP + IN), id="path-endings"
        ),
        pytest.param({"target_modules": [f"{MID[0]}.attn1"]}, [f"{MID[0]}.attn1"], id="whole-path"),
        pytest.param({"target_modules": r"transformer_in\..*"}, both(IN), id="transformer-in-on-request"),
        pytest.param(
            {"target_modules": ["attn1", "attn2"], "exclude_modules": r"(up|down).*"}, both(IN + MID), id="exclusion"
        ),
        pytest.param({"exclude_modules": ["attn2"]}, [f"{b}.attn1" for b in DOWN + UP], id="exclusion-alone"),
    ],
)
def test_the_layers_asked_for_are_adapted(model, settings, expected):
    assert adapted_layers(get_peft_model(model, make_config(**settings))) == expected


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"target_modules": "attn1"}, id="pattern-for-whole-paths"),
        pytest.param({"target_modules": ["to_q"]}, id="endings"),
        pytest.param({"target_modules": []}, id="nothing"),
        pytest.param({"target_modules": ["attn1"], "exclude_modules": ["attn1"]}, id="all-excluded"),
        # attention within one frame, where a motion embedding has nothing to say
        pytest.param({"target_modules": r"down_blocks\.0\.attentions\..*attn1"}, id="layers-that-mix-no-frames"),
    ],
)
def test_no_layer_at_all_is_an_error_that_names_them(model, settings):
    before = snapshot(model)
    with pytest.raises(
        TargetModulesError,
        match=rf"target_modules=.* matches none of the 16 layers of UNet3DConditionModel .*{IN[0]}\.attn1, .*{MID[0]}",
    ):
        get_peft_model(model, make_config(**settings))
    assert_unchanged(model, before)


def value_grids(peft_model):
    return {
        name.split(".motion_embedding.")[0]: tuple(parameter.shape[:2])
        for name, parameter in embedding_parameters(peft_model).items()
        if ".motion_embedding_v." in name
    }


# The first level sees latents as they are; one convolution of stride 2 follows it.
@pytest.mark.parametrize(
    ("size", "first_level", "second_level"),
    [
        pytest.param({}, (8, 8), (4, 4), id="sample-size-of-the-model"),
        pytest.param({"latent_height": 4, "latent_width": 12}, (4, 12), (2, 6), id="another-aspect-ratio"),
    ],
)
def test_without_a_grid_every_layer_has_its_own(model, size, first_level, second_level):
    targets = ["attn1", "attn2"]
    grids = value_grids(get_peft_model(model, make_config(value_grid="full", target_modules=targets, **size)))
    expected = dict.fromkeys(both([DOWN[0], *UP[2:], *IN]), first_level)
    expected |= dict.fromkeys(both([DOWN[1], *MID, *UP[:2]]), second_level)
    assert grids == expected


@pytest.mark.parametrize(
    ("grid", "first_level", "second_level"),
    [
        pytest.param((1, 1), (1, 1), (1, 1), id="one-vector-per-frame"),
        pytest.param((2, 3), (2, 3), (2, 3), id="coarse"),
        pytest.param((5, 3), (5, 3), (4, 3), id="cut-to-the-layer"),
    ],
)
def test_a_grid_is_that_of_all_layers_that_are_large_enough(model, grid, first_level, second_level):
    grids = value_grids(get_peft_model(model, make_config(value_grid=grid)))
    assert grids[f"{DOWN[0]}.attn1"] == first_level
    assert grids[f"{UP[0]}.attn2"] == second_level


def test_parts_have_frames_and_channels_of_the_layer(model):
    parameters = embedding_parameters(get_peft_model(model, make_config(num_frames=5)))
    for level, channels in enumerate((8, 16)):
        stem = f"{DOWN[level]}.attn1.motion_embedding.motion_embedding"
        assert parameters[f"{stem}_qk.default"].shape == (5, channels)
        assert parameters[f"{stem}_v.default"].shape == (2, 2, 5, channels)


@pytest.mark.parametrize("part", ["qk", "v"])
def test_a_part_that_is_not_wanted_has_no_parameters(model, part):
    names = embedding_parameters(get_peft_model(model, make_config(parts=[part])))
    assert names
    assert all(f".motion_embedding_{part}." in name for name in names)


# Registration


def test_registering_again_changes_nothing(model, plain):
    members = list(PeftType)
    register_motion_embedding()
    register_motion_embedding()
    assert list(PeftType) == members
    assert members.count("MOTION_EMBEDDING") == 1
    assert PeftType("MOTION_EMBEDDING") is PeftType.MOTION_EMBEDDING
    assert torch.equal(run(get_peft_model(model, make_config())), run(plain))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(torch.nn.Linear(2, 2), id="linear"),
        pytest.param(
            UNet2DConditionModel(
                block_out_channels=(8,),
                down_block_types=("CrossAttnDownBlock2D",),
                up_block_types=("CrossAttnUpBlock2D",),
                layers_per_block=1,
                cross_attention_dim=8,
                attention_head_dim=4,
                norm_num_groups=4,
            ),
            id="image-model",
        ),
    ],
)
def test_models_of_other_classes_are_refused(model):
    before = snapshot(model)
    with pytest.raises(
        UnsupportedModelError,
        match=rf"{type(model).__name__} takes no motion embeddings. Supported are: UNet3DConditionModel, ",
    ):
        get_peft_model(model, make_config())
    assert_unchanged(model, before)


def test_the_two_doors_do_not_open_on_one_model(model, make_embedding, tmp_path):
    folder = write_embedding(tmp_path / "embedding", make_embedding(model))
    peft_model = get_peft_model(model, make_config())
    with pytest.raises(AdapterNameError, match="through a PeftModel already"):
        load_motion_embedding(model, folder)
    assert get_list_motion_embeddings(model) == {}
    for call in (
        lambda: set_motion_scale(model, 0.5),
        lambda: disable_motion_embedding_layers(model),
        lambda: delete_motion_embedding(model, "default"),
        lambda: unload_motion_embedding(model),
    ):
        with pytest.raises(AdapterNameError, match=r"were loaded through PEFT.*such as set_adapter"):
            call()
    peft_model.unload()
    load_motion_embedding(model, folder)
    with pytest.raises(AdapterNameError, match="through load_motion_embedding already"):
        get_peft_model(model, make_config())
    assert get_list_motion_embeddings(model) == {"unet": ["default_0"]}


def test_an_embedding_of_another_class_is_refused(model):
    before = snapshot(model)
    with pytest.raises(IncompatibleEmbeddingError, match="belongs to a UNetMotionModel, and the model is a UNet3D"):
        get_peft_model(model, make_config(model_class="UNetMotionModel"))
    assert_unchanged(model, before)


def test_parameters_are_made_where_the_model_is(model):
    peft_model = get_peft_model(model.to("meta"), make_config(), low_cpu_mem_usage=True)
    assert all(parameter.is_meta for parameter in peft_model.parameters())


def test_a_list_with_a_name_that_matches_nothing_is_refused(model):
    with pytest.raises(TargetModulesError, match="attn3"):
        get_peft_model(model, make_config(target_modules=["attn1", "attn3"]))


def test_large_models_adapt_their_widest_layers():
    # ZeroScope's widths, by the table entry alone: down_blocks.2 and up_blocks.1 have 1280 channels.
    paths = [f"{block}.temp_attentions.0.transformer_blocks.0.attn1" for block in ("down_blocks.1", "up_blocks.1")]
    paths.append("mid_block.temp_attentions.0.transformer_blocks.0.attn1")
    architecture = find_architecture(make_unet3d())
    assert architecture.default_targets(paths, [640, 1280, 1280]) == [paths[1]]
    assert architecture.default_targets(paths, [8, 16, 16]) == paths[:2]
