"""The clock is a list of numbers here, so that every ratio is known."""

import pytest

from benchmarks.cost.timing import Figure, alternate, ratio


def test_every_run_counts_once_a_round_and_the_first_round_does_not():
    now, calls = [0.0], []

    def run(name, seconds):
        calls.append(name)
        now[0] += 100 if len(calls) <= 2 else seconds  # slow before it is warm

    runs = {"slow": lambda: run("slow", 3.0), "fast": lambda: run("fast", 2.0)}
    times = alternate(runs, 8, "test", clock=lambda: now[0])
    assert times == {"slow": [3.0] * 8, "fast": [2.0] * 8}
    rounds = [tuple(calls[start : start + 2]) for start in range(0, len(calls), 2)]
    assert len(rounds) == 9
    assert set(rounds) == {("slow", "fast"), ("fast", "slow")}  # each goes first at times


def test_the_ratio_is_the_median_of_the_rounds_ratios():
    # Ratios 2, 4, 1, 3, 5 of rounds that become slower; the medians' own ratio would be 24 / 8.
    figure = ratio("test", [2.0, 16.0, 8.0, 24.0, 80.0], [1.0, 4.0, 8.0, 8.0, 16.0], goal=1.5)
    assert figure.value == 3.0
    assert figure.quartiles == (1.5, 4.5)
    assert figure.seconds == (16.0, 8.0)
    assert str(figure) == "test: 3.000 (1.500 to 4.500), 16 s over 8 s, goal 1.5"


def test_rounds_that_miss_a_run_are_no_rounds():
    with pytest.raises(ValueError, match="shorter"):
        ratio("test", [1.0, 2.0], [1.0])


def test_bytes_are_written_whole():
    assert str(Figure("file", 1234567, "bytes")) == "file: 1,234,567 bytes"
