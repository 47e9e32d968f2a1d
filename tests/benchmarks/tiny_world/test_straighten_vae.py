"""Straightened latents have one pattern all over, and only the decoder's early layers learn to draw it."""

import sys

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL

from benchmarks.tiny_world import straighten_vae
from benchmarks.tiny_world.latents import BACKGROUND_GAINS, scene_latents
from benchmarks.tiny_world.pipelines import TINY_T2V
from benchmarks.tiny_world.straighten_vae import (
    KIND,
    PHASES,
    ROLL,
    ZOOM,
    Made,
    as_complex,
    as_real,
    straightened,
    waver,
)
from benchmarks.tiny_world.training_clips import random_scene, seen_otherwise


def true_latents(in_places, number=12):
    """Latents of the first frames of random scenes, (number, 20, 8, 8)."""
    rng = np.random.default_rng(0)
    scenes = [seen_otherwise(rng, random_scene(rng)) for _ in range(number)]
    return torch.cat([scene_latents(scene, slice(0, 1), in_places=in_places) for scene in scenes])


@pytest.mark.parametrize("in_places", [False, True])
def test_true_latents_are_straight(in_places):
    latents = true_latents(in_places)
    torch.testing.assert_close(straightened(latents, in_places), latents, rtol=0, atol=1e-3)


@pytest.mark.parametrize("in_places", [False, True])
def test_faint_latents_are_straightened_by_their_mean(in_places):
    torch.manual_seed(0)
    latents = true_latents(in_places)
    patterned = latents[:, KIND, 0, 0] != 0
    waves = as_complex(latents[:, PHASES])
    turn = torch.polar(torch.ones(12, 2, 1, 1), torch.randn(12, 2, 1, 1))
    faint = latents.clone()
    faint[:, PHASES] = as_real(waves * turn * torch.rand(12, 2, 8, 8))
    found = as_complex(straightened(faint, in_places)[:, PHASES])[patterned]
    torch.testing.assert_close(found, (waves * turn)[patterned], rtol=0, atol=1e-3)


@pytest.mark.parametrize("in_places", [False, True])
def test_phases_tell_of_zoom_and_roll_too(in_places):
    latents = true_latents(in_places)
    patterned = latents[:, KIND, 0, 0] != 0
    told = latents.clone()
    told[patterned, ZOOM] += 0.06 * BACKGROUND_GAINS[ZOOM]
    told[patterned, ROLL] -= 0.09 * BACKGROUND_GAINS[ROLL]
    torch.testing.assert_close(straightened(told, in_places), latents, rtol=0, atol=1e-3)


def test_what_is_drawn_wavers_about_a_straight_pattern():
    torch.manual_seed(0)
    latents = true_latents(in_places=True)
    wavering, straight = waver(latents)
    torch.testing.assert_close(straightened(straight, in_places=True), straight, rtol=0, atol=1e-3)
    patterned = latents[:, KIND, 0, 0] != 0
    assert (wavering - straight)[patterned][:, PHASES].abs().mean() > 0.1 * BACKGROUND_GAINS[PHASES.start]


def test_what_wavers_most_is_learned_from_most_often():
    torch.manual_seed(0)
    latents = torch.arange(3.0)[:, None, None, None, None]
    drawn, straight = Made(latents, -latents, torch.tensor([1.0, 1.0, 6.0])).draw(4000)
    torch.testing.assert_close(drawn, -straight)
    shares = torch.bincount(drawn.flatten().long()) / 4000
    torch.testing.assert_close(shares, torch.tensor([0.125, 0.125, 0.75]), rtol=0, atol=0.03)


def test_only_the_early_layers_learn(tmp_path, monkeypatch):
    monkeypatch.setattr(straighten_vae, "POOL", 32)
    arguments = ["--vae", str(TINY_T2V / "vae"), "--output_dir", str(tmp_path), "--max_train_steps", "2"]
    monkeypatch.setattr(sys, "argv", ["straighten_vae", *arguments, "--train_batch_size", "4"])
    straighten_vae.main()
    before = AutoencoderKL.from_pretrained(TINY_T2V / "vae", torch_dtype=torch.float32).state_dict()
    after = AutoencoderKL.from_pretrained(tmp_path).state_dict()
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    early = ("conv_in.", "mid_block.", "up_blocks.0.resnets.", "up_blocks.0.attentions.")
    assert changed
    assert all(name.removeprefix("decoder.").startswith(early) for name in changed)
