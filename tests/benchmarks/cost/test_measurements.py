"""Every measurement at a toy size: that it runs, and names what it measured. How long things take is not asked."""

import json
import re
import sys
from pathlib import Path

import pytest
from diffusers import DiffusionPipeline

from benchmarks.cost import __main__ as program
from benchmarks.cost.estimating import measure_estimates
from benchmarks.cost.forward import measure_block, measure_forward
from benchmarks.cost.importing import measure_importing
from benchmarks.cost.loading import measure_loading
from benchmarks.cost.memory import measure_memory
from benchmarks.cost.models import SUBJECTS, TOY_SIZES, UNET_3D, WAN, Size
from benchmarks.cost.seeking import measure_seeking
from benchmarks.cost.sizes import TARGETS, measure_sizes
from benchmarks.cost.training import CASES, DEFAULT, RECOMPUTED, measure_steps


TOY = TOY_SIZES[UNET_3D]


def assert_ratios(figures, count):
    assert len(figures) == count
    assert len({figure.name for figure in figures}) == count
    for figure in figures:
        assert figure.unit == "times"
        assert figure.value > 0
        assert figure.quartiles[0] <= figure.value <= figure.quartiles[1]


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.model_class)
def test_forward_and_its_control(subject):
    figures = measure_forward(subject.at(TOY_SIZES[subject]), 2)
    assert_ratios(figures, 2)
    assert all(subject.model_class in figure.name for figure in figures)
    assert [figure.goal for figure in figures] == [1.01, None]


def test_forward_with_positions():
    figures = measure_forward(WAN.at(TOY_SIZES[WAN]), 2, ("p",))
    assert_ratios(figures, 2)
    assert all("parts p" in figure.name for figure in figures)


def test_one_block_at_both_grids():
    assert_ratios(measure_block(Size((16,), 4, 4, 8, head_dim=8, groups=4), 2), 4)


def test_steps_of_every_case():
    figures = measure_steps(2, TOY)
    assert_ratios(figures, len(CASES) + 1)
    assert all(str(case) in figure.name for case, figure in zip(CASES, figures[:-1], strict=True))


def test_every_choice_of_what_is_recomputed_keeps_less_than_nothing_does():
    model = UNET_3D.build()
    paths = [path for path, _ in model.named_modules()]
    found = {
        name: {path for path in paths if pattern and re.fullmatch(pattern, path)}
        for name, pattern in RECOMPUTED.items()
    }
    assert not found.pop("nothing")
    assert all(found.values())
    assert found[DEFAULT] < found["norms, transformer blocks"]
    assert found["norms, transformer blocks"] - found[DEFAULT] == {
        f"up_blocks.3.temp_attentions.{number}.transformer_blocks.0" for number in (1, 2)
    }


def test_loading():
    assert_ratios(measure_loading(UNET_3D.at(TOY), 2), 1)


def test_seeking():
    figures = measure_seeking(2, "320x240", 4)
    assert_ratios(figures, 2)
    assert all(figure.goal == 1.5 for figure in figures)


def test_importing(monkeypatch):
    monkeypatch.setattr("benchmarks.cost.importing.HOSTS", "pass")
    monkeypatch.setattr("benchmarks.cost.importing.PACKAGE", "sum(range(10**7))")
    (figure,) = measure_importing(2)
    assert figure.value > 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's own count")
def test_a_step_that_keeps_what_it_computes_needs_more_memory():
    kept = CASES[2]
    forward, step = measure_memory(Size((32, 64), 8, 16, 16, head_dim=16, groups=8), (kept,))
    assert forward.value > 1e6
    assert step.value > 1.5
    assert str(kept) in step.name


@pytest.mark.slow
def test_estimates_of_the_embedded_wan():
    def make():
        return DiffusionPipeline.from_pretrained(Path(__file__).parents[3] / "examples/tiny-wan")

    figures = measure_estimates({"tiny-wan": make}, (5, 16, 16))  # the fewest frames that its VAE encodes whole
    assert [figure.unit for figure in figures] == ["bytes", "times"] * 3
    assert all(0.5 < figure.value < 2 for figure in figures[1::2])


def test_bytes_of_the_embedded_model(monkeypatch):
    monkeypatch.setattr("benchmarks.cost.sizes.TARGETS", TARGETS[:1])
    sizes = {figure.name.rpartition(", ")[2]: figure.value for figure in measure_sizes()[:3]}
    assert sizes["float32"] == 2 * sizes["float16"]
    # 16 frames and 4 x 4 places of the value part and one of the other, 4 bytes each, of two attentions in each block;
    # 48 channels in one block down and two up, 96 in one down and two up.
    assert sizes["float32"] == 2 * 3 * (48 + 96) * (1 + 4 * 4) * 16 * 4
    assert sizes["compact"] < sizes["float16"]


def test_the_program_runs_what_is_named_and_keeps_what_it_ran_before(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("benchmarks.cost.sizes.TARGETS", TARGETS[:1])
    monkeypatch.setitem(program.MEASUREMENTS, "loading", lambda rounds: measure_loading(UNET_3D.at(TOY), rounds))
    output = tmp_path / "outputs/figures.json"
    program.main(["sizes", "--output", str(output)])
    program.main(["loading", "--rounds", "2", "--output", str(output)])
    report = json.loads(output.read_text())
    assert list(report["figures"]) == ["sizes", "loading"]
    assert set(report["versions"]) == {"torch", "diffusers", "peft"}
    printed = capsys.readouterr().out
    for figures in report["figures"].values():
        assert all(figure["name"] in printed for figure in figures)


@pytest.mark.parametrize("arguments", [["forwards"], ["sizes", "--rounds", "1"], ["sizes", "--threads", "0"]])
def test_the_program_refuses_what_it_cannot_measure(arguments, capsys):
    with pytest.raises(SystemExit):
        program.parse_arguments(arguments)
    assert "error" in capsys.readouterr().err
