"""The report is right of what is measured so far."""

import json

import pytest

from benchmarks.report.experiments import DEFAULT
from benchmarks.report.runner import PLAIN, Task
from benchmarks.report.write import default_beside, write_report


ROW = {"use": "", "distance": 0.1, "color": 1.0, "background": 1.0, "shape": 1.0, "present": 1.0, "lk_fidelity": 0.8}
ROW |= {"leakage": 0.0, "lab": [[1, 2, 3], [1, 2, 3], [9, 9, 9]], "background_lab": [[1, 2, 3], [1, 2, 3], [9, 9, 9]]}


@pytest.fixture
def measured(tmp_path):
    """Writes measures of which the cosine is given."""

    def write(group, name, reference, cosine):
        path = Task(group, name, reference).path(tmp_path / "measures")
        path.parent.mkdir(parents=True, exist_ok=True)
        result = {"num_seeds": 1, "seconds": 30.0, "num_bytes": 4, "rows": [{**ROW, "cosine": cosine}]}
        path.write_text(json.dumps(result))
        return tmp_path / "measures"

    return write


def cells(page, name):
    (line,) = (line for line in page.read_text().splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_default_stands_beside_ablations_with_their_references_alone(measured, tmp_path):
    for reference, cosine in {"zigzag": 0.9, "spiral": 0.5}.items():
        measured("plain", PLAIN, reference, 0.0)
        folder = measured("methods", DEFAULT, reference, cosine)
    measured("ablations", "value part alone", "zigzag", 0.8)
    (beside,) = default_beside(folder, "ablations", ["zigzag", "spiral"], "default").values()
    assert [row["cosine"] for row in beside.rows] == [0.9]
    page = write_report(folder, tmp_path / "out", ["zigzag", "spiral"], "Report", "command")
    assert cells(page, DEFAULT)[1:3] == ["2", "0.70 (0.50 to 0.90)"]
    assert cells(page, "default")[1:3] == ["1", "0.90 (0.90 to 0.90)"]
    assert cells(page, "value part alone")[-1] == "1.00"


def test_ablations_can_be_reported_before_methods(measured, tmp_path):
    measured("plain", PLAIN, "zigzag", 0.0)
    folder = measured("ablations", "value part alone", "zigzag", 0.8)
    page = write_report(folder, tmp_path / "out", ["zigzag", "spiral"], "Report", "command")
    assert cells(page, "value part alone")[2] == "0.80 (0.80 to 0.80)"
    assert cells(page, "value part alone")[-1] == "-"
