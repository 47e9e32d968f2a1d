"""The Space is a folder that runs by itself."""

import sys

import pytest
import yaml
from packaging.requirements import Requirement

from examples.app.space import requirements, write_space
from tests.examples.app.conftest import NEEDS
from tests.examples.app.serving import served


def test_its_requirements_are_those_of_the_page():
    found = {Requirement(line).name: Requirement(line) for line in requirements("app")}
    assert {"torch", "diffusers", "gradio", "matplotlib", "av", "opencv-python-headless"} < found.keys()
    assert found["imageio"].extras == {"ffmpeg"}
    assert "pytest" not in found
    assert all(each.specifier for each in found.values())


@pytest.mark.slow
def test_it_serves_the_page_without_the_repository(tmp_path, free_tcp_port):
    gradio = pytest.importorskip("gradio", reason=NEEDS)
    space, home = tmp_path / "space", str(tmp_path)
    write_space(space)
    told = yaml.safe_load((space / "README.md").read_text().split("---")[1])
    assert (told["sdk"], told["sdk_version"]) == ("gradio", gradio.__version__)
    assert (space / "requirements.txt").read_text().splitlines() == requirements("app")
    alone = {"GRADIO_SERVER_PORT": str(free_tcp_port), "PYTHONPATH": "", "TMPDIR": home, "HOME": home}
    with served([sys.executable, told["app_file"]], free_tcp_port, tmp_path / "log", space, **alone):
        assert not list((space / "examples").glob("tiny-wan*"))
