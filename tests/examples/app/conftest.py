"""The page of a pipeline with random weights: 4 frames of 16 x 16 pixels, in no time. Nothing here needs Gradio."""

import pytest

from examples.app.arguments import parse_arguments
from examples.app.visitors import Visitors, new_key
from examples.app.workshop import Workshop
from tests.conftest import make_text_to_video
from tests.hub.conftest import hub, hub_client  # noqa: F401


NEEDS = 'the page is tested with what `pip install ".[dev]"` brings'
SIZE = (4, 16, 16)
SETTINGS = ("--num_frames", "4", "--height", "16", "--width", "16", "--num_inference_steps", "2", "--fps", "4")


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """The base of the page."""
    folder = tmp_path_factory.mktemp("base")
    make_text_to_video().save_pretrained(folder)
    return Workshop(parse_arguments(None, ["--pretrained_model_name_or_path", str(folder), *SETTINGS]))


@pytest.fixture
def visitors(tmp_path):
    """The folders of visitors."""
    return Visitors(tmp_path / "library", keep_seconds=3600, max_bytes=1e9)


@pytest.fixture
def key():
    """A visitor's key."""
    return new_key()
