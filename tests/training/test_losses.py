"""Losses against numbers worked out by hand."""

import math

import pytest
import torch

from diffusers_motion_embed.training.losses import base_loss, debias_by_anchor, debiased_temporal_loss


def clip(*frames):
    """One channel, one pixel."""
    return torch.tensor(frames, dtype=torch.float32).reshape(1, 1, -1, 1, 1)


def test_base_loss_is_the_mean_square():
    assert base_loss(clip(1, 2, 5), clip(1, 0, 2)).item() == pytest.approx((0 + 4 + 9) / 3)


def test_base_loss_is_float32_for_half_precision():
    assert base_loss(clip(1, 2).half(), clip(1, 0).half()).dtype == torch.float32


def test_anchor_frame_is_taken_from_all_frames():
    # sqrt(2) · (1, 2, 5) - 2, with the second frame as anchor
    expected = [math.sqrt(2) - 2, 2 * math.sqrt(2) - 2, 5 * math.sqrt(2) - 2]
    assert debias_by_anchor(clip(1, 2, 5), 1).flatten().tolist() == pytest.approx(expected)


def test_debiased_loss_adds_the_error_of_anchored_frames():
    prediction, target = clip(1, 2, 5), clip(1, 0, 2)
    error = [0, 2, 3]
    root = math.sqrt(2)
    candidates = [
        sum(e * e for e in error) / 3 + sum((root * e - error[anchor]) ** 2 for e in error) / 3 for anchor in range(3)
    ]
    found = {
        round(debiased_temporal_loss(prediction, target, torch.Generator().manual_seed(seed)).item(), 4)
        for seed in range(30)
    }
    assert found == {round(candidate, 4) for candidate in candidates}
