"""Embedding folders: what is written comes back, and whatever else is found is refused with a reason."""

import contextlib
import json
import os
import pickle
import random
import shutil

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from diffusers_motion_embed import EmbeddingFileError, EmbeddingNotFoundError
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import (
    CONFIG_NAME,
    HEADER_KEY,
    WEIGHTS_NAME,
    parse_embedding,
    read_embedding,
    write_embedding,
)
from diffusers_motion_embed.storage.settings import config_to_dict
from tests.helpers import make_config


HEIGHT, WIDTH, FRAMES, CHANNELS = 2, 2, 4, 6
PATHS = ["down_blocks.0.attn1", "up_blocks.1.attn2"]
STEM = f"base_model.model.{PATHS[0]}.motion_embedding_"


def make_tensors():
    return {
        path: {"qk": torch.randn(FRAMES, CHANNELS), "v": torch.randn(HEIGHT, WIDTH, FRAMES, CHANNELS)}
        for path in PATHS
    }


@pytest.fixture
def tensors():
    return make_tensors()


@pytest.fixture
def folder(tmp_path, tensors):
    return write_embedding(tmp_path / "embedding", Embedding(make_config(), tensors))


def assert_equal(read, expected):
    assert read.keys() == expected.keys()
    for path, parts in expected.items():
        assert read[path].keys() == parts.keys()
        assert all(torch.equal(read[path][part], tensor) for part, tensor in parts.items())


def header_of(folder):
    with safe_open(folder / WEIGHTS_NAME, framework="pt") as file:
        return file.metadata()


def rewrite(folder, changes=None, header=None):
    """Write the weights anew: tensors replaced, added or, where None, left out; another text as settings."""
    state_dict = {**load_file(folder / WEIGHTS_NAME), **(changes or {})}
    state_dict = {key: tensor for key, tensor in state_dict.items() if tensor is not None}
    metadata = header_of(folder) if header is None else {HEADER_KEY: header}
    save_file(state_dict, folder / WEIGHTS_NAME, metadata=metadata)


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


def names_beside(folder):
    return names_in(folder.parent)


# What is written comes back


def test_round_trip_is_bit_exact(folder, tensors):
    config, read = read_embedding(folder)
    assert_equal(read, tensors)
    assert config_to_dict(config) == config_to_dict(make_config())


@pytest.mark.parametrize("as_text", [False, True], ids=["path", "text"])
def test_a_single_file_is_read_like_its_folder(folder, tensors, as_text):
    file = folder / WEIGHTS_NAME
    assert_equal(read_embedding(str(file) if as_text else file)[1], tensors)


def test_a_single_file_needs_no_folder_around_it(folder, tensors, tmp_path):
    alone = tmp_path / "elsewhere.safetensors"
    alone.write_bytes((folder / WEIGHTS_NAME).read_bytes())
    assert_equal(read_embedding(alone)[1], tensors)


def test_the_current_folder_is_read_by_its_short_name(folder, tensors):
    with contextlib.chdir(folder):
        assert_equal(read_embedding(".")[1], tensors)


