"""The Space is a folder that runs by itself."""

import os
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import gradio
import yaml
from packaging.requirements import Requirement

from examples.app.space import ROOT, write_space
from tests.examples.app.test_browser import wait_for


PACKAGE = "diffusers_motion_embed"


def needed(extra):
    """What an extra needs; extras may name each other."""
    found = [Requirement(each) for each in requires(PACKAGE)]
    names = {each for each in found if each.marker is None or each.marker.evaluate({"extra": extra})}
    others = [needed(name) for each in names if each.name == PACKAGE for name in each.extras]
    return {each.name for each in names if each.name != PACKAGE}.union(*others)


def test_its_requirements_are_those_of_the_page():
    lines = (ROOT / "examples/app/requirements.txt").read_text().splitlines()
    assert {Requirement(line).name for line in lines} == needed("app")


def test_it_serves_the_page_without_the_repository(tmp_path, free_tcp_port):
    write_space(tmp_path / "space")
    told = yaml.safe_load((tmp_path / "space/README.md").read_text().split("---")[1])
    assert (told["sdk"], told["sdk_version"]) == ("gradio", gradio.__version__)
    log, home = tmp_path / "log", str(tmp_path)
    changes = {"GRADIO_SERVER_PORT": str(free_tcp_port), "PYTHONPATH": "", "TMPDIR": home, "HOME": home}
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, told["app_file"]],
            cwd=tmp_path / "space",
            env=os.environ | changes,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(f"http://127.0.0.1:{free_tcp_port}", process, log)
    finally:
        process.terminate()
        process.wait()
    assert not list(Path(tmp_path / "space/examples").glob("tiny-wan*"))
