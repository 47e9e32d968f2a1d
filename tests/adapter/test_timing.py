"""When an embedding acts: shares of the noise schedule, read from the denoiser's timestep."""

import math

import pytest
import torch

from diffusers_motion_embed.adapter.timing import Timing
from diffusers_motion_embed.architectures import find_architecture
from tests.models.zoo import make_model


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
    timing.observe(find_architecture(make_model("WanTransformer3DModel")).share_done(timestep))
    assert timing.gate.item() == float(acts)


@pytest.mark.parametrize(
    ("name", "noise", "half", "clean"),
    [
        ("UNet3DConditionModel", 1000, 500, 0),
        ("MochiTransformer3DModel", 0.0, 500.0, 1000.0),  # it counts up
        ("UNetSpatioTemporalConditionModel", 0.25 * math.log(700), 0.25 * math.log(1.18), 0.25 * math.log(0.002)),
    ],
)
def test_the_share_that_is_done_is_read_from_the_timesteps_of_the_class(name, noise, half, clean):
    architecture = find_architecture(make_model(name))
    assert architecture.share_done(noise).item() == pytest.approx(0, abs=0.01)
    assert architecture.share_done(torch.tensor([half, half])).item() == pytest.approx(0.5, abs=0.01)
    assert architecture.share_done(clean).item() == pytest.approx(1, abs=0.01)


def test_where_pipelines_count_differently_nothing_is_known():
    timing = Timing(0.7, 1.0)
    timing.acted = torch.zeros(())
    timing.observe(find_architecture(make_model("CosmosTransformer3DModel")).share_done(torch.tensor(0.1)))
    assert timing.gate.item() == timing.acted.item() == 1.0


def test_all_the_time_needs_no_gate():
    timing = Timing()
    timing.observe(torch.tensor(1.005))
    assert timing.is_whole
    assert timing.gate.item() == 1.0
