"""Prompts that are offered where none was given."""

import shlex

import pytest

from diffusers_motion_embed.reports import offer_prompts, without_report


@pytest.mark.parametrize(
    ("prompt", "offered"),
    [
        (
            "a man skateboards down a street",
            [
                "a panda skateboards down a street",
                "a man skateboards on a beach at sunset",
                "a robot skateboards in a snowy forest",
            ],
        ),
        (
            "a red bar on a black background",
            ["a panda on a black background", "a red bar on a beach at sunset", "a robot in a snowy forest"],
        ),
        (
            "A dog is running quickly.",
            [
                "a panda is running quickly on a stage with red curtains",
                "A dog is running quickly on a beach at sunset",
                "a robot is running quickly in a snowy forest",
            ],
        ),
    ],
)
def test_subject_and_place_are_changed_and_what_happens_is_kept(prompt, offered):
    assert offer_prompts(prompt) == offered


@pytest.mark.parametrize("prompt", [None, "", "timelapse", "two cats, fighting"])
def test_there_are_always_three_different_ones_that_a_shell_takes(prompt):
    assert len(set(offer_prompts(prompt))) == 3
    words = shlex.split(without_report(prompt).partition("--validation_prompt ")[2])
    assert words == offer_prompts(prompt)
