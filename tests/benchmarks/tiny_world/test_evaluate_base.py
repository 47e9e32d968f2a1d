"""The figures of a plain base."""

import json

import pytest

from benchmarks.tiny_world import evaluate_base
from benchmarks.tiny_world.evaluate_base import camera_figures, main, training_extents
from benchmarks.tiny_world.measures import CameraExtent
from benchmarks.tiny_world.pipelines import GENERATION


def test_every_figure_is_told_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(GENERATION, "num_inference_steps", 2)
    monkeypatch.setattr(evaluate_base, "TRAINING_CLIPS", 20)
    main(["--num_clips", "2", "--output", str(tmp_path / "base.json")])
    written = json.loads((tmp_path / "base.json").read_text())
    told = capsys.readouterr().out
    for name in ("one object", "two objects"):
        assert f"| {name} |" in told
        assert f"| {name}, training |" in told
        assert 0 <= written[name]["right"] <= min(written[name][kind] for kind in ("color", "shape", "pattern"))
        assert written[name]["training_camera"]["clips"] > 0
    assert written["num_clips"] == 2


def test_cameras_of_training_clips():
    figures = camera_figures(training_extents(1, 16, 100))
    assert 0.4 < figures["move"] < 0.7  # 0.45 of 0.8 have a camera that moves, mostly far
    assert figures["clips"] > 60


def test_clips_of_unknown_cameras_do_not_count():
    figures = camera_figures([CameraExtent(0.3, 0.0, 0.0), None, CameraExtent(0.1, 0.0, 2.0)])
    assert figures == {"clips": 2, "move": 0.5, "pan": pytest.approx(0.2), "zoom": 0.0, "roll": 1.0}
    assert camera_figures([None]) == {"clips": 0}
