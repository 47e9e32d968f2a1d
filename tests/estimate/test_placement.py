"""Weights on the device, by offloading and quantization."""

import pytest
import torch
from torch import nn

from diffusers_motion_embed.estimate.placement import resident_bytes


class Model(nn.Module):
    """Two blocks between two layers; no biases."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 128, bias=False)
        self.blocks = nn.ModuleList(
            [nn.Linear(128, 128, bias=False), nn.Sequential(*(nn.Linear(128, 128, bias=False) for _ in range(2)))]
        )
        self.norm = nn.LayerNorm(128, bias=False)


FIRST, SQUARE, NORM = 64 * 128, 128 * 128, 128


@pytest.mark.parametrize(
    ("offload", "bits", "expected"),
    [
        ("none", None, 2 * (FIRST + 3 * SQUARE + NORM)),
        ("model", None, 2 * (FIRST + 3 * SQUARE + NORM)),
        ("group", None, 2 * (FIRST + 2 * SQUARE + NORM)),  # the larger block, and what is in none
        ("sequential", None, 2 * SQUARE),
        ("model", 8, FIRST + 3 * SQUARE + 2 * NORM + 4 * 4 * 128),  # a scale for each output channel
        ("model", 4, (FIRST + 3 * SQUARE) * (4 / 8 + 4 / 64) + 2 * NORM + 2 * SQUARE),  # one is unpacked
    ],
)
def test_what_is_on_the_device_at_a_time(offload, bits, expected):
    assert resident_bytes(Model().to(torch.bfloat16), offload, bits) == expected