def test_the_file_in_the_folder_can_have_another_name(folder, tensors):
    os.rename(folder / WEIGHTS_NAME, folder / "other.safetensors")
    assert_equal(read_embedding(folder, "other.safetensors")[1], tensors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_halves_the_numbers_and_is_read_as_float32(tmp_path, tensors, dtype):
    folder = write_embedding(tmp_path / "half", Embedding(make_config(), tensors), dtype=dtype)
    assert {tensor.dtype for tensor in load_file(folder / WEIGHTS_NAME).values()} == {dtype}
    rounded = {path: {part: t.to(dtype).float() for part, t in parts.items()} for path, parts in tensors.items()}
    assert_equal(read_embedding(folder)[1], rounded)


@pytest.mark.parametrize("debias", ["identity", "difference"])
def test_the_compact_form_is_small_and_within_the_bound(tmp_path, debias):
    tensors = {"attn1": {"qk": torch.randn(FRAMES, 64), "v": torch.randn(HEIGHT, WIDTH, FRAMES, 64)}}
    folder = write_embedding(tmp_path / "compact", Embedding(make_config(debias=debias), tensors), max_error=0.25)
    stored = load_file(folder / WEIGHTS_NAME)
    stem = "base_model.model.attn1.motion_embedding_"
    assert stored[f"{stem}qk_codes"].shape == (FRAMES, 64 * 3 // 8)
    assert stored[f"{stem}v_codes"].shape == (HEIGHT, WIDTH, FRAMES, 64 * 3 // 8)
    assert stored[f"{stem}v_levels"].shape == (2**3,)
    assert len(stored) == 4
    parts = read_embedding(folder)[1]["attn1"]
    for part, stored_part in parts.items():
        error, value = stored_part - tensors["attn1"][part], tensors["attn1"][part]
        if part == "v" and debias == "difference":
            error, value = (torch.cat([x[:, :, :1], x.diff(dim=2)], dim=2) for x in (error, value))
        assert 0 < error.norm() / value.norm() <= 0.25


def test_a_part_for_which_codes_cannot_keep_the_bound_is_stored_whole(tmp_path, tensors):
    folder = write_embedding(tmp_path / "compact", Embedding(make_config(), tensors), max_error=1e-6)
    assert_equal(read_embedding(folder)[1], tensors)
    assert f"{STEM}v" in load_file(folder / WEIGHTS_NAME)


@pytest.mark.parametrize(
    ("tensor", "value", "message"),
    [
        pytest.param("v_levels", None, "do not belong together", id="no-levels"),
        pytest.param("v_codes", None, "do not belong together", id="no-codes"),
        pytest.param("v", torch.zeros(2, 2, 4, 64), "do not belong together", id="also-whole"),
        pytest.param("v_levels", torch.zeros(2**7), "do not belong together", id="bits-that-cut-rows"),
        pytest.param("v_levels", torch.zeros(3), "3 levels; expected a power of two", id="no-power-of-two"),
        pytest.param("v_levels", torch.zeros(2**9), "512 levels; expected a power of two", id="too-many-levels"),
        pytest.param("v_levels", torch.zeros(1), "1 levels; expected a power of two", id="too-few-levels"),
        pytest.param("v_levels", torch.zeros(8, 1), "expected 1 axes", id="levels-of-two-axes"),
        pytest.param("v_levels", torch.full((8,), torch.inf), "NaN or infinite numbers", id="infinite-levels"),
        pytest.param("v_levels", torch.zeros(8, dtype=torch.uint8), "dtype U8; expected", id="levels-of-bytes"),
        pytest.param("v_codes", torch.zeros(2, 2, 4, 24), "dtype F32; expected one of U8", id="codes-of-floats"),
        pytest.param("v_codes", torch.zeros(2, 2, 4, 3, dtype=torch.uint8), "different width", id="width"),
        pytest.param("v_codes", torch.zeros(2, 2, 3, 24, dtype=torch.uint8), "has 3 frames", id="frames"),
        pytest.param("v_codes", torch.zeros(3, 2, 4, 24, dtype=torch.uint8), r"grid of \(3, 2\)", id="grid"),
    ],
)
def test_a_compact_form_that_cannot_be_is_refused(tmp_path, tensor, value, message):
    tensors = {path: {"qk": torch.randn(4, 64), "v": torch.randn(2, 2, 4, 64)} for path in PATHS}
    folder = write_embedding(tmp_path / "compact", Embedding(make_config(), tensors), max_error=0.25)
    rewrite(folder, {f"{STEM}{tensor}": value})
    with pytest.raises(EmbeddingFileError, match=message):
        read_embedding(folder)


@pytest.mark.parametrize("max_error", [-0.1, 1.0, float("nan")])
def test_a_bound_that_is_no_share_is_refused(tmp_path, tensors, max_error):
    with pytest.raises(ValueError, match="max_error must be a share"):
        write_embedding(tmp_path / "compact", Embedding(make_config(), tensors), max_error=max_error)
    assert not (tmp_path / "compact").exists()


@pytest.mark.parametrize("part", ["qk", "v"])
def test_an_embedding_of_one_part_is_kept(tmp_path, tensors, part):
    tensors = {path: {part: parts[part]} for path, parts in tensors.items()}
    folder = write_embedding(tmp_path / "one-part", Embedding(make_config(parts=[part]), tensors))
    assert_equal(read_embedding(folder)[1], tensors)


def test_keys_and_settings_are_as_documented(folder):
    stored = load_file(folder / WEIGHTS_NAME)
    assert set(stored) == {
        f"base_model.model.{path}.motion_embedding_{part}" for path in PATHS for part in ("qk", "v")
    }
    settings = json.loads((folder / CONFIG_NAME).read_text())
    assert json.loads(header_of(folder)[HEADER_KEY]) == settings
    assert settings["peft_type"] == "MOTION_EMBEDDING"
    assert settings["format_version"] == 1
    assert settings["num_frames"] == FRAMES


def position_config(**settings):
    return make_config(**{"parts": ["p"], "target_modules": ["rope"], **settings})


def test_a_position_part_alone_is_small_and_of_the_third_version(tmp_path):
    tensors = {"rope": {"p": torch.randn(1, 1, FRAMES, 3)}}
    folder = write_embedding(tmp_path / "path", Embedding(position_config(), tensors), max_error=0.2)
    state_dict = load_file(folder / WEIGHTS_NAME)
    assert list(state_dict) == ["base_model.model.rope.motion_embedding_p"]  # in full, also in a compact file
    assert sum(tensor.nbytes for tensor in state_dict.values()) == 4 * FRAMES * 3
    assert (folder / WEIGHTS_NAME).stat().st_size < 2000
    assert json.loads(header_of(folder)[HEADER_KEY])["format_version"] == 3
    embedding = read_embedding(folder)
    assert_equal(embedding.tensors, tensors)
    assert embedding.num_layers == 0


def test_a_path_of_the_second_version_does_not_move_in_time(tmp_path):
    path = torch.randn(1, 1, FRAMES, 2)
    state_dict = {"base_model.model.rope.motion_embedding_p": path}
    settings = json.dumps({**config_to_dict(position_config()), "format_version": 2})
    save_file(state_dict, tmp_path / WEIGHTS_NAME, metadata={HEADER_KEY: settings})
    embedding = read_embedding(tmp_path)
    assert_equal(embedding.tensors, {"rope": {"p": torch.cat([path, torch.zeros(1, 1, FRAMES, 1)], -1)}})
    assert embedding.config.format_version == 3  # which it has when it is written again


@pytest.mark.parametrize("num_levels", [2, 16])
def test_a_position_part_has_no_compact_form(num_levels):
    stem = "base_model.model.rope.motion_embedding_p"
    codes = torch.zeros(1, 1, FRAMES, 3, dtype=torch.uint8)
    with pytest.raises(EmbeddingFileError, match="p_codes is a compact form, and position parts have none"):
        parse_embedding({f"{stem}_codes": codes, f"{stem}_levels": torch.randn(num_levels)}, position_config(), "here")


def test_files_without_a_position_part_stay_of_the_first_version(folder):
    settings = json.loads(header_of(folder)[HEADER_KEY])
    assert settings["format_version"] == 1
    assert "position_grid" not in settings


@pytest.mark.parametrize(
    ("tensors", "settings", "message"),
    [
        ({"rope": {"p": torch.zeros(1, 1, FRAMES, 4)}}, {}, "has 4 numbers a place; expected rows, columns and time"),
        (
            {"rope": {"p": torch.zeros(2, 1, FRAMES, 2)}},
            {},
            r"grid of \(2, 1\), and the config's position_grid is \(1, 1\)",
        ),
        ({"rope": {"p": torch.zeros(FRAMES, 2)}}, {}, "expected 4 axes"),
        ({"rope": {"p": torch.zeros(1, 1, 3, 2)}}, {}, "has 3 frames, and the config says 4"),
        ({"rope": {"qk": torch.zeros(FRAMES, 2)}}, {}, r"rope has the parts \['qk'\], and the config says \('p',\)"),
        ({path: {"p": torch.zeros(1, 1, FRAMES, 2)} for path in ("rope", "other")}, {}, r"has 2 position parts"),
        (
            {"rope": {"p": torch.zeros(1, 1, FRAMES, 2)}},
            {"parts": ["p", "v"]},
            r"has the parts \['p'\], and the config",
        ),
    ],
)
def test_position_parts_that_cannot_be_are_refused(tmp_path, tensors, settings, message):
    folder = write_embedding(tmp_path / "path", Embedding(position_config(**settings), tensors))
    with pytest.raises(EmbeddingFileError, match=message):
        read_embedding(folder)


def test_the_header_wins_over_the_json(folder):
    settings = json.loads((folder / CONFIG_NAME).read_text())
    (folder / CONFIG_NAME).write_text(json.dumps({**settings, "debias": "identity"}))
    assert read_embedding(folder)[0].debias == "difference"


def test_the_json_serves_where_the_header_is_empty(folder, tensors):
    save_file(load_file(folder / WEIGHTS_NAME), folder / WEIGHTS_NAME)
    settings = json.loads((folder / CONFIG_NAME).read_text())
    (folder / CONFIG_NAME).write_text(json.dumps({**settings, "debias": "identity"}))
    config, read = read_embedding(folder)
    assert config.debias == "identity"
    assert_equal(read, tensors)


def test_settings_of_other_tools_are_kept(folder, tensors, tmp_path):
    settings = {**json.loads(header_of(folder)[HEADER_KEY]), "a_setting_of_another_tool": {"deep": [1]}}
    rewrite(folder, header=json.dumps(settings))
    config, read = read_embedding(folder)
    assert_equal(read, tensors)
    again = write_embedding(tmp_path / "again", Embedding(config, read))
    assert json.loads(header_of(again)[HEADER_KEY]) == settings


# What is not there


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(EmbeddingNotFoundError, match=r"no folder .*nowhere"):
        read_embedding(tmp_path / "nowhere" / "embedding")


def test_a_missing_name_is_told_with_what_is_there(folder):
    with pytest.raises(EmbeddingNotFoundError, match=r"no file embeding in"):
        read_embedding(folder.with_name("embeding"))


@pytest.mark.parametrize("weight_name", [None, "other.safetensors"])
def test_a_missing_file_is_told_with_what_is_there(folder, weight_name):
    (folder / WEIGHTS_NAME).unlink()
    with pytest.raises(
        EmbeddingNotFoundError, match=rf"no file {weight_name or WEIGHTS_NAME} in .*; it holds {CONFIG_NAME}\."
    ):
        read_embedding(folder, weight_name)


def test_embeddings_in_subfolders_are_told(folder):
    for name in ("walk", "run"):
        shutil.copytree(folder, folder.parent / "two" / name)
    with pytest.raises(EmbeddingNotFoundError, match=r"Its subfolders run, walk have one: give subfolder='run'"):
        read_embedding(folder.parent / "two")


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(EmbeddingNotFoundError, match="it holds no files"):
        read_embedding(tmp_path)


# What is damaged or of another kind


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:-1], id="one-byte-short"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut-in-half"),
        pytest.param(lambda content: content[:20], id="cut-in-the-header"),
        pytest.param(lambda content: content[:4], id="cut-in-the-length"),
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: random.Random(0).randbytes(1000), id="random-bytes"),
        pytest.param(lambda content: bytes(1000), id="zero-bytes"),
        pytest.param(lambda content: pickle.dumps({"weight": [0.0] * 100}), id="pickle"),
        pytest.param(lambda content: b"<!DOCTYPE html><html>Not found</html>", id="web-page"),
        pytest.param(lambda content: b"version https://git-lfs.github.com/spec/v1\noid", id="lfs-pointer"),
    ],
)
def test_damaged_files_are_refused(folder, damage):
    file = folder / WEIGHTS_NAME
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(EmbeddingFileError, match=rf"{WEIGHTS_NAME} is not a complete safetensors file"):
        read_embedding(folder)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        pytest.param("base_model.model.attn1.to_q.lora_A.weight", r"but a LoRA \(load it with load_lora", id="lora"),
        pytest.param("down_blocks.0.motion_modules.0.weight", "but an AnimateDiff motion module", id="motion-module"),
        pytest.param("down_blocks.0.attn1.vSpatial", "but a checkpoint of the method's authors", id="authors"),
        pytest.param("conv_in.weight", "not a motion embedding: its header has no", id="something-else"),
    ],
)
@pytest.mark.parametrize("with_config", [False, True], ids=["alone", "beside-a-config"])
def test_files_of_other_kinds_are_recognised(tmp_path, key, kind, with_config):
    save_file({key: torch.zeros(2, 2)}, tmp_path / WEIGHTS_NAME)
    if with_config:
        (tmp_path / CONFIG_NAME).write_text('{"peft_type": "LORA"}')
    with pytest.raises(EmbeddingFileError, match=kind):
        read_embedding(tmp_path)


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("part", "tensor", "message"),
    [
        pytest.param("qk", torch.full((4, 6), NAN), "NaN or infinite numbers", id="nan"),
        pytest.param("v", torch.full((2, 2, 4, 6), INFINITY), "NaN or infinite numbers", id="infinity"),
        pytest.param("qk", torch.full((4, 6), -INFINITY).half(), "NaN or infinite numbers", id="half-infinity"),
        pytest.param(
            "qk", torch.full((4, 6), 1e300, dtype=torch.float64), "NaN or infinite numbers", id="beyond-float32"
        ),
        pytest.param("qk", torch.zeros(4, 6, dtype=torch.int64), "qk is of dtype I64; expected", id="integers"),
        pytest.param("v", torch.zeros(2, 2, 4, 6, dtype=torch.bool), "v is of dtype BOOL; expected", id="booleans"),
        pytest.param("qk", torch.zeros(1, 4, 6), r"shape \(1, 4, 6\); expected 2 axes", id="three-axes"),
        pytest.param("v", torch.zeros(4, 4, 6), r"shape \(4, 4, 6\); expected 4 axes", id="flat-grid"),
        pytest.param("qk", torch.zeros(()), r"shape \(\); expected 2 axes", id="no-axes"),
        pytest.param("qk", torch.zeros(4, 0), r"expected 2 axes of at least 1", id="no-channels"),
        pytest.param("qk", torch.zeros(5, 6), "qk has 5 frames, and the config says 4", id="qk-frames"),
        pytest.param("v", torch.zeros(2, 2, 3, 6), "v has 3 frames, and the config says 4", id="value-frames"),
        pytest.param("v", torch.zeros(2, 2, 4, 7), "are of different width", id="widths"),
        pytest.param("v", None, r"has the parts \['qk'\], and the config says", id="missing-part"),
        pytest.param("spatial", torch.zeros(4, 6), r"it has the key '.*motion_embedding_spatial'", id="unknown-part"),
        pytest.param("v_levels", torch.zeros(2), "codes and levels of .* do not belong together", id="lone-levels"),
    ],
)
def test_tensors_that_cannot_be_are_refused(folder, part, tensor, message):
    rewrite(folder, {f"{STEM}{part}": tensor})
    with pytest.raises(EmbeddingFileError, match=message):
        read_embedding(folder)


