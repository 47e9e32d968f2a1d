"""The life of motion embeddings on real pipelines, against pipelines without them and a calculation by hand."""

import copy
import json
import warnings

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file

import diffusers_motion_embed as dme
from diffusers_motion_embed.adapter.registry import embedding_tensors, registry_of
from diffusers_motion_embed.functional import DEBIAS_MODES
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import CONFIG_NAME, WEIGHTS_NAME, to_state_dict, write_embedding
from tests.conftest import make_text_components, make_text_to_video, make_unet3d, make_vae
from tests.helpers import NUM_FRAMES, assert_unchanged, generate, hook_count, make_config, module_names, snapshot


def test_loading_changes_the_clip_and_unloading_restores_it(pipe, embedding_folder):
    plain = generate(pipe)
    names, hooks = module_names(pipe.unet), hook_count(pipe.unet)
    report = pipe.load_motion_embedding(embedding_folder(pipe.unet))
    moved = generate(pipe)
    assert not torch.allclose(moved, plain, atol=1e-3)
    assert report.num_layers == len(registry_of(pipe.unet).layers) > 0
    assert (report.adapter_name, report.component, report.num_frames) == ("default_0", "unet", NUM_FRAMES)
    pipe.unload_motion_embedding()
    assert torch.equal(generate(pipe), plain)
    assert (module_names(pipe.unet), hook_count(pipe.unet)) == (names, hooks)


def test_a_saved_embedding_gives_the_same_clip(pipe, embedding_folder, tmp_path):
    """Also in clips of another length, and with everything that was set."""
    default = pipe.load_motion_embedding(embedding_folder(pipe.unet), "default")
    pipe.load_motion_embedding(embedding_folder(pipe.unet), "motion", debias="centered")
    pipe.set_motion_timing(0.0, 0.7)
    pipe.set_motion_frame_policy("loop")
    before = [generate(pipe, num_frames=num_frames) for num_frames in (NUM_FRAMES, NUM_FRAMES + 3)]
    saved = pipe.save_motion_embedding(tmp_path / "saved", "motion")
    pipe.unload_motion_embedding()
    report = pipe.load_motion_embedding(saved)
    assert (report.debias, default.debias) == ("centered", "difference")
    for clip in before:
        assert torch.equal(generate(pipe, num_frames=clip.shape[1]), clip)


def test_a_file_holds_the_frame_policy_if_it_is_not_the_first_readers(text_to_video, embedding_folder, tmp_path):
    folder = embedding_folder(text_to_video.unet)
    assert "frame_policy" not in json.loads((folder / CONFIG_NAME).read_text())
    text_to_video.load_motion_embedding(folder)
    text_to_video.set_motion_frame_policy("hold")
    settings = json.loads((text_to_video.save_motion_embedding(tmp_path / "saved") / CONFIG_NAME).read_text())
    assert (settings["frame_policy"], settings["format_version"]) == ("hold", 1)


def test_tensors_without_a_config_are_warned_of(text_to_video, embedding_dict):
    tensors = embedding_dict(text_to_video.unet)
    with pytest.warns(UserWarning, match=rf"without config=.*num_frames={NUM_FRAMES}.*debias='difference'") as caught:
        text_to_video.load_motion_embedding(tensors)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("debias", ["identity", "centered"])
def test_the_error_of_the_compact_form_is_that_of_what_is_heard(text_to_video, embedding_dict, tmp_path, debias):
    """Where a strong mean of all frames hides the rest, a bound on one says little of the other."""
    state_dict = {
        key: tensor + 20.0 if key.endswith("_v") else tensor
        for key, tensor in embedding_dict(text_to_video.unet).items()
    }
    text_to_video.load_motion_embedding(state_dict, debias="identity")
    text_to_video.set_motion_debias(debias)
    folder = text_to_video.save_motion_embedding(tmp_path / "compact", max_error=0.1)
    compact = load_file(folder / WEIGHTS_NAME)
    bits = {len(levels).bit_length() - 1 for key, levels in compact.items() if key.endswith("_v_levels")}
    assert max(bits) == 1 if debias == "identity" else min(bits, default=9) > 3


