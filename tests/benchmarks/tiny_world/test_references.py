"""Files that are made from the tiny world: the pictures to begin with."""

import numpy as np

from benchmarks.tiny_world.references import PROMPTS, as_video, figure_eight
from benchmarks.tiny_world.scene import Scene
from examples.demo import PICTURES, picture_of


def test_every_prompt_has_a_picture_where_the_figure_of_eight_begins():
    assert len(list(PICTURES.iterdir())) == len(PROMPTS)
    for look in PROMPTS:
        assert np.array_equal(np.asarray(picture_of(look.prompt)), as_video(Scene(look, figure_eight()[:1]))[0])
