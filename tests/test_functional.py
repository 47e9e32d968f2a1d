"""The formulas of the method against numbers worked out by hand."""

import pytest
import torch
import torch.nn.functional as F

from diffusers_motion_embed.errors import IncompatibleEmbeddingError
from diffusers_motion_embed.functional import (
    add_to_rows,
    combine,
    concatenate,
    debiased,
    fit_frames,
    fit_path,
    resample_frames,
    resample_grid,
    with_time,
)


def column(*values):
    return torch.tensor(values, dtype=torch.float32)[:, None]


def test_difference_keeps_the_first_frame():
    assert debiased(column(3, 5, 4), "difference").equal(column(3, 2, -1))


def test_difference_can_drop_the_first_frame():
    assert debiased(column(3, 5, 4), "difference_zero_first").equal(column(0, 2, -1))


def test_centering_takes_the_mean_of_all_frames_away():
    assert debiased(column(3, 5, 4), "centered").equal(column(-1, 1, 0))


@pytest.mark.parametrize("mode", ["difference_zero_first", "centered"])
def test_what_all_frames_share_cancels(mode):
    moving = torch.randn(2, 2, 5, 3)
    shared = torch.randn(2, 2, 1, 3)
    torch.testing.assert_close(debiased(moving + shared, mode), debiased(moving, mode), atol=1e-6, rtol=0)


def test_a_combination_stretches_before_it_adds():
    assert combine([column(0, 4), column(1, 1, 1)], [0.5, 2.0], 3).equal(column(2, 3, 4))


def test_a_concatenation_follows_in_time():
    assert concatenate([column(0, 4), column(1)], [0.5, 2.0], 3).equal(column(0, 2, 2))
    assert concatenate([column(0), column(4)], [1.0, 1.0], 3).equal(column(0, 2, 4))


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [
        pytest.param(3, (0, 2, 4), id="same"),
        pytest.param(5, (0, 1, 2, 3, 4), id="longer"),
        pytest.param(2, (0, 4), id="shorter-keeps-both-ends"),
        pytest.param(1, (0,), id="one-frame"),
    ],
)
def test_frames_are_resampled_linearly_with_ends_kept(num_frames, expected):
    torch.testing.assert_close(resample_frames(column(0, 2, 4), num_frames), column(*expected))


@pytest.mark.parametrize(
    ("policy", "num_frames", "expected"),
    [
        ("resample", 5, (0, 1, 2, 3, 4)),
        ("loop", 7, (0, 2, 4, 0, 2, 4, 0)),
        ("hold", 5, (0, 2, 4, 4, 4)),
        ("loop", 2, (0, 2)),
        ("hold", 2, (0, 2)),
        ("error", 3, (0, 2, 4)),
    ],
)
def test_frames_fit_a_clip_as_the_policy_says(policy, num_frames, expected):
    fitted = fit_frames(column(0, 2, 4), num_frames, policy)
    torch.testing.assert_close(fitted, column(*expected))


def test_another_number_of_frames_is_refused_if_so_wanted():
    with pytest.raises(IncompatibleEmbeddingError, match=r"The clip has 4 frames .* and the motion embedding 3"):
        fit_frames(column(0, 2, 4), 4, "error")


def test_frames_of_a_value_part_are_resampled_place_by_place():
    value = torch.randn(2, 3, 4, 5)
    resampled = resample_frames(value, 7)
    assert resampled.shape == (2, 3, 7, 5)
    torch.testing.assert_close(resampled[1, 2], resample_frames(value[1, 2], 7))


def test_grid_is_resampled_between_cell_centres():
    # Two cells, 0 and 4, with centres at 1/4 and 3/4; four cells have centres at 1/8, 3/8, 5/8 and 7/8.
    value = torch.tensor([0.0, 4.0]).reshape(1, 2, 1, 1)
    assert resample_grid(value, (1, 4)).flatten().tolist() == [0.0, 1.0, 3.0, 4.0]


def test_a_stretched_grid_keeps_the_order_in_memory():
    # Of what it is added to; a sum over another order takes several times as long.
    value = torch.randn(4, 4, 3, 5)
    stretched = resample_grid(value, (6, 8))
    assert stretched.is_contiguous()
    alone = F.interpolate(value.permute(2, 3, 0, 1), size=(6, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(stretched, alone.permute(2, 3, 0, 1))


def test_grid_keeps_axes_apart():
    value = torch.arange(6.0).reshape(2, 3, 1, 1).expand(2, 3, 4, 5)
    resampled = resample_grid(value, (4, 3))
    assert resampled.shape == (4, 3, 4, 5)
    assert resampled[0, :, 2, 3].tolist() == [0.0, 1.0, 2.0]


def test_rows_are_batch_slowest():
    # Two clips, three positions, one frame, one channel: row = clip · 3 + position.
    hidden_states = torch.tensor([0.0, 0, 0, 100, 100, 100]).reshape(6, 1, 1)
    offset = torch.tensor([1.0, 2, 3]).reshape(3, 1, 1)
    assert add_to_rows(hidden_states, offset).flatten().tolist() == [1, 2, 3, 101, 102, 103]


def test_one_offset_serves_all_rows():
    hidden_states = torch.zeros(6, 2, 1)
    assert add_to_rows(hidden_states, column(1, 2)[None])[4].flatten().tolist() == [1, 2]


@pytest.mark.parametrize(("frames", "num_frames"), [(5, 9), (5, 21), (21, 5), (9, 3), (13, 3), (5, 2), (5, 1), (1, 5)])
@pytest.mark.parametrize("pace", [0.2, 0.5])
def test_time_keeps_its_pace_in_clips_of_other_lengths(frames, num_frames, pace):
    times = F.pad((pace - 1) * torch.arange(frames)[:, None], (2, 0))[None, None]
    fitted = fit_path(times, num_frames)[0, 0, :, 2] + torch.arange(num_frames)
    if frames > 1:  # a single frame has no pace
        torch.testing.assert_close(fitted.diff(), torch.full((num_frames - 1,), pace))


@pytest.mark.parametrize("width", [1, 4, 6])
def test_a_path_of_another_width_is_neither_cut_nor_filled(width):
    with pytest.raises(IncompatibleEmbeddingError, match=f"got {width} numbers"):
        with_time(torch.zeros(1, 1, 4, width))