def test_the_given_settings_stay_the_callers(text_to_video, embedding_dict):
    config = make_config()
    before = vars(copy.deepcopy(config))
    text_to_video.load_motion_embedding(embedding_dict(text_to_video.unet), config=config, debias="identity")
    text_to_video.set_motion_timing(0.0, 0.5)
    assert vars(config) == before


def test_the_compact_form_acts_as_its_levels_wherever_the_whole_form_does(pipe, embedding_dict, tmp_path):
    first, second = (embedding_dict(pipe.unet, seed=seed) for seed in (1, 2))
    pipe.load_motion_embedding(first, "whole")
    folder = pipe.save_motion_embedding(tmp_path / "compact", max_error=0.6)
    compact = load_file(folder / WEIGHTS_NAME)
    assert 8 * sum(tensor.nbytes for tensor in compact.values()) < sum(tensor.nbytes for tensor in first.values())
    by_hand = {}
    for key in [key for key in compact if key.endswith("_codes")]:
        stem = key.removesuffix("_codes")
        levels = compact[f"{stem}_levels"].numpy()
        bits = np.unpackbits(compact[key].numpy(), axis=-1, bitorder="little")
        bits = bits.reshape(*bits.shape[:-1], -1, len(levels).bit_length() - 1)
        by_hand[stem] = torch.from_numpy(levels[bits @ 2 ** np.arange(bits.shape[-1])])
    assert by_hand.keys() == first.keys()

    def clips(source):
        """Alone, beside another one, and swapped in for another one."""
        pipe.unload_motion_embedding()
        pipe.load_motion_embedding(source, "motion")
        found = [generate(pipe)]
        pipe.load_motion_embedding(second, "second")
        pipe.set_motion_embeddings(["motion", "second"], [0.5, 0.25])
        found.append(generate(pipe))
        pipe.load_motion_embedding(source, "second", hotswap=True)
        return [*found, generate(pipe)]

    whole = clips(first)
    for by_folder, by_dictionary, as_levels, uncompressed in zip(
        clips(folder), clips(compact), clips(by_hand), whole, strict=True
    ):
        assert torch.equal(by_folder, by_dictionary)
        assert torch.equal(by_folder, as_levels)
        assert (by_folder - uncompressed).abs().max() > 1e-4


def test_folder_file_subfolder_and_dictionary_are_the_same(pipe, embedding_folder):
    folder = embedding_folder(pipe.unet)
    sources = [
        (folder, {}),
        (folder / WEIGHTS_NAME, {}),
        (str(folder.parent), {"subfolder": folder.name}),
        (load_file(folder / WEIGHTS_NAME), {"debias": "difference"}),
    ]
    clips = []
    for source, arguments in sources:
        pipe.load_motion_embedding(source, **arguments)
        clips.append(generate(pipe))
        pipe.unload_motion_embedding()
    assert all(torch.equal(clip, clips[0]) for clip in clips)


