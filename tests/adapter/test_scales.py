"""What a motion scale means for every layer and part."""

import pytest

from diffusers_motion_embed import MotionScaleError
from diffusers_motion_embed.adapter.scales import resolve_scale
from diffusers_motion_embed.architectures import find_architecture
from tests.conftest import make_animatediff, make_unet3d


PLACES = {
    "d0": ("down", "block_0", 0),
    "d1": ("down", "block_1", 0),
    "m": ("mid", 0),
    "u0": ("up", "block_0", 0),
    "u1a": ("up", "block_1", 0),
    "u1b": ("up", "block_1", 1),
    "in": ("transformer_in",),
}


def resolved(scale):
    """By path, for the parts that layers have; one number where both have the same."""
    return {
        path: parts["qk"] if parts["qk"] == parts["v"] else {"qk": parts["qk"], "v": parts["v"]}
        for path, parts in resolve_scale(scale, PLACES).items()
    }


AS_TRAINED = dict.fromkeys(PLACES, 1.0)


@pytest.mark.parametrize(
    ("scale", "changed"),
    [
        (0.5, dict.fromkeys(PLACES, 0.5)),
        (-1, dict.fromkeys(PLACES, -1.0)),
        ({"v": 0.5}, {path: {"qk": 1.0, "v": 0.5} for path in PLACES}),
        ({"down": 0.5}, {"d0": 0.5, "d1": 0.5}),
        ({"mid": 0.0, "transformer_in": 2.0}, {"m": 0.0, "in": 2.0}),
        ({"up": {"block_1": 0.5}}, {"u1a": 0.5, "u1b": 0.5}),
        ({"up": {"block_1": [0.5, {"qk": 0.0}]}}, {"u1a": 0.5, "u1b": {"qk": 0.0, "v": 1.0}}),
        (
            {"up": {"qk": 0.0}, "down": {"block_0": 3}},
            {**{path: {"qk": 0.0, "v": 1.0} for path in ("u0", "u1a", "u1b")}, "d0": 3.0},
        ),
        ({"mid": [0.25]}, {"m": 0.25}),
    ],
)
def test_a_scale_reaches_what_it_names_and_leaves_the_rest_as_trained(scale, changed):
    assert resolved(scale) == {**AS_TRAINED, **changed}


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (1e39, "finite"),
        (True, "finite"),
        ("strong", "finite"),
        (None, "finite"),
        ({}, "Unknown key"),
        ({"value": 1.0}, r"'value'.*known here: 'qk', 'v', 'p', 'down', 'mid', 'up', 'transformer_in'"),
        ({"qk": 1.0, "down": 0.5}, "apart"),
        ({"down": {"block_2": 0.5}}, r"block_2.*'block_0', 'block_1'"),
        ({"mid": {"block_0": 0.5}}, "block_0"),
        ({"up": {"block_1": [0.5]}}, "list of 1 .* 2 temporal transformers"),
        ({"up": [0.5, 0.5]}, "list of 2"),
        ({"up": {"p": 0.5}}, r"up names the part \"p\", which belongs to no section"),
        ({"up": {"block_0": {"v": float("nan")}}}, "the motion scale, up, block_0, v"),
        ([0.5, 0.5], "list of 2 for the motion scale. Lists are for blocks.*dictionary"),
    ],
)
def test_a_scale_that_means_nothing_says_where(scale, message):
    with pytest.raises(MotionScaleError, match=message):
        resolve_scale(scale, PLACES)


@pytest.mark.parametrize(("scale", "expected"), [(0.5, 0.5), ({"p": 1.2}, 1.2), ({"v": 0.0}, 1.0), ({"up": 0.0}, 1.0)])
def test_the_position_part_belongs_to_the_whole_model(scale, expected):
    assert resolve_scale(scale, {**PLACES, "rope": ()})["rope"]["p"] == expected


@pytest.mark.parametrize("make", [make_unet3d, lambda: make_animatediff().unet], ids=["unet3d", "animatediff"])
def test_every_layer_has_a_place_in_loras_words(make):
    model = make()
    architecture = find_architecture(model)
    places = {architecture.place(path) for path in architecture.attention_paths(model)}
    blocks = {(side, f"block_{number}") for side in ("down", "up") for number in (0, 1)}
    assert {place[:2] for place in places if place[0] in ("down", "up")} == blocks
    assert ("mid", 0) in places
    assert {place[0] for place in places} - {"down", "mid", "up"} <= {"transformer_in"}
