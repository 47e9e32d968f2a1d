"""The wheel and the source distribution: what is in them, and what they say of themselves."""

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import diffusers_motion_embed


ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "diffusers_motion_embed"
FILES = {
    str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with both."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    """Contents of the wheel by name."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_package_alone(wheel):
    names = {name for name in wheel if ".dist-info/" not in name}
    assert names == FILES
    assert "diffusers_motion_embed/py.typed" in names
    assert all(wheel[name] == (ROOT / name).read_bytes() for name in names)


def test_the_wheel_describes_itself(wheel):
    info = f"diffusers_motion_embed-{diffusers_motion_embed.__version__}.dist-info"
    assert wheel[f"{info}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    metadata = message_from_bytes(wheel[f"{info}/METADATA"])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"training", "metrics"} <= set(metadata.get_all("Provides-Extra"))
    assert metadata.get_payload(decode=True).decode() == (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_sources_are_what_the_wheel_is_built_from(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    made = {"PKG-INFO", "setup.cfg"} | {name for name in names if ".egg-info/" in name}
    assert names - made == FILES | {"LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"}
