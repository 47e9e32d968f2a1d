"""The command that measures video files."""

import sys

import numpy as np
import pytest
from PIL import Image

from examples import measure_clips
from tests.metrics.videos import ellipse, moving_square, pan


@pytest.fixture
def folder(tmp_path):
    """Writes a video as a folder of pictures."""

    def write(name, video):
        (tmp_path / name).mkdir()
        for number, frame in enumerate(video):
            Image.fromarray(frame).save(tmp_path / name / f"{number:02}.png")
        return str(tmp_path / name)

    return write


def figures(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["measure_clips", *arguments, "--num_frames", "12"])
    measure_clips.main()
    *lines, _, seconds = capsys.readouterr().out.splitlines()
    assert seconds.startswith("Measured in")
    lines = [line.rsplit(maxsplit=1) for line in lines]
    return {name.strip(): float(value) for name, value in lines}


def test_figures_of_known_clips(folder, capsys, monkeypatch):
    reference, plain = folder("reference", moving_square(ellipse())), folder("plain", pan(3, 0, look=7))
    generated = folder("generated", moving_square(ellipse(), look=5))
    found = figures(capsys, monkeypatch, "--generated", generated, "--reference", reference, "--plain", plain)
    assert found["motion fidelity (lk)"] > 0.85
    assert found["motion fidelity (lk) of the plain clip"] < 0.6
    assert abs(found["leakage (color_histogram)"]) < 0.1


def test_the_reference_itself(folder, capsys, monkeypatch):
    video = folder("video", (moving_square(ellipse()) * [1, 0.5, 0.2]).astype(np.uint8))
    found = figures(capsys, monkeypatch, "--generated", video, "--reference", video)
    assert found == {"motion fidelity (lk)": 1.0}