def test_the_users_folder_may_be_written_as_a_tilde(text_to_video, embedding_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    text_to_video.load_motion_embedding(embedding_folder(text_to_video.unet, "motion"))
    text_to_video.load_motion_embedding("~/motion")
    assert text_to_video.save_motion_embedding("~/saved", "default_1") == tmp_path / "saved"
    assert (tmp_path / "saved" / WEIGHTS_NAME).is_file()
    with pytest.raises(dme.EmbeddingNotFoundError, match="no folder ~no-such-person"):
        text_to_video.load_motion_embedding("~no-such-person/motion")


def test_scale_zero_and_disabling_are_exact(pipe, embedding_folder):
    plain = generate(pipe)
    pipe.load_motion_embedding(embedding_folder(pipe.unet))
    moved = generate(pipe)
    pipe.set_motion_scale(0.0)
    assert torch.equal(generate(pipe), plain)
    pipe.set_motion_scale(1.0)
    assert torch.equal(generate(pipe), moved)
    pipe.disable_motion_embedding_layers()
    assert torch.equal(generate(pipe), plain)
    pipe.enable_motion_embedding_layers()
    assert torch.equal(generate(pipe), moved)


def scaled_by_hand(state_dict, factors):
    """The embedding with its numbers multiplied, which must act as the scale does."""
    return {key: tensor * factors[key.rpartition("_")[2]] for key, tensor in state_dict.items()}


@pytest.mark.parametrize(
    ("scale", "factors"),
    [(0.5, {"qk": 0.5, "v": 0.5}), (-2, {"qk": -2, "v": -2}), ({"v": 0.25}, {"qk": 1, "v": 0.25})],
)
def test_a_scale_multiplies_the_embedding(pipe, embedding_dict, scale, factors):
    state_dict = embedding_dict(pipe.unet)
    pipe.load_motion_embedding(state_dict)
    pipe.set_motion_scale(scale)
    by_scale = generate(pipe)
    pipe.unload_motion_embedding()
    pipe.load_motion_embedding(scaled_by_hand(state_dict, factors))
    torch.testing.assert_close(generate(pipe), by_scale, atol=1e-5, rtol=0)


def test_two_embeddings_add_up(pipe, embedding_dict):
    first, second = (embedding_dict(pipe.unet, seed=seed) for seed in (1, 2))
    pipe.load_motion_embedding(first, "first")
    pipe.load_motion_embedding(second, "second")
    pipe.set_motion_embeddings(["second", "first"], [0.5, 0.25])
    assert pipe.get_active_motion_embeddings() == ["first", "second"]
    mixed = generate(pipe)
    pipe.unload_motion_embedding()
    pipe.load_motion_embedding({key: 0.25 * first[key] + 0.5 * second[key] for key in first})
    torch.testing.assert_close(generate(pipe), mixed, atol=1e-5, rtol=0)


def test_a_second_load_is_alone_active_as_with_loras(pipe, embedding_dict):
    first, second = (embedding_dict(pipe.unet, seed=seed) for seed in (1, 2))
    pipe.load_motion_embedding(second)
    alone = generate(pipe)
    pipe.unload_motion_embedding()
    pipe.load_motion_embedding(first, "first")
    pipe.load_motion_embedding(second, "second")
    assert pipe.get_list_motion_embeddings() == {"unet": ["first", "second"]}
    assert pipe.get_active_motion_embeddings() == ["second"]
    assert torch.equal(generate(pipe), alone)


def test_deleting_the_active_one_activates_another(text_to_video, embedding_dict):
    pipe = text_to_video
    for name in ("first", "second"):
        pipe.load_motion_embedding(embedding_dict(pipe.unet), name)
    pipe.delete_motion_embedding(["second", "unknown"])
    assert pipe.get_active_motion_embeddings() == ["first"]
    pipe.delete_motion_embedding("first")
    assert pipe.get_list_motion_embeddings() == {}
    pipe.unload_motion_embedding()


def test_deleting_an_inactive_one_activates_nothing(text_to_video, embedding_dict):
    pipe = text_to_video
    pipe.load_motion_embedding(embedding_dict(pipe.unet), "first")
    pipe.set_motion_embeddings([])
    pipe.delete_motion_embedding("unknown")
    assert pipe.get_active_motion_embeddings() == []


def test_what_is_loaded_after_disabling_is_seen(text_to_video, embedding_folder):
    pipe = text_to_video
    folder = embedding_folder(pipe.unet)
    pipe.load_motion_embedding(folder)
    moved = generate(pipe)
    pipe.disable_motion_embedding_layers()
    pipe.load_motion_embedding(folder, "again")
    assert torch.equal(generate(pipe), moved)


def test_a_dictionary_stays_its_owners(text_to_video, embedding_dict):
    pipe = text_to_video
    state_dict = embedding_dict(pipe.unet)
    pipe.load_motion_embedding(state_dict)
    moved = generate(pipe)
    for tensor in state_dict.values():
        tensor.zero_()
    assert torch.equal(generate(pipe), moved)


def test_the_folder_of_a_component_is_not_the_name_of_a_checkpoint(embedding_folder, make_embedding, tmp_path):
    make_text_to_video().save_pretrained(tmp_path / "base")
    pipe = DiffusionPipeline.from_pretrained(tmp_path / "base")
    embedding = make_embedding(pipe.unet, base_model_name_or_path="someone/base")
    folder = write_embedding(tmp_path / "embedding", embedding)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        dme.load_motion_embedding(pipe, folder, "on the pipeline")
        dme.load_motion_embedding(pipe.unet, folder, "on the model")


@pytest.mark.parametrize("debias", DEBIAS_MODES)
def test_debiasing_at_load_and_later_are_the_same(pipe, embedding_folder, debias):
    folder = embedding_folder(pipe.unet)
    report = pipe.load_motion_embedding(folder, debias=debias)
    assert report.debias == debias
    at_load = generate(pipe)
    pipe.unload_motion_embedding()
    pipe.load_motion_embedding(folder)
    pipe.set_motion_debias(debias)
    assert torch.equal(generate(pipe), at_load)


def test_debiasing_is_the_formula(pipe, embedding_dict):
    state_dict = embedding_dict(pipe.unet)
    pipe.load_motion_embedding(state_dict, debias="difference")
    debiased = generate(pipe)
    pipe.unload_motion_embedding()
    by_hand = {
        key: torch.diff(tensor, dim=2, prepend=torch.zeros_like(tensor[:, :, :1])) if key.endswith("_v") else tensor
        for key, tensor in state_dict.items()
    }
    pipe.load_motion_embedding(by_hand, debias="identity")
    torch.testing.assert_close(generate(pipe), debiased, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("num_frames", "size"), [(4, 16), (6, 16), (2, 16), (1, 16), (4, 24)])
def test_other_lengths_and_sizes_are_resampled(pipe, embedding_folder, num_frames, size):
    plain = generate(pipe, num_frames=num_frames, size=size)
    pipe.load_motion_embedding(embedding_folder(pipe.unet))
    moved = generate(pipe, num_frames=num_frames, size=size)
    assert moved.shape == plain.shape
    assert torch.isfinite(moved).all()
    assert not torch.equal(moved, plain)


def test_a_longer_clip_gets_what_the_policy_says(text_to_video, embedding_dict, caplog):
    """Against an embedding of six frames written out by hand."""
    pipe = text_to_video
    four = embedding_dict(pipe.unet)

    def differences(tensor):
        return torch.diff(tensor, dim=2, prepend=torch.zeros_like(tensor[:, :, :1]))

    for policy, numbers in {"loop": [0, 1, 2, 3, 0, 1], "hold": [0, 1, 2, 3, 3, 3]}.items():
        pipe.load_motion_embedding(four, "four")
        pipe.set_motion_frame_policy(policy)
        with caplog.at_level("INFO", "diffusers_motion_embed"):
            fitted = generate(pipe, num_frames=6)
        assert f"Motion embedding 'four' of 4 frames: {policy} to 6 frames" in caplog.messages
        pipe.unload_motion_embedding()
        offsets = {key: differences(tensor) if key.endswith("_v") else tensor for key, tensor in four.items()}
        six = {key: tensor[..., numbers, :] for key, tensor in offsets.items()}
        pipe.load_motion_embedding(six, debias="identity")
        torch.testing.assert_close(generate(pipe, num_frames=6), fitted, atol=1e-5, rtol=0)
        pipe.unload_motion_embedding()


def test_clips_of_another_length_can_be_refused(text_to_video, embedding_dict, caplog):
    text_to_video.load_motion_embedding(embedding_dict(text_to_video.unet))
    text_to_video.set_motion_frame_policy("error")
    with caplog.at_level("INFO", "diffusers_motion_embed"):
        generate(text_to_video)
    assert not [message for message in caplog.messages if "frames:" in message]
    with pytest.raises(
        ValueError, match="The clip has 6 frames where the model mixes them, and the motion embedding 4"
    ):
        generate(text_to_video, num_frames=6)
    with pytest.raises(ValueError, match="must be one of resample, loop, hold, error; got 'cut'"):
        text_to_video.set_motion_frame_policy("cut")


def test_every_prompt_of_a_batch_gets_the_motion(text_to_video, embedding_folder):
    pipe = text_to_video
    pipe.load_motion_embedding(embedding_folder(pipe.unet))
    prompts = ["a red circle", "a blue cross"]
    together = generate(pipe, prompt=prompts, generator=[torch.Generator().manual_seed(i) for i in range(2)])
    for number, prompt in enumerate(prompts):
        alone = generate(pipe, prompt=prompt, generator=[torch.Generator().manual_seed(number)])
        torch.testing.assert_close(together[number], alone[0], atol=1e-4, rtol=0)


def test_plain_functions_work_on_a_pipeline_and_on_a_bare_model(embedding_folder):
    pipe = make_text_to_video()
    folder = embedding_folder(pipe.unet)
    dme.load_motion_embedding(pipe, folder, "motion")
    on_pipeline = generate(pipe)
    dme.unload_motion_embedding(pipe.unet)
    dme.load_motion_embedding(pipe.unet, folder, "motion")
    assert torch.equal(generate(pipe), on_pipeline)


def test_a_copy_of_the_pipeline_is_independent(pipe, embedding_folder):
    plain = generate(pipe)
    pipe.load_motion_embedding(embedding_folder(pipe.unet))
    moved = generate(pipe)
    twin = copy.deepcopy(pipe)
    pipe.unload_motion_embedding()
    assert torch.equal(generate(twin), moved)
    assert torch.equal(generate(pipe), plain)


def test_half_precision_models_keep_float32_embeddings(text_to_video, embedding_dict):
    pipe = text_to_video
    state_dict = embedding_dict(pipe.unet)
    pipe.load_motion_embedding(state_dict)
    pipe.to(torch.bfloat16)
    generate(pipe)
    loaded = to_state_dict(
        Embedding(
            registry_of(pipe.unet).loaded["default_0"].config,
            {path: {"qk": parts["qk"]} for path, parts in embedding_tensors(pipe.unet, "default_0").items()},
        )
    )
    assert all(torch.equal(tensor, state_dict[key]) for key, tensor in loaded.items())


def test_another_checkpoint_of_the_class_is_a_warning(text_to_video, embedding_folder, make_embedding, tmp_path):
    pipe = text_to_video
    embedding = make_embedding(pipe.unet, base_model_name_or_path="someone/zeroscope")
    folder = write_embedding(tmp_path / "other", embedding)
    pipe.unet.register_to_config(_name_or_path="someone/modelscope")
    with pytest.warns(UserWarning, match="trained on someone/zeroscope, and this is someone/modelscope"):
        pipe.load_motion_embedding(folder)


# Bad input: a clear error of a fitting type, and the pipeline computes bit for bit what it did before.


def other_class(pipe, make_embedding):
    config, tensors = make_embedding(pipe.unet)
    return Embedding(config.changed(model_class="UNetMotionModel"), tensors)


def other_layers(pipe, make_embedding):
    deeper = make_unet3d(
        block_out_channels=(8, 16, 16),
        down_block_types=("CrossAttnDownBlock3D",) * 3,
        up_block_types=("CrossAttnUpBlock3D",) * 3,
    )
    return make_embedding(deeper)


def other_width(pipe, make_embedding):
    return make_embedding(make_unet3d(block_out_channels=(12, 16)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(other_class, "belongs to a UNetMotionModel, and the pipeline's model is a UNet3D", id="class"),
        pytest.param(
            other_layers, r"layers that this UNet3DConditionModel lacks, for instance \w+_blocks", id="layers"
        ),
        pytest.param(other_width, r"of down_blocks\.0\S+ is 12 channels wide, and the model has 8", id="width"),
    ],
)
def test_an_embedding_that_does_not_fit_changes_nothing(text_to_video, make_embedding, tmp_path, make, message):
    pipe = text_to_video
    pipe.load_motion_embedding(write_embedding(tmp_path / "good", make_embedding(pipe.unet)), "good")
    before, clip = snapshot(pipe.unet), generate(pipe)
    folder = write_embedding(tmp_path / "bad", make(pipe, make_embedding))
    with pytest.raises(dme.IncompatibleEmbeddingError, match=message):
        pipe.load_motion_embedding(folder)
    assert_unchanged(pipe.unet, before)
    assert torch.equal(generate(pipe), clip)
    assert pipe.get_active_motion_embeddings() == ["good"]


def write_lora(folder):
    folder.mkdir()
    save_file({"unet.mid_block.attentions.0.to_q.lora_A.weight": torch.zeros(1, 4)}, folder / WEIGHTS_NAME)


def write_nan(folder):
    state_dict = load_file(folder.parent / "good" / WEIGHTS_NAME)
    state_dict[next(iter(state_dict))].view(-1)[0] = float("nan")
    folder.mkdir()
    save_file(state_dict, folder / WEIGHTS_NAME, metadata=None)
    config = (folder.parent / "good/adapter_config.json").read_bytes()
    (folder / "adapter_config.json").write_bytes(config)


def write_truncated(folder):
    folder.mkdir()
    content = (folder.parent / "good" / WEIGHTS_NAME).read_bytes()
    (folder / WEIGHTS_NAME).write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("write", "error", "message"),
    [
        pytest.param(write_lora, dme.EmbeddingFileError, "but a LoRA .load it with load_lora_weights", id="lora"),
        pytest.param(write_nan, dme.EmbeddingFileError, "NaN or infinite numbers", id="nan"),
        pytest.param(write_truncated, dme.EmbeddingFileError, "not a complete safetensors file", id="truncated"),
        pytest.param(lambda folder: None, dme.EmbeddingNotFoundError, "no file bad in", id="missing"),
    ],
)
def test_a_bad_file_changes_nothing(text_to_video, make_embedding, tmp_path, write, error, message):
    pipe = text_to_video
    pipe.load_motion_embedding(write_embedding(tmp_path / "good", make_embedding(pipe.unet)), "good")
    before, clip = snapshot(pipe.unet), generate(pipe)
    write(tmp_path / "bad")
    with pytest.raises(error, match=message):
        pipe.load_motion_embedding(tmp_path / "bad")
    assert_unchanged(pipe.unet, before)
    assert torch.equal(generate(pipe), clip)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding(source, "good"),
            dme.AdapterNameError,
            "'good' is loaded already",
            id="repeated-name",
        ),
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding(source, ""),
            dme.AdapterNameError,
            "not empty",
            id="no-name",
        ),
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding(source, debias="median"),
            ValueError,
            "debias must be one of identity, .*got 'median'",
            id="unknown-debias-at-load",
        ),
        pytest.param(
            lambda pipe, source: pipe.set_motion_debias("median"), ValueError, "got 'median'", id="unknown-debias"
        ),
        pytest.param(
            lambda pipe, source: pipe.set_motion_embeddings(["good", "other"]),
            dme.AdapterNameError,
            r"No motion embedding named 'other'; loaded: \['good'\]",
            id="unknown-name",
        ),
        pytest.param(
            lambda pipe, source: pipe.set_motion_embeddings(["good", "good"]),
            dme.AdapterNameError,
            "named once",
            id="name-twice",
        ),
        pytest.param(
            lambda pipe, source: pipe.set_motion_embeddings(["good"], [1.0, 2.0]),
            dme.MotionScaleError,
            "2 scales for 1",
            id="scales-without-names",
        ),
        pytest.param(
            lambda pipe, source: pipe.set_motion_scale(1.0, "other"),
            dme.AdapterNameError,
            "'other'",
            id="scale-unknown",
        ),
        pytest.param(
            lambda pipe, source: pipe.set_motion_scale(float("nan")),
            dme.MotionScaleError,
            "finite.*nan",
            id="nan-scale",
        ),
        pytest.param(
            lambda pipe, source: pipe.set_motion_embeddings(["good"], float("inf")),
            dme.MotionScaleError,
            "finite.*inf",
            id="infinite-scale",
        ),
        pytest.param(
            lambda pipe, source: pipe.set_motion_scale(1e39), dme.MotionScaleError, r"finite.*1e\+39", id="overflow"
        ),
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding(source, config=make_config()),
            ValueError,
            "a file was given, which has its own settings. Leave config out",
            id="config-with-folder",
        ),
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding(load_file(source / WEIGHTS_NAME), revision="main"),
            ValueError,
            "A dictionary of tensors was given, so there is no file to find with revision",
            id="place-with-dictionary",
        ),
        *(
            pytest.param(
                lambda pipe, source, given=given: pipe.load_motion_embedding(given(source), torch_dtype=torch.float16),
                TypeError,
                "Unknown arguments torch_dtype; .* stay float32 and are added in the model's dtype",
                id=f"dtype-with-{kind}",
            )
            for kind, given in {"folder": str, "dictionary": lambda source: load_file(source / WEIGHTS_NAME)}.items()
        ),
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding(source, component="transformer_2"),
            dme.UnsupportedModelError,
            "component='transformer_2': TextToVideoSDPipeline has unet that take motion embeddings",
            id="missing-component",
        ),
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding("https://huggingface.co/you"),
            dme.EmbeddingNotFoundError,
            "not the address of a repository on the Hub .*Give its id, user/name",
            id="address-of-a-person",
        ),
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding("https://example.com/you/motion"),
            dme.EmbeddingNotFoundError,
            "not the address of a repository on the Hub",
            id="address-elsewhere",
        ),
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding("https://huggingface.co/datasets/you/motion"),
            dme.EmbeddingNotFoundError,
            "is a dataset",
            id="address-of-a-data-set",
        ),
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding("hf.co/you/motion/tree/v2", revision="v3"),
            ValueError,
            "another revision than the argument",
            id="address-against-argument",
        ),
        pytest.param(
            lambda pipe, source: pipe.set_motion_scale({"k": 1.0}), dme.MotionScaleError, r"\['k'\]", id="unknown-part"
        ),
        pytest.param(
            lambda pipe, source: pipe.set_motion_scale("strong"), dme.MotionScaleError, "'strong'", id="no-number"
        ),
        pytest.param(
            lambda pipe, source: pipe.save_motion_embedding("/nonexistent", "other"),
            dme.AdapterNameError,
            "'other'",
            id="save-unknown",
        ),
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding({"x": torch.zeros(1)}),
            dme.EmbeddingFileError,
            "given dictionary is not a motion embedding",
            id="foreign-dictionary",
        ),
        pytest.param(
            lambda pipe, source: pipe.load_motion_embedding({}), dme.EmbeddingFileError, "no tensors", id="empty"
        ),
        *(
            pytest.param(call, ValueError, "path must not be an empty text", id=f"empty-path-to-{name}")
            for name, call in {
                "load": lambda pipe, source: pipe.load_motion_embedding(""),
                "save": lambda pipe, source: pipe.save_motion_embedding(""),
                "read": lambda pipe, source: dme.read_video(""),
                "noise": lambda pipe, source: dme.save_inverted_noise("", torch.zeros(1, 4, 2, 2, 2)),
            }.items()
        ),
    ],
)
def test_a_call_that_raises_changes_nothing(text_to_video, embedding_folder, call, error, message):
    pipe = text_to_video
    source = embedding_folder(pipe.unet)
    pipe.load_motion_embedding(source, "good")
    before, clip = snapshot(pipe.unet), generate(pipe)
    with pytest.raises(error, match=message):
        call(pipe, source)
    assert_unchanged(pipe.unet, before)
    assert torch.equal(generate(pipe), clip)
    assert pipe.get_active_motion_embeddings() == ["good"]


