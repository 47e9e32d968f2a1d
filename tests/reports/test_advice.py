"""What is said of known measures."""

import math

import pytest

from diffusers_motion_embed.reports import Measures, advise


FALLING = [(10 * step, 1 / step) for step in range(1, 11)]
SETTLED = [(10 * step, 0.5) for step in range(1, 11)]


@pytest.mark.parametrize(
    ("measures", "losses", "training", "said", "unsaid"),
    [
        (Measures(0.2, 0.9, 0.0), SETTLED, {}, ["The motion arrived: fidelity 0.90, 0.70 more"], ["Try"]),
        (Measures(0.85, 0.9, 0.0), SETTLED, {}, ["nearly as much without the motion"], ["arrived"]),
        (Measures(0.2, 0.9, 0.3), SETTLED, {}, ["arrived", "weaker scale", "--v_learning_rate"], ["longer"]),
        (Measures(0.2, 0.3, 0.0), FALLING, {"max_train_steps": 100}, ["--max_train_steps 200"], ["settled"]),
        (Measures(0.2, 0.3, 0.0), SETTLED, {}, ["The loss has settled", "stronger scale"], ["longer"]),
        (Measures(0.2, 0.3, 0.3), SETTLED, {}, ["Try --color_negative", "weaker scale"], ["settled"]),
        (Measures(0.2, 0.3, 0.3), SETTLED, {"color_negative": True}, ["The loss has settled"], ["color_negative"]),
        (Measures(math.nan, math.nan, 0.0), SETTLED, {}, ["Nothing was seen to move"], ["arrived"]),
        (Measures(math.nan, 0.9, 0.0), [], {}, ["The motion arrived: fidelity 0.90, 0.90 more"], []),
        (Measures(0.2, 0.3, 0.0), [(10, 1.0)], {}, ["The run of 10 steps was short"], ["settled"]),
        (Measures(0.2, 0.3, 0.0), [], {"tracked": True}, ["larger motion", "leave out --tracked"], ["loss", "grids"]),
    ],
)
def test_measures_become_advice(measures, losses, training, said, unsaid):
    text = "\n".join(advise([measures, measures], losses, training))
    for part in said:
        assert part in text
    for part in unsaid:
        assert part not in text


def test_advice_names_no_part_that_the_embedding_lacks():
    leaking, weak = [Measures(0.2, 0.9, 0.3)], [Measures(0.2, 0.3, 0.0)]
    assert "value part alone" in "\n".join(advise(leaking, SETTLED))
    assert "value" not in "\n".join(advise(weak, SETTLED))  # it is there, with the grid that the model class needs
    assert "value part alone" not in "\n".join(advise(leaking, SETTLED, parts=("qk", "p")))
    assert "set_motion_timing(0.0, 0.4)" in "\n".join(advise(leaking, SETTLED, parts=("qk", "p")))
    assert "--parts qk v p" in "\n".join(advise(weak, SETTLED, parts=("qk", "p")))


def test_cameras_are_advised_where_they_have_a_recipe_of_their_own():
    weak = [Measures(0.2, 0.3, 0.0)]
    assert "--motion camera" in "\n".join(advise(weak, SETTLED, parts=("qk", "p")))
    for parts in (("qk", "v"), ("qk",)):  # without positions
        assert "--motion camera" not in "\n".join(advise(weak, SETTLED, parts=parts))
        assert "--parts qk v p" not in "\n".join(advise(weak, SETTLED, parts=parts))
    assert "--motion camera" not in "\n".join(advise(weak, SETTLED, parts=("qk", "v", "p")))  # it was learned so
