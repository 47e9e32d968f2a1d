"""Where in the picture a motion of a mix acts: in a half of it, or where it is painted in the motion's colour."""

import argparse
from collections import OrderedDict
from typing import Any

import gradio as gr
import numpy as np
from PIL import ImageColor

from examples.app.drawing import enlarged


COLORS = {"orange": "#fb923c", "blue": "#38bdf8", "green": "#a3e635"}  # of the motions, to paint with
EVERYWHERE = "everywhere"
HALVES = {"left half": [[1, 0]], "right half": [[0, 1]], "upper half": [[1], [0]], "lower half": [[0], [1]]}
KEPT_PAINTINGS = 64
OPAQUE = 128  # of 255


class _Last(OrderedDict):
    """The entries that were made last."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        if len(self) > KEPT_PAINTINGS:
            self.popitem(last=False)


def canvas(options: argparse.Namespace) -> gr.ImageEditor:
    """A picture to paint on, in the colours of the motions.

    Args:
        options: The command's.
    """
    height, width = enlarged(np.zeros((options.height, options.width, 3), np.uint8)).shape[:2]
    size = min(height, width) // 8
    editor = gr.ImageEditor(
        label="Where they act: paint each in its colour",
        brush=gr.Brush(default_size=size, colors=[*COLORS.values()], color_mode="fixed"),
        eraser=gr.Eraser(default_size=size),
        canvas_size=(width, height),
        sources=(),
        transforms=(),
        layers=False,
        buttons=[],
    )
    editor.blob_storage = _Last()  # its own keeps all paintings of all visitors
    return editor


def choices(number: int) -> list[str]:
    """The places that a motion can be given; the first is where it is painted.

    Args:
        number: The motion's, from 0 on.
    """
    return [f"painted {list(COLORS)[number]}", *HALVES, EVERYWHERE]


def region(place: str, number: int, painting: dict[str, Any] | None) -> np.ndarray | None:
    """A place as `set_motion_region` takes it.

    Args:
        place: One of the motion's `choices`.
        number: The motion's, from 0 on.
        painting: What the canvas holds.

    Raises:
        ValueError: If there is no such place, or nothing is painted where the motion should act.
    """
    if place == EVERYWHERE:
        return None
    if place in HALVES:
        return np.array(HALVES[place])
    if place not in choices(number):
        raise ValueError(f"Motion {number + 1} can act {', '.join(choices(number))}; got {place!r}.")
    painted = _painted(painting, number)
    if not painted.any():
        color = list(COLORS)[number]
        raise ValueError(
            f"Nothing is painted {color}. Paint where motion {number + 1} acts, or give it another place."
        )
    return painted


def _painted(painting: dict[str, Any] | None, number: int) -> np.ndarray:
    """Where the canvas has the motion's colour: of all colours it is the nearest there, since edges are mixed."""
    found = np.zeros((1, 1))
    for layer in (painting or {}).get("layers") or ():
        colors = np.array([ImageColor.getrgb(each) for each in COLORS.values()])
        nearest = np.linalg.norm(layer[..., None, :3] - colors, axis=-1).argmin(-1)
        found = found + ((layer[..., 3] >= OPAQUE) & (nearest == number))
    return found.clip(0, 1)