def test_a_file_without_tensors_is_refused(folder):
    rewrite(folder, dict.fromkeys(load_file(folder / WEIGHTS_NAME)))
    with pytest.raises(EmbeddingFileError, match="holds no tensors"):
        read_embedding(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"format_version": 4}, "format_version is 4, and this package reads 1 to 3", id="newer"),
        pytest.param({"peft_type": "LORA"}, "peft_type is 'LORA', expected 'MOTION_EMBEDDING'", id="other-type"),
        pytest.param({"peft_type": None}, "peft_type is None, expected", id="no-type"),
        pytest.param({"parts": ["qk"]}, r"has the parts \['qk', 'v'\], and the config says \('qk',\)", id="parts"),
        pytest.param({"parts": ["qk", "k"]}, 'parts must be some of "qk", "v" and "p"', id="unknown-part"),
        pytest.param({"parts": [["qk"]]}, "header of", id="nested-parts"),
        pytest.param({"num_latent_frames": 5}, "has 4 frames, and the config says 5", id="frames"),
        pytest.param({"num_frames": "4"}, "num_frames must be a whole number", id="frames-as-text"),
        pytest.param({"value_grid": [0, 2]}, "value_grid must be two whole numbers", id="grid"),
        pytest.param({"debias": "none"}, "debias must be one of", id="debias"),
        pytest.param({"target_modules": "("}, "target_modules must be a list of paths", id="pattern"),
    ],
)
def test_settings_that_cannot_be_are_refused(folder, changes, message):
    rewrite(folder, header=json.dumps({**json.loads(header_of(folder)[HEADER_KEY]), **changes}))
    with pytest.raises(EmbeddingFileError, match=message):
        read_embedding(folder)


