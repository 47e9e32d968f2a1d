"""Losses against numbers worked out by hand."""

import math
from typing import get_args

import pytest
import torch

from diffusers_motion_embed.training.config import Loss
from diffusers_motion_embed.training.losses import (
    LOSSES,
    base_loss,
    centered_loss,
    debias_by_anchor,
    debiased_temporal_loss,
    motion_distillation_loss,
)


def test_every_loss_of_the_options_is_in_the_table():
    assert tuple(LOSSES) == get_args(Loss)


def clip(*frames):
    """One channel, one pixel."""
    return torch.tensor(frames, dtype=torch.float32).reshape(1, 1, -1, 1, 1)


def test_base_loss_is_the_mean_square():
    assert base_loss(clip(1, 2, 5), clip(1, 0, 2)).item() == pytest.approx((0 + 4 + 9) / 3)


def test_base_loss_is_float32_for_half_precision():
    assert base_loss(clip(1, 2).half(), clip(1, 0).half()).dtype == torch.float32


def test_centered_loss_leaves_out_what_all_frames_share():
    # errors of 1, 2 and 6 are -2, -1 and 3 around their mean; the second clip is wrong by the same in all its frames
    predictions, targets = torch.cat([clip(1, 2, 5), clip(3, 0, 4)]), torch.cat([clip(0, 0, -1), clip(1, -2, 2)])
    assert centered_loss(predictions, targets).item() == pytest.approx((4 + 1 + 9) / 6)


def test_the_anchor_frame_is_taken_from_all_frames():
    # sqrt(2) · (1, 2, 5) - 2, with the second frame as anchor; then the third frame of another clip
    clips = torch.cat([clip(1, 2, 5), clip(3, 0, 4)])
    root = math.sqrt(2)
    expected = [root - 2, 2 * root - 2, 5 * root - 2, 3 * root - 4, -4, 4 * root - 4]
    assert debias_by_anchor(clips, torch.tensor([1, 2])).flatten().tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("anchor", range(3))
def test_debiased_loss_adds_the_error_of_anchored_frames(anchor):
    prediction, target = clip(1, 2, 5), clip(1, 0, 2)
    error = [0, 2, 3]
    root = math.sqrt(2)
    expected = sum(e * e for e in error) / 3 + sum((root * e - error[anchor]) ** 2 for e in error) / 3
    assert debiased_temporal_loss(prediction, target, torch.tensor([anchor])).item() == pytest.approx(expected)


def test_motion_distillation_compares_directions_of_change():
    # Two pixels. Changes of the prediction: (3, 4), (0, 2); of the target: (4, 3), (0, -1). Cosines: 24/25 and -1.
    prediction = torch.tensor([[0, 0], [3, 4], [3, 6]]).float().reshape(1, 1, 3, 1, 2)
    target = torch.tensor([[1, 1], [5, 4], [5, 3]]).float().reshape(1, 1, 3, 1, 2)
    assert motion_distillation_loss(prediction, target).item() == pytest.approx(1 - (24 / 25 - 1) / 2)
    assert motion_distillation_loss(prediction, 7 * prediction + 3).item() == pytest.approx(0, abs=1e-6)
