"""The report is right of what is measured so far."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fidelity.experiments import DEFAULT, PLAIN
from benchmarks.fidelity.figures import curve
from benchmarks.fidelity.halves import references_of
from benchmarks.fidelity.report import Report, main
from benchmarks.fidelity.runner import Task
from examples.report import Interval


COLORS = [[1, 2, 3], [1, 2, 3], [9, 9, 9]]
ROW = {"use": "", "distance": 0.1, "color": 1.0, "background": 1.0, "shape": 0.5, "present": 1.0, "color_error": 2.0}
ROW |= {"pattern": 1.0, "right": 0.25, "every_frame": 0.0}
ROW |= {"lk_fidelity": 0.8, "leakage": 0.0, "lab": COLORS, "background_lab": COLORS}


@pytest.fixture
def measured(tmp_path):
    """Writes measures of which the cosine is given."""

    def write(group, name, reference, cosine, num_seeds=1, **changed):
        path = Task(group, name, reference).path(tmp_path / "measures")
        path.parent.mkdir(parents=True, exist_ok=True)
        result = {"num_seeds": num_seeds, "seconds": 30.0, "num_bytes": 4}
        result["rows"] = [{**ROW, "cosine": cosine, **changed}]
        path.write_text(json.dumps(result))
        return tmp_path / "measures"

    return write


def cells(page, name, table=0):
    """The line of that name, in the first table that has one, or a later one."""
    line = [line for line in page.read_text().splitlines() if line.startswith(f"| {name} |")][table]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_means_are_of_all_references(measured, tmp_path):
    for reference, cosine in {"zigzag": 0.9, "spiral": 0.5}.items():
        measured("plain", PLAIN, reference, 0.0)
        folder = measured("methods", DEFAULT, reference, cosine)
    measured("ablations", "value part alone", "zigzag", 0.8)
    page = Report(folder, tmp_path / "out").write()
    assert cells(page, DEFAULT)[1:3] == ["2", "0.70 (0.50 to 0.90)"]
    assert cells(page, "value part alone")[-1] == "1.00"


def test_ablations_can_be_reported_before_methods(measured, tmp_path):
    measured("plain", PLAIN, "zigzag", 0.0)
    folder = measured("ablations", "value part alone", "zigzag", 0.8)
    page = Report(folder, tmp_path / "out").write()
    assert cells(page, "value part alone")[2] == "0.80 (0.80 to 0.80)"
    assert cells(page, "value part alone")[-1] == "-"


def test_appearance_is_told_beside_the_plain_model(measured, tmp_path):
    measured("plain", PLAIN, "zigzag", 0.0)
    folder = measured("methods", DEFAULT, "zigzag", 0.9, color_error=3.0, background=0.0)
    page = Report(folder, tmp_path / "out").write()
    shown = [cell.partition(" (")[0] for cell in cells(page, DEFAULT, table=1)]
    assert shown == [DEFAULT, "100 %", "50 %", "0 %", "100 %", "100 %", "0 %", "1.50"]


def test_the_commands_measure_what_was_measured(measured, tmp_path):
    for reference in ("spiral", "zigzag"):
        measured("plain", PLAIN, reference, 0.0)
        folder = measured("methods", DEFAULT, reference, 0.9, num_seeds=2)
    for group, name in (("ablations", "no debiasing"), ("sizes", "2 x 2")):
        measured(group, name, "zigzag", 0.9)
    text = Report(folder, tmp_path / "out").write().read_text()
    start = "    python -m benchmarks.fidelity"
    assert f"{start} methods --references zigzag spiral --num_seeds 2\n" in text
    assert f"{start} ablations sizes --references zigzag --num_seeds 1\n" in text
    assert f"{start}.report --output {tmp_path / 'out'}\n" in text
    assert text.count(start) == 3


def test_the_command_names_another_base_and_its_folder(measured, tmp_path):
    measured("plain", PLAIN, "zigzag", 0.0)
    folder = measured("methods", DEFAULT, "zigzag", 0.9)
    page = Report(folder, tmp_path / "out", Path("examples/tiny-wan")).write().read_text()
    assert "# Report on tiny-wan\n" in page
    base = "--pretrained_model_name_or_path examples/tiny-wan"
    assert f"python -m benchmarks.fidelity methods --references zigzag --num_seeds 1 {base}\n" in page
    assert f"python -m benchmarks.fidelity.report {base} --output {tmp_path / 'out'}\n" in page


def test_held_out_references_have_a_page_of_their_own(measured, tmp_path):
    references = references_of("report")
    kinds = {references.is_camera(name): name for name in references.scenes(2)}
    for is_camera, cosine in ((False, 0.9), (True, 0.7)):
        measured("plain", PLAIN, kinds[is_camera], 0.0)
        changed = {"distance": None} if is_camera else {}
        folder = measured("methods", DEFAULT, kinds[is_camera], cosine, **changed)
    measured("plain", PLAIN, "zigzag", 0.0)
    measured("methods", DEFAULT, "zigzag", 0.1)
    page = Report(folder, tmp_path / "out", half="report").write()
    text = page.read_text()
    assert "# Report on tiny-t2v, held-out references\n" in text
    assert f"methods --references {kinds[False]} {kinds[True]} --num_seeds 1 --half report\n" in text
    assert f"benchmarks.fidelity.report --half report --output {tmp_path / 'out'}\n" in text
    assert text.index("### Moving objects") < text.index("### Cameras")
    assert cells(page, DEFAULT)[1:4] == ["1", "0.90 (0.90 to 0.90)", "0.10 (0.10 to 0.10)"]
    assert cells(page, DEFAULT, table=2)[1:4] == ["1", "0.70 (0.70 to 0.70)", "-"]
    assert len(set(re.findall(r"\((\w+\.png)\)", text))) == 4


def test_clips_are_shown_beside_their_reference(measured, tmp_path):
    references = references_of("report")
    name = next(iter(references.scenes(2)))
    folder = measured("plain", PLAIN, name, 0.0)
    clips = np.zeros((2, 17, 64, 64, 3), np.uint8)
    np.savez_compressed(Task("plain", PLAIN, name).path(folder).with_suffix(".npz"), clips=clips)
    page = Report(folder, tmp_path / "out", half="report").write()
    assert f"### {name}\n" in page.read_text()
    assert (tmp_path / f"out/{name}.webp").stat().st_size > 500


def test_a_model_without_measures_is_told(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--measures", str(tmp_path), "--output", str(tmp_path / "out")])
    assert "there are no measures of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_curve_goes_along_its_axis():
    figure = curve({"line": {2.0: Interval(0.5, 0.4, 0.6), 1.0: Interval(0.1, 0.0, 0.2)}}, "x", "y")
    (line,) = figure.axes[0].get_lines()
    assert line.get_xydata().tolist() == [[1.0, 0.1], [2.0, 0.5]]
