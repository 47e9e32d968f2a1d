"""Rotary positions: where a model keeps the table of its tokens' places, and how tokens are moved in it.

Such a table holds, for each token and channel, the cosine and the sine of rate · place. A token that is to stand
elsewhere is rotated further by rate · displacement. The rates differ from model to model and from size to size. They
are therefore measured in the table itself, as the angle from a token to the one below it, to the one on its right, or
to the one at its place in the next frame. Rates of more than half a turn a token are known only up to whole turns.
That changes nothing for displacements of whole tokens, and in between it gives the slowest rotation that fits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from diffusers_motion_embed.architectures.layouts import VideoSize
from diffusers_motion_embed.errors import DividedClipError


Form = Literal["pair", "complex", "matrices", "axes"]


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """Where one model class keeps its rotary positions, and in which form.

    Args:
        path: Path of the module that makes the table. If the model receives the table as an argument, the path of the
            module that makes tokens. The position part is stored under this path.
        argument: Name of the argument of the model's forward that is the table; None if the module makes it.
        form: "pair" is cosines and sines; "complex" a dictionary of equal complex tables; "matrices" rotation
            matrices, (batch, frames, height, width, 1, c, 2, 2); "axes" cosines and sines for each of three axes, with
            the places of the tokens on them.
        token_axis: Axis of the tokens in cosines and sines.
        setting: Name of the model's setting that says whether it has rotary positions; None if it always has.
        writes_in_place: Whether attention overwrites the queries and keys that it multiplies with the table. What the
            table's gradients need is then lost, unless it is copied.
    """

    path: str = "rope"
    argument: str | None = None
    form: Form = "pair"
    token_axis: int = -2
    setting: str | None = None
    writes_in_place: bool = False

    def moved(self, table: Any, displacement: Tensor, size: VideoSize) -> Any:
        """The table of tokens that stand elsewhere. Tokens after the clip's, such as those of conditions, stay.

        Args:
            table: The table, in the model's own form.
            displacement: Rows and columns in shares of the picture's height and width, and time in latent frames,
                (positions, frames, 3), or (1, frames, 3) for all positions alike.
            size: Size of the clip in tokens.

        Raises:
            DividedClipError: If the table has fewer tokens than a clip of that size.
        """
        cosines, sines = (each.movedim(self.token_axis, 0) for each in self.read(table))
        num_tokens = size.num_frames * size.height * size.width
        if len(cosines) < num_tokens:
            raise DividedClipError(
                f"The model has rotary positions for {len(cosines)} tokens, fewer than the {num_tokens} of the clip: "
                "something, such as context parallelism, cuts the clip apart. Switch it off to move positions."
            )
        own = _moved(cosines[:num_tokens], sines[:num_tokens], displacement, size)
        whole = [torch.cat([new, old[num_tokens:]]) for new, old in zip(own, (cosines, sines), strict=True)]
        moved = [each.movedim(0, self.token_axis) for each in whole]
        if self.writes_in_place and displacement.requires_grad:
            # Tensors without numbers have no gradients to spoil.
            moved = [each.as_subclass(_CopiesFactors) if type(each) is Tensor else each for each in moved]
        return _FORMS[self.form].write(table, *moved)

    def read(self, table: Any) -> tuple[Tensor, Tensor]:
        """Cosines and sines of a table."""
        return _FORMS[self.form].read(table)


def _moved(cosines: Tensor, sines: Tensor, displacement: Tensor, size: VideoSize) -> tuple[Tensor, Tensor]:
    """Cosines and sines of moved tokens, (tokens, ...). Without displacement they stay what they are, bit for bit."""
    dtype = torch.promote_types(cosines.dtype, torch.float32)
    cos, sin = cosines.to(dtype), sines.to(dtype)
    turns = torch.zeros((), dtype=dtype, device=cos.device)
    frame = size.height * size.width
    # How many tokens there are, in what the displacement counts, and which two tokens are one step apart. Where the
    # first frame is alone in its latent frame, it may be nearer to the second than other frames are to each other.
    rows, columns = (size.height, size.height, 0, size.width), (size.width, size.width, 0, 1)
    time = (size.num_frames, 1, (size.num_frames - 2) * frame, frame)
    for axis, (length, unit, here, step) in enumerate((rows, columns, time)):
        if length > 1:  # a single row, column or frame has no neighbour to measure by, and nowhere to go
            there = here + step
            rate = torch.atan2(
                sin[there] * cos[here] - cos[there] * sin[here], cos[there] * cos[here] + sin[there] * sin[here]
            )
            places = unit * displacement[..., axis].to(dtype).transpose(0, 1)  # (frames, positions)
            turns = turns + places.reshape(*places.shape, *[1] * rate.ndim) * rate
    cos, sin = (each.unflatten(0, (size.num_frames, size.height * size.width)) for each in (cos, sin))
    further_cos, further_sin = turns.cos(), turns.sin()
    moved = cos * further_cos - sin * further_sin, sin * further_cos + cos * further_sin
    return moved[0].flatten(0, 1).to(cosines.dtype), moved[1].flatten(0, 1).to(sines.dtype)


class _CopiesFactors(Tensor):
    """A tensor that is multiplied with copies, so that gradients do not depend on what becomes of the originals."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func not in (Tensor.mul, Tensor.__mul__, Tensor.__rmul__, torch.mul):
            return super().__torch_function__(func, types, args, kwargs)
        copies = (each.clone() if type(each) is Tensor else each for each in args)
        return super().__torch_function__(func, types, tuple(copies), kwargs).as_subclass(Tensor)


class _Form(NamedTuple):
    """How cosines and sines are read from a table, and written as a table of the same form."""

    read: Callable[[Any], tuple[Tensor, Tensor]]
    write: Callable[[Any, Tensor, Tensor], Any]


def _read_complex(table: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    first = next(iter(table.values()))
    return first.real, first.imag


def _write_matrices(table: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    rows = torch.stack([cosines, -sines, sines, cosines], dim=-1).unflatten(-1, (2, 2))
    return rows.unflatten(1, table.shape[1:4])


def _read_axes(table: tuple) -> tuple[Tensor, Tensor]:
    pairs, places = table
    cosines, sines = (
        torch.cat([pair[number][place.flatten()] for pair, place in zip(pairs, places, strict=True)], dim=-1)
        for number in (0, 1)
    )
    return cosines, sines


def _write_axes(table: tuple, cosines: Tensor, sines: Tensor) -> tuple:
    pairs, places = table
    widths = [pair[0].shape[-1] for pair in pairs]
    numbers = torch.arange(len(cosines), device=cosines.device).reshape(places[0].shape)
    return tuple(zip(cosines.split(widths, -1), sines.split(widths, -1), strict=True)), (numbers,) * 3


_FORMS: dict[Form, _Form] = {
    "pair": _Form(lambda table: (table[0], table[1]), lambda table, *pair: pair),
    "complex": _Form(_read_complex, lambda table, *pair: dict.fromkeys(table, torch.complex(*pair))),
    "matrices": _Form(lambda table: (table[..., 0, 0].flatten(1, 3), table[..., 1, 0].flatten(1, 3)), _write_matrices),
    "axes": _Form(_read_axes, _write_axes),
}
