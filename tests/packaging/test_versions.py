"""The bridges to older versions compute what the newest versions do, and the ranges are those of `requirements/`."""

import tomllib
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.version import Version
from peft import get_peft_model

from diffusers_motion_embed import _compat
from tests.conftest import make_unet3d
from tests.helpers import make_config


ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TRAINING = [each for each in PROJECT["optional-dependencies"]["training"] if ">=" in each]  # not our other extras
OURS = [*PROJECT["dependencies"], *TRAINING]
RANGES = {found.name.lower().replace("_", "-"): found.specifier for found in map(Requirement, OURS)}
ADDRESSES = [
    "hf://you/motion",
    "hf://you/motion@v2",
    "hf://models/you/motion@refs/pr/3/folder/file.safetensors",
    "hf://datasets/you/clips/train.csv",
    "https://huggingface.co/you/motion",
    "https://huggingface.co/you/motion/tree/main/folder",
    "https://huggingface.co/you/motion/blob/v2/adapter_model.safetensors?download=true",
    "https://hf.co/spaces/you/page",
    "hf.co/you/motion/resolve/main/renamed.safetensors",
    "https://huggingface.co/you",
    "https://example.com/you/motion",
    "hf://",
]


def pins(name):
    lines = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {each.name.lower().replace("_", "-"): str(each.specifier).removeprefix("==") for each in found}


@pytest.mark.parametrize("name", ["oldest", "middle", "newest"])
def test_the_tested_versions_are_in_the_ranges(name):
    pinned = pins(name)
    assert {each for each, allowed in RANGES.items() if pinned[each] not in allowed} == set()


@pytest.mark.parametrize("name", RANGES)
def test_every_lower_bound_is_the_oldest_tested_version(name):
    (bound,) = [Version(each.version) for each in RANGES[name] if each.operator == ">="]
    assert Version(pins("oldest")[name]) == bound


@pytest.mark.skipif(_compat.parse_hf_uri is _compat.parse_address, reason="huggingface_hub before 1.20")
@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_are_read_as_huggingface_hub_reads_them(address):
    def read(parse, error):
        try:
            found = parse(address)
        except error:
            return None
        return found.type, found.id, found.revision, found.path_in_repo

    expected = read(_compat.parse_hf_uri, _compat.HfUriError)
    assert read(_compat.parse_address, _compat.AddressError) == expected


@pytest.mark.parametrize(("installed", "name"), [("0.39.0", "torch_dtype"), ("0.40.0", "dtype")])
def test_the_name_of_a_dtype(monkeypatch, installed, name):
    monkeypatch.setattr(_compat, "version", lambda package: installed)
    assert _compat.dtype_argument(torch.float16) == {name: torch.float16}


def test_pefts_own_calls_need_a_peft_that_asks_for_keys(monkeypatch):
    monkeypatch.setattr(_compat, "version", lambda package: "0.20.0")
    model = make_unet3d()
    names = [name for name, _ in model.named_modules()]
    with pytest.raises(ImportError, match=r"need PEFT 0\.21 or newer"):
        get_peft_model(model, make_config())
    assert [name for name, _ in model.named_modules()] == names