BAD_JSON = [
    pytest.param("{num_frames: 4}", "are not JSON", id="no-json"),
    pytest.param("", "are not JSON", id="empty"),
    pytest.param("[" * 100_000, "are not JSON", id="endlessly-nested"),
    pytest.param('{"num_frames": ' + "9" * 5000 + "}", "are not JSON", id="number-too-long"),
    pytest.param("[1, 2]", "peft_type is 'list'", id="a-list"),
    pytest.param("null", "peft_type is 'NoneType'", id="nothing"),
]


@pytest.mark.parametrize(("text", "message"), BAD_JSON)
def test_a_header_that_is_no_json_is_refused(folder, text, message):
    rewrite(folder, header=text)
    with pytest.raises(EmbeddingFileError, match=message):
        read_embedding(folder)


@pytest.mark.parametrize(("text", "message"), BAD_JSON)
def test_a_settings_file_that_is_no_json_is_refused(folder, text, message):
    save_file(load_file(folder / WEIGHTS_NAME), folder / WEIGHTS_NAME)
    (folder / CONFIG_NAME).write_text(text)
    with pytest.raises(EmbeddingFileError, match=message):
        read_embedding(folder)


def test_a_settings_file_that_is_no_text_is_refused(folder):
    save_file(load_file(folder / WEIGHTS_NAME), folder / WEIGHTS_NAME)
    (folder / CONFIG_NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EmbeddingFileError, match=f"{CONFIG_NAME} is not text"):
        read_embedding(folder)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param([[0.0] * CHANNELS] * FRAMES, "must hold floating-point numbers, got list", id="list"),
        pytest.param(torch.zeros(4, 6, dtype=torch.int32), "numbers, got torch.int32", id="integers"),
        pytest.param(torch.zeros(FRAMES, CHANNELS, device="meta"), "dense tensor with .* on meta", id="meta"),
        pytest.param(torch.zeros(FRAMES, CHANNELS).to_sparse(), "got torch.sparse_coo on cpu", id="sparse"),
    ],
)
def test_dictionaries_are_checked_as_files_are(value, message):
    with pytest.raises(EmbeddingFileError, match=f"The dictionary: .*{message}"):
        parse_embedding({f"{STEM}qk": value}, make_config(parts=["qk"]), "The dictionary")


