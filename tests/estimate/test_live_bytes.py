"""Counting live bytes: what is made and let go, views, and tensors without numbers."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from diffusers_motion_embed.estimate.live_bytes import LiveBytes, stored_bytes


@pytest.mark.parametrize("has_numbers", [True, False])
def test_what_is_alive_at_a_time_is_counted(has_numbers):
    given = torch.ones(1000)
    if not has_numbers:
        given = FakeTensorMode().from_tensor(given)
    with LiveBytes() as live:
        made = given + 1
        view = given.view(10, 100)  # of what was there before
        assert (live.now, live.peak) == (4000, 4000)
        doubled = torch.cat([made, made])
        assert (live.now, live.peak) == (12000, 12000)
        part = doubled[:5]
        del made, doubled
        assert (live.now, live.peak) == (8000, 12000)
    del part, view
    assert live.now == 0


def test_what_the_backward_pass_needs_is_alive_until_then():
    weight = torch.ones(100, 100, requires_grad=True)
    with LiveBytes() as live:
        loss = (weight.exp() + 1).sum()
        kept = live.now
        loss.backward()
        assert kept == 40_000 + 4  # the exponentials, and the sum
        assert live.peak > live.now == 40_000 + 4  # the gradient, and the sum
        del loss
    weight.grad = None


def test_shared_numbers_count_once():
    tensor = torch.ones(10)
    assert stored_bytes([tensor, tensor[:5], torch.ones(3)]) == 52
