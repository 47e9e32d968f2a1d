"""Files that were damaged or made to do harm: an error or a sound embedding, never a crash, and never a changed model.

The ordinary run draws a seeded few; `make test-all` draws thousands.
"""

import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diffusers_motion_embed import MotionEmbeddingError, load_motion_embedding, unload_motion_embedding
from diffusers_motion_embed.storage.files import CONFIG_NAME, HEADER_KEY, MAX_NUMBERS, WEIGHTS_NAME, parse_embedding
from tests.conftest import make_unet3d
from tests.helpers import assert_unchanged, make_config, snapshot


HARMFUL = ["", "../../etc/passwd", "__import__('os')", "NaN", "\x00", "a" * 5000, "(a+)+$", "💥"]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(HARMFUL),
    st.lists(st.integers(-5, 2**40), max_size=5),
    st.dictionaries(st.sampled_from(["a", "dtype", "shape"]), st.integers(), max_size=2),
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return make_unet3d()


@pytest.fixture
def original(model, embedding_folder):
    folder = embedding_folder(model)
    return {name: (folder / name).read_bytes() for name in (WEIGHTS_NAME, CONFIG_NAME)}


def taken_apart(content):
    """Header, as a dictionary, and numbers of a safetensors file."""
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def put_together(header, numbers, length=None):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + numbers


@st.composite
def changes(draw):
    """A function from the files of a sound embedding to damaged ones."""
    kind = draw(
        st.sampled_from(["cut", "bytes", "length", "entry", "offsets", "rename", "metadata", "settings", "json"])
    )
    place, value = draw(st.floats(0, 1)), draw(JUNK)
    flips = draw(st.lists(st.tuples(st.floats(0, 0.9999), st.integers(1, 255)), min_size=1, max_size=8))
    field = draw(st.sampled_from(sorted({*make_config().to_dict(), "surprise"})))
    name = draw(
        st.sampled_from([*HARMFUL, "base_model.model.x.motion_embedding_qk", "base_model.model..motion_embedding_v"])
    )

    def change(files):
        content = files[WEIGHTS_NAME]
        header, numbers = taken_apart(content)
        entries = [key for key in header if key != "__metadata__"]
        entry = entries[int(place * (len(entries) - 1))]
        if kind == "cut":
            return {**files, WEIGHTS_NAME: content[: int(place * len(content))]}
        if kind == "bytes":
            damaged = bytearray(content)
            for position, flip in flips:
                damaged[int(position * len(damaged))] ^= flip
            return {**files, WEIGHTS_NAME: bytes(damaged)}
        if kind == "length":
            return {**files, WEIGHTS_NAME: put_together(header, numbers, int(place * 2**64) % 2**64)}
        if kind == "json":
            deep = "[" * 100_000 if place < 0.5 else json.dumps(value)
            del header["__metadata__"]
            return {WEIGHTS_NAME: put_together(header, numbers), CONFIG_NAME: deep.encode()}
        if kind == "entry":
            header[entry][("dtype", "shape", "data_offsets")[int(place * 2.99)]] = value
        elif kind == "offsets":
            header[entry]["data_offsets"] = [int(place * len(numbers)), int(place * len(numbers) * 1.5)]
        elif kind == "rename":
            header[name] = header.pop(entry)
        elif kind == "metadata":
            header["__metadata__"] = {HEADER_KEY: str(value)}
        else:
            config = {**json.loads(header["__metadata__"][HEADER_KEY]), field: value}
            header["__metadata__"][HEADER_KEY] = json.dumps(config)
        return {**files, WEIGHTS_NAME: put_together(header, numbers)}

    return change


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(change=changes())
def test_a_damaged_file_is_refused_or_sound(model, original, tmp_path, change):
    folder = tmp_path / "fuzzed"
    folder.mkdir(exist_ok=True)
    for name, content in change(original).items():
        (folder / name).write_bytes(content)
    before, outside = snapshot(model), sorted(path.name for path in tmp_path.iterdir())
    try:
        load_motion_embedding(model, folder)
    except MotionEmbeddingError:
        pass
    else:
        unload_motion_embedding(model)
    assert_unchanged(model, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == outside
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG_NAME, WEIGHTS_NAME]


def test_codes_of_more_numbers_than_are_accepted_are_refused_before_they_are_expanded():
    state_dict = {
        "base_model.model.attn1.motion_embedding_v_codes": torch.zeros(
            1, 1, 4, MAX_NUMBERS // 32 + 1, dtype=torch.uint8
        ),
        "base_model.model.attn1.motion_embedding_v_levels": torch.zeros(2),
    }
    config = make_config(parts=["v"], value_grid=(1, 1))
    with pytest.raises(MotionEmbeddingError, match=f"at most {MAX_NUMBERS}"):
        parse_embedding(state_dict, config, "test")


def test_a_pickle_under_the_name_of_a_safetensors_file_is_not_executed(model, tmp_path):
    class Harmful:
        def __reduce__(self):
            return Path.touch, (tmp_path / "harm",)

    torch.save(Harmful(), tmp_path / WEIGHTS_NAME)
    with pytest.raises(MotionEmbeddingError, match="not a complete safetensors file"):
        load_motion_embedding(model, tmp_path)
    assert not (tmp_path / "harm").exists()