# Writing whole or not at all


def test_a_file_in_the_place_of_the_folder_is_kept(tmp_path, tensors):
    file = tmp_path / "embedding"
    file.write_text("precious")
    with pytest.raises(NotADirectoryError, match="embedding is a file; save_directory must be a folder"):
        write_embedding(file, Embedding(make_config(), tensors))
    assert file.read_text() == "precious"
    assert names_in(tmp_path) == ["embedding"]


def test_saving_again_replaces_the_embedding_and_keeps_other_files(folder):
    (folder / "notes").mkdir()
    (folder / "notes" / "today.txt").write_text("kept")
    new = make_tensors()
    write_embedding(folder, Embedding(make_config(), new))
    assert_equal(read_embedding(folder)[1], new)
    assert (folder / "notes" / "today.txt").read_text() == "kept"
    assert names_in(folder) == sorted([CONFIG_NAME, WEIGHTS_NAME, "notes"])
    assert names_beside(folder) == ["embedding"]


def test_missing_parents_are_made(tmp_path, tensors):
    folder = write_embedding(str(tmp_path / "a" / "b"), Embedding(make_config(), tensors))
    assert_equal(read_embedding(folder)[1], tensors)
    assert names_beside(folder) == ["b"]


def test_a_linked_folder_is_written_through(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    new = make_tensors()
    write_embedding(link, Embedding(make_config(), new))
    assert link.is_symlink()
    assert_equal(read_embedding(folder)[1], new)
    assert names_in(tmp_path) == ["embedding", "link"]


@pytest.mark.parametrize("name", [CONFIG_NAME, WEIGHTS_NAME])
def test_a_folder_in_the_place_of_a_file_is_told_before_anything_is_written(folder, tensors, name):
    other = CONFIG_NAME if name == WEIGHTS_NAME else WEIGHTS_NAME
    before = (folder / other).read_bytes()
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(IsADirectoryError, match=f"{name} is a folder"):
        write_embedding(folder, Embedding(make_config(), make_tensors()))
    assert (folder / other).read_bytes() == before
    assert names_in(folder) == sorted([CONFIG_NAME, WEIGHTS_NAME])


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.float8_e4m3fn, "float16"], ids=str)
def test_dtypes_that_could_not_be_read_back_are_refused(folder, dtype):
    before = (folder / WEIGHTS_NAME).read_bytes()
    with pytest.raises(ValueError, match=r"dtype must be one of torch\.float32"):
        write_embedding(folder, read_embedding(folder), dtype=dtype)
    assert (folder / WEIGHTS_NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("number", "dtype"),
    [
        pytest.param(NAN, torch.float32, id="nan"),
        pytest.param(1e5, torch.float16, id="beyond-half-precision"),
    ],
)
def test_numbers_that_could_not_be_read_back_are_not_written(folder, tensors, number, dtype):
    damaged = make_tensors()
    damaged[PATHS[0]]["qk"][0, 0] = number
    with pytest.raises(ValueError, match="NaN or infinite"):
        write_embedding(folder, Embedding(make_config(), damaged), dtype=dtype)
    assert_equal(read_embedding(folder)[1], tensors)


