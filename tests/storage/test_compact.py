"""The compact form: levels and packed codes, against calculations of another kind."""

import numpy as np
import pytest
import torch

from diffusers_motion_embed.functional import debiased
from diffusers_motion_embed.storage.compact import compress, expand, find_levels


# Mean squared errors of the best 2 ** bits levels for a normal distribution of variance 1 (Max, 1960).
LEAST_ERRORS = {1: 0.3634, 2: 0.1175, 3: 0.03454, 4: 0.009497}


@pytest.mark.parametrize("bits", LEAST_ERRORS)
def test_levels_have_the_least_error_that_is_known(bits):
    values = torch.randn(200_000)
    levels = find_levels(values, bits)
    error = (values[:, None] - levels).square().min(1).values.mean().item()
    assert error == pytest.approx(LEAST_ERRORS[bits], rel=0.03)


@pytest.mark.parametrize(("max_error", "bits"), [(0.8, 1), (0.4, 2), (0.25, 3), (0.12, 4), (0.06, 5)])
def test_as_few_bits_are_spent_as_the_bound_allows(max_error, bits):
    values = torch.randn(3, 5, 1024)
    codes, levels = compress(values, max_error)
    assert codes.shape == (3, 5, 128 * bits)
    assert codes.dtype == torch.uint8
    assert levels.shape == (2**bits,)
    assert (expand(codes, levels) - values).norm() <= max_error * values.norm()


def test_the_error_is_that_of_what_is_left_after_the_debiasing():
    values = torch.randn(6, 1024) + 20 * torch.ones(1, 1024)  # a constant, of which the difference leaves one frame
    treated = compress(values, 0.01, "difference")
    error = debiased(expand(*treated) - values, "difference")
    assert error.norm() <= 0.01 * debiased(values, "difference").norm()
    assert len(treated[1]) > len(compress(values, 0.01)[1])


@pytest.mark.parametrize("bits", range(1, 9))
def test_codes_are_the_bits_of_a_row_lowest_first(bits):
    levels = torch.randn(2**bits).sort().values
    numbers = np.random.default_rng(0).integers(0, 2**bits, (3, 8))
    stream = np.array([[int(digit) for number in row for digit in f"{number:0{bits}b}"[::-1]] for row in numbers])
    codes = torch.from_numpy(np.packbits(stream.astype(np.uint8), axis=1, bitorder="little"))
    assert torch.equal(expand(codes, levels), levels[torch.from_numpy(numbers)])


@pytest.mark.parametrize("max_error", [0.9, 0.4, 0.25])
def test_values_are_as_strong_as_before(max_error):
    values = torch.randn(4, 1024)
    kept = expand(*compress(values, max_error))
    assert (kept * values).sum().item() == pytest.approx(values.square().sum().item(), rel=1e-5)


def test_few_values_are_kept_exactly():
    values = torch.tensor([0.0, 3.0, -1.0, 3.0, 0.5, 0.0, -1.0, 0.5]).expand(4, 8)
    assert torch.equal(expand(*compress(values, 0.0)), values)


def test_nothing_is_compressed_to_nothing():
    codes, levels = compress(torch.zeros(2, 8), 0.1)
    assert len(levels) == 2
    assert not expand(codes, levels).any()


def test_rows_that_fill_no_bytes_are_left_alone():
    assert compress(torch.randn(4, 6), 0.4) is None
    assert compress(torch.randn(4, 8), 0.4) is not None


def test_a_bound_below_eight_bits_is_left_alone():
    assert compress(torch.randn(8, 1024), 1e-4) is None