@pytest.mark.parametrize(
    "call", [dme.set_motion_scale, dme.set_motion_debias], ids=["set_motion_scale", "set_motion_debias"]
)
def test_setting_without_an_embedding_says_so(text_to_video, call):
    with pytest.raises(dme.AdapterNameError, match="No motion embedding is loaded"):
        call(text_to_video, {dme.set_motion_scale: 1.0, dme.set_motion_debias: "identity"}[call])


def image_pipeline():
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 8),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    return StableDiffusionPipeline(
        vae=make_vae(),
        unet=unet,
        scheduler=make_text_to_video().scheduler,
        safety_checker=None,
        feature_extractor=None,
        **make_text_components(),
    )


def test_pipelines_and_models_without_frames_are_refused(embedding_folder, tmp_path):
    image = image_pipeline()
    with pytest.raises(dme.UnsupportedModelError, match="StableDiffusionPipeline has no model that takes motion"):
        dme.load_motion_embedding(image, tmp_path)
    with pytest.raises(dme.UnsupportedModelError, match=r"UNet2DConditionModel takes.*UNet3D.*UNetMotionModel"):
        dme.load_motion_embedding(image.unet, tmp_path)
    with pytest.raises(dme.UnsupportedModelError, match="StableDiffusionPipeline has no model"):
        dme.enable_motion_embedding(image)
    with pytest.raises(dme.UnsupportedModelError, match="str has no model"):
        dme.load_motion_embedding("zeroscope", tmp_path)
