"""What reports are made of."""

import numpy as np
import pytest
from PIL import Image

from examples.report import Interval, Page, interval, scatter, table


def test_an_interval_leaves_out_what_is_not_known():
    found = interval([1.0, None, 3.0, float("nan")])
    assert found.mean == 2.0
    assert 1.0 <= found.low <= found.mean <= found.high <= 3.0
    assert interval([None]).text() == "-"
    assert Interval(0.956, 0.95, 0.961).text() == "0.96 (0.95 to 0.96)"
    assert Interval(0.956, 0.95, 1.0).text(percent=True) == "96 % (95 to 100)"


def test_an_interval_of_the_mean():
    # The standard error of 400 values of standard deviation 1 is 0.05.
    values = np.random.default_rng(0).standard_normal(400)
    found = interval(values)
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(found.mean - 1.96 * 0.05, abs=0.02)
    assert found.high == pytest.approx(found.mean + 1.96 * 0.05, abs=0.02)


def test_a_table():
    assert table(["", "a"], [["x", "1"], ["y", "2"]]) == "|  | a |\n| --- | --- |\n| x | 1 |\n| y | 2 |"


def test_plots_show_every_entry():
    point = Interval(0.5, 0.4, 0.6)
    figure = scatter({"one": (point, point), "two": (point, point)}, "x", "y")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["one", "two"]


def test_a_page_replaces_the_one_before(tmp_path):
    clip = np.zeros((8, 16, 16, 3), np.uint8)
    for name in ("first", "second"):
        page = Page("Title", "python -m something")
        page.add(f"About {name}.")
        page.sheet([("black", clip)], name, "A black clip")
        page.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "second.webp"]
    text = (tmp_path / "README.md").read_text()
    assert "# Title\n\n    python -m something\n" in text
    assert "About second." in text
    assert "first" not in text
    assert np.asarray(Image.open(tmp_path / "second.webp").convert("L")).min() < 5


def test_a_page_takes_no_place_of_what_is_not_its_own(tmp_path):
    (tmp_path / "photo.png").touch()
    page = Page("Title", "command")
    page.write(tmp_path)
    page.write(tmp_path)
    assert (tmp_path / "photo.png").is_file()
    (tmp_path / "README.md").write_text("# A project\n\n![A photo](photo.png)\n")
    with pytest.raises(FileExistsError, match="is not a report"):
        page.write(tmp_path)
    assert (tmp_path / "photo.png").is_file()


@pytest.mark.parametrize("package", ["torch", "diffusers", "peft", "diffusers_motion_embed"])
def test_a_page_names_versions(package, tmp_path):
    page = Page("Title", "command").write(tmp_path)
    assert f"{package} " in page.read_text()
