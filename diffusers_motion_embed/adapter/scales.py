"""Motion scales as users give them, worked out for every layer and part.

    0.8                                           everything
    {"qk": 1.0, "v": 0.5, "p": 1.2}               by part
    {"down": 0.5, "up": {"qk": 0.0}}              by section of the model
    {"up": {"block_0": 0.5, "block_1": [1, 0]}}   by block, and by temporal transformer of a block

Everything that is not named keeps 1.0, as with the block scales of LoRAs. The position part belongs to no section.
"""

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from diffusers_motion_embed.config import PARTS
from diffusers_motion_embed.errors import MotionScaleError


Scale = float | Mapping[str, Any]

# Path of an attention layer -> part -> factor.
LayerScales = dict[str, dict[str, float]]


def resolve_scale(scale: Scale, places: Mapping[str, tuple]) -> LayerScales:
    """The factor of every layer and part.

    Args:
        scale: A motion scale in one of the forms above.
        places: Position of each layer in the model, by path: section, block, and number of the transformer in the
            block, as `Architecture.place` returns it.

    Raises:
        MotionScaleError: If a number is not finite, or a section, block or part is unknown.
    """
    resolved: LayerScales = {path: dict.fromkeys(PARTS, 1.0) for path in places}
    _assign(resolved, scale, dict(places), 0, "the motion scale")
    return resolved


def _assign(resolved: LayerScales, scale: Any, places: dict[str, tuple], depth: int, what: str) -> None:
    if isinstance(scale, Mapping) and scale and set(scale) <= set(PARTS):
        if "p" in scale and depth:
            raise MotionScaleError(
                f'{what} names the part "p", which belongs to no section; scale it by {{"p": 0.5}}.'
            )
        for part, number in scale.items():
            for path in places:
                resolved[path][part] = _finite(number, f"{what}, {part}")
    elif isinstance(scale, Mapping):
        inside = _grouped(places, depth, str)
        unknown = [key for key in scale if key not in inside]
        if unknown or not scale:
            known = ", ".join(map(repr, (*PARTS, *inside)))
            raise MotionScaleError(f"Unknown key {unknown} in {what}; known here: {known}, parts and blocks apart.")
        for key, entry in scale.items():
            _assign(resolved, entry, inside[key], depth + 1, f"{what}, {key}")
    elif isinstance(scale, Sequence) and not isinstance(scale, str):
        inside = _grouped(places, depth, int)
        _check_list(len(scale), len(inside), what)
        for entry, group in zip(scale, inside.values(), strict=True):
            _assign(resolved, entry, group, depth + 1, what)
    else:
        for path in places:
            resolved[path] = dict.fromkeys(PARTS, _finite(scale, what))


def _check_list(entries: int, transformers: int, what: str) -> None:
    if not transformers:
        raise MotionScaleError(
            f"Got a list of {entries} for {what}. Lists are for blocks, with an entry for each temporal transformer; "
            "give a number here, or a dictionary by part or by block."
        )
    if entries != transformers:
        raise MotionScaleError(
            f"Got a list of {entries} for {what}, which has {transformers} temporal transformers to count."
        )


def _grouped(places: dict[str, tuple], depth: int, kind: type) -> dict[Any, dict[str, tuple]]:
    groups: dict[Any, dict[str, tuple]] = {}
    for path, place in places.items():
        if len(place) > depth and isinstance(place[depth], kind):
            groups.setdefault(place[depth], {})[path] = place
    return groups


def _finite(number: Any, what: str) -> float:
    is_number = isinstance(number, numbers.Real) and not isinstance(number, bool)
    if not is_number or not abs(number) <= torch.finfo(torch.float32).max:  # written this way, NaN does not pass
        raise MotionScaleError(
            f"A motion scale must be a finite number, 1.0 as trained and 0.0 for none; got {number!r} for {what}."
        )
    return float(number)
