"""Measures and the eye: clips of the tiny models that a person judged frame by frame."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.tiny_world.measures import measure_clip
from benchmarks.tiny_world.scene import Appearance, Thing, all_appearances


JUDGED = Path(__file__).parent / "judged"
TWO_OBJECTS = (
    Appearance("red", "ring", "gray", "dotted", Thing("blue", "bar")),
    Appearance("yellow", "circle", "navy", "checkered", Thing("green", "pillar")),
)
APPEARANCES = {appearance.prompt: appearance for appearance in (*all_appearances(), *TWO_OBJECTS)}


def read_strip(path):
    """Frames that stand one below the other."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return pixels.reshape(-1, pixels.shape[1], pixels.shape[1], 3)


@pytest.fixture(scope="module")
def verdicts():
    """By kind, what the eye said of every frame ("1", "0", or "?" for undecided) and what the measure says."""
    found = {"shape": [], "pattern": []}
    for name, judged in json.loads((JUDGED / "judged.json").read_text())["clips"].items():
        seen = measure_clip(read_strip(JUDGED / name), APPEARANCES[judged["prompt"]])
        for kind, pairs in found.items():
            pairs += zip(judged[kind], getattr(seen, kind), strict=True)
    return found


@pytest.mark.parametrize("kind", ["shape", "pattern"])
def test_measures_agree_with_the_eye(verdicts, kind):
    decided = [(eye == "1", measure) for eye, measure in verdicts[kind] if eye != "?"]
    assert len(decided) > 0.8 * len(verdicts[kind])
    for right in (True, False):  # neither by saying yes to everything, nor no
        assert sum(eye == right for eye, _ in decided) > 80
        assert np.mean([eye == measure for eye, measure in decided if eye == right]) >= 0.9
    assert np.mean([eye == measure for eye, measure in decided]) >= 0.95
