"""Colour shifts of rendered clips whose colours are so and so far on the way to the reference's."""

import numpy as np
import pytest

from benchmarks.tiny_world.leakage import color_shifts
from benchmarks.tiny_world.measures import ClipMeasures, lab_of, measure_clip
from benchmarks.tiny_world.scene import Appearance, Motion, render


REST = Motion.of_object(np.zeros((2, 2)))
PLAIN = render(Appearance("red", "circle", "gray"), REST)
REFERENCE = render(Appearance("yellow", "circle", "beige"), REST)


def shifts(*clips):
    return color_shifts(*([measure_clip(clip)] for clip in clips))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_object_and_background_move_alike_in_a_mixture(share):
    # Mixed in sRGB, where the way is nearly as straight and even as in CIELAB.
    found = shifts(PLAIN + share * (REFERENCE - PLAIN), PLAIN, REFERENCE)
    assert found["object"].share == pytest.approx(share, abs=0.08)
    assert found["background"].share == pytest.approx(share, abs=0.08)


def test_object_and_background_are_told_apart():
    found = shifts(render(Appearance("yellow", "circle", "gray"), REST), PLAIN, REFERENCE)
    assert found["object"].share == pytest.approx(1.0, abs=0.02)
    assert found["object"].distance == pytest.approx(
        np.linalg.norm(lab_of((240, 212, 40)) - lab_of((222, 44, 44))), abs=2
    )
    assert found["background"].share == pytest.approx(0.0, abs=0.01)


def test_clips_without_an_object_do_not_count():
    empty = measure_clip(render(Appearance("red", "circle", "gray"), Motion.of_object(np.full((2, 2), 5.0))))
    plain, reference = measure_clip(PLAIN), measure_clip(REFERENCE)
    assert isinstance(empty, ClipMeasures)
    found = color_shifts([empty, reference], [plain, plain], [reference, reference])
    assert found["object"].num_clips == found["background"].num_clips == 1
    assert found["object"].share == pytest.approx(1.0)
