"""How far the colours of generated clips moved towards the reference's."""

import numpy as np

from benchmarks.tiny_world.measures import ClipMeasures
from diffusers_motion_embed.metrics import ColorShift, color_shift


PARTS = {"object": "lab", "background": "background_lab"}


def color_shifts(
    generated: list[ClipMeasures], plain: list[ClipMeasures], reference: list[ClipMeasures]
) -> dict[str, ColorShift]:
    """The shift of object and of background, over pairs of clips.

    Args:
        generated: Clips with a motion embedding.
        plain: Those of the same prompts and noise without it.
        reference: The reference of each.
    """

    def colors(clips: list[ClipMeasures], name: str) -> np.ndarray:
        return np.array([getattr(clip, name) for clip in clips])

    return {
        part: color_shift(colors(generated, name), colors(plain, name), colors(reference, name))
        for part, name in PARTS.items()
    }
