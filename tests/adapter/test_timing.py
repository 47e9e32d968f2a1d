"""When an embedding acts: shares of the noise schedule, read from the denoiser's timestep."""

import pytest
import torch

from diffusers_motion_embed.adapter.timing import Timing


@pytest.mark.parametrize(
    ("start", "end", "timestep", "acts"),
    [
        (0.0, 0.5, 999, True),
        (0.0, 0.5, 501, True),
        (0.0, 0.5, 500, False),
        (0.5, 1.0, 500, True),
        (0.5, 1.0, 501, False),
        (0.5, 1.0, 0, True),  # the end of the schedule belongs to it
        (0.0, 1e-3, 1000.0, True),
        (0.25, 0.75, torch.tensor(600), True),
        (0.25, 0.75, torch.tensor([600.0, 600.0]), True),
        (0.25, 0.75, torch.tensor([[0.0, 900.0], [0.0, 900.0]]), False),  # clean frames do not count
    ],
)
def test_the_gate_is_open_in_its_part_of_the_schedule(start, end, timestep, acts):
    timing = Timing(start, end)
    timing.observe(timestep, 1000)
    assert timing.gate.item() == float(acts)


def test_all_the_time_needs_no_gate():
    timing = Timing()
    timing.observe(torch.tensor(-5.0), 1000)
    assert timing.is_whole
    assert timing.gate.item() == 1.0


@pytest.mark.parametrize(
    ("start", "end"), [(0.5, 0.5), (0.6, 0.4), (-0.1, 1), (0, 1.1), (float("nan"), 1), ("0", 1), (0, None)]
)
def test_what_is_no_part_of_the_schedule_is_refused(start, end):
    with pytest.raises(ValueError, match="shares of the noise schedule"):
        Timing(start, end)
