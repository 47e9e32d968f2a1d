"""The curve of fidelity against training steps."""

import json

import pytest

from benchmarks.tiny_world.plot_steps import draw, read_curve


def write(folder, *modes):
    figures = {"measures": {"cosine": {"mean": [0.5, 0.4, 0.6]}}}
    file = folder / "result.json"
    file.write_text(json.dumps({"summary": dict.fromkeys(modes, figures)}))
    return file


def test_a_curve_is_of_objects_by_step(tmp_path):
    modes = (
        "object, without",
        "object, difference, step 100",
        "object, difference, step 50",
        "camera, difference, step 9",
    )
    curve = read_curve(write(tmp_path, *modes))
    assert list(curve.items()) == [(50, (0.5, 0.4, 0.6)), (100, (0.5, 0.4, 0.6))]
    (line,) = draw({"default": curve}).axes[0].lines
    assert line.get_xdata().tolist() == [50, 100]
    assert line.get_ydata().tolist() == [0.5, 0.5]


def test_a_file_without_steps_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no figures by step"):
        read_curve(write(tmp_path, "object, without", "object, difference, scale 2"))
