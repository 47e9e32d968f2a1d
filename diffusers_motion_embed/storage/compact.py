"""The compact form of an embedding's numbers: each is one of a few levels, and the file has a table of the levels.

The levels are those of Lloyd and Max, which have the smallest mean squared error. They are stretched so that the whole
is as strong as before, and as few bits are spent as keep the error in bounds. What an embedding learns is spread over
all of its numbers, so factors of low rank need more bytes for the same error (docs/measured.md).
"""

import torch
from torch import Tensor

from diffusers_motion_embed.functional import Debias, debiased


MAX_BITS = 8
ROUNDS = 1000  # at most, to improve the levels: 8 levels need fewer than 100, 64 need several hundred


def compress(values: Tensor, max_error: float, mode: Debias = "identity") -> tuple[Tensor, Tensor] | None:
    """Numbers as codes of levels, with as few bits as a bound on the error allows.

    Args:
        values: (..., c).
        max_error: Largest norm of the error after debiasing, as a share of the norm of what is debiased.
        mode: How the values are debiased where they are used.

    Returns:
        Codes (..., c · bits / 8), uint8, with the bits of each row one after the other, and levels (2 ** bits,), from
        which `expand` restores the values. None if the bound needs more than 8 bits, or c · bits is not a multiple of
        8.
    """
    values = values.float().contiguous()
    norm = debiased(values, mode).norm()
    for bits in range(1, MAX_BITS + 1):
        levels = find_levels(values, bits)
        numbers = torch.bucketize(values, (levels[1:] + levels[:-1]) / 2)
        levels = levels * _gain(values, levels[numbers])
        if debiased(levels[numbers] - values, mode).norm() <= max_error * norm:
            return None if values.shape[-1] * bits % 8 else (_pack(numbers, bits), levels)
    return None


def expand(codes: Tensor, levels: Tensor) -> Tensor:
    """The values (..., c), float32, of codes (..., c · bits / 8), uint8, and levels (2 ** bits,)."""
    return levels.float()[_unpack(codes, num_bits(levels))]


def num_bits(levels: Tensor) -> int:
    """Number of bits in a code of these levels."""
    return len(levels).bit_length() - 1


def find_levels(values: Tensor, bits: int) -> Tensor:
    """The levels of Lloyd and Max, (2 ** bits,), ascending: each the mean of the values that are nearest to it.

    Args:
        values: Any shape, float32.
        bits: Number of bits, at least 1.
    """
    ordered = values.flatten().double().sort().values
    sums = torch.cat([ordered.new_zeros(1), ordered.cumsum(0)])
    middles = (torch.arange(2**bits, device=values.device) + 0.5) / 2**bits
    levels = ordered[(middles * len(ordered)).long()]
    for _ in range(ROUNDS):
        inner = torch.searchsorted(ordered, (levels[1:] + levels[:-1]) / 2)
        edges = torch.cat([inner.new_zeros(1), inner, inner.new_full((1,), len(ordered))])
        counts = edges.diff()
        means = (sums[edges[1:]] - sums[edges[:-1]]) / counts
        improved = torch.where(counts > 0, means, levels)
        if torch.equal(improved, levels):
            break
        levels = improved
    return levels.float()


def _gain(values: Tensor, found: Tensor) -> Tensor:
    """Factor that makes the found values as strong as the values, along these; means alone are weaker."""
    strength = (values * found).sum()
    return (values * values).sum() / strength if strength > 0 else torch.ones(())


def _pack(numbers: Tensor, bits: int) -> Tensor:
    return _regroup(numbers.to(torch.uint8), bits, 8)


def _unpack(codes: Tensor, bits: int) -> Tensor:
    return _regroup(codes, 8, bits).int()


def _regroup(numbers: Tensor, bits: int, new_bits: int) -> Tensor:
    """Rows of numbers of some bits each, lowest first, cut into numbers of other bits; uint8, to save memory."""
    places, new_places = (torch.arange(n, dtype=torch.uint8, device=numbers.device) for n in (bits, new_bits))
    stream = (numbers[..., None] >> places & 1).flatten(-2).unflatten(-1, (-1, new_bits))
    return (stream << new_places).sum(-1, dtype=torch.uint8)