def test_a_layer_that_the_config_names_must_be_there(tensors, tmp_path):
    folder = write_embedding(
        tmp_path / "embedding", Embedding(make_config(target_modules=[*PATHS, "mid_block.attn1"]), tensors)
    )
    with pytest.raises(EmbeddingFileError, match=r"lacks 1 of its target_modules, for instance mid_block\.attn1"):
        read_embedding(folder)


def test_a_grid_finer_than_the_config_says_is_refused(tensors, tmp_path):
    folder = write_embedding(tmp_path / "embedding", Embedding(make_config(value_grid=(1, 2)), tensors))
    with pytest.raises(EmbeddingFileError, match=r"has a grid of \(2, 2\), and the config's value_grid is \(1, 2\)"):
        read_embedding(folder)


def test_the_current_folder_can_be_written(tensors, tmp_path):
    with contextlib.chdir(tmp_path):
        write_embedding(".", Embedding(make_config(), tensors))
    assert_equal(read_embedding(tmp_path)[1], tensors)


def test_what_is_read_does_not_change_with_the_file(folder, tensors):
    _, read = read_embedding(folder)
    with (folder / WEIGHTS_NAME).open("r+b") as file:
        file.seek(-64, os.SEEK_END)
        file.write(b"\xff" * 64)
    assert_equal(read, tensors)
