"""What is drawn for each sample."""

import numpy as np
import pytest
import torch
from scipy import stats

from diffusers_motion_embed.training import TrainingConfig
from diffusers_motion_embed.training.sampling import draw_samples


SHAPE = (2, 3, 4, 5)


def draw(first, num_samples, num_clips=1, **options):
    return draw_samples(TrainingConfig(**options), first, num_samples, num_clips, SHAPE)


def test_samples_depend_on_seed_and_number_alone():
    all_at_once, one = draw(0, 6, antithetic_noise=False), draw(4, 1, antithetic_noise=False)
    assert torch.equal(all_at_once.noise[4], one.noise[0])
    assert torch.equal(all_at_once.levels[4], one.levels[0])
    assert torch.equal(all_at_once.frames[4], one.frames[0])
    assert len({tuple(noise.flatten().tolist()) for noise in all_at_once.noise}) == 6
    assert not torch.equal(draw(4, 1, seed=1).noise, one.noise)


def test_every_second_sample_has_the_opposite_noise_and_a_level_of_its_own():
    samples, independent = draw(0, 6), draw(0, 6, antithetic_noise=False)
    assert torch.equal(samples.noise[1::2], -samples.noise[::2])
    assert torch.equal(samples.noise[::2], independent.noise[::2])
    assert torch.equal(samples.levels, independent.levels)
    assert len(set(samples.levels.tolist())) == 6
    assert torch.equal(draw(3, 1).noise[0], samples.noise[3])


def test_noise_is_normal_and_independent_of_the_level():
    samples = draw(0, 400, timestep_sampling="uniform", antithetic_noise=False)
    assert stats.kstest(samples.noise.flatten().numpy(), "norm").pvalue > 0.01
    assert abs(np.corrcoef(samples.noise.flatten(1)[:, 0], samples.levels)[0, 1]) < 0.15


@pytest.mark.parametrize(
    ("sampling", "power", "low", "high"),
    [("uniform", 1, 0, 1), ("noisier_half", 1, 0.5, 1), ((0.2, 0.6), 3, 0.2, 0.6)],
)
def test_levels_follow_the_range_and_its_power(sampling, power, low, high):
    levels = draw(0, 1000, timestep_sampling=sampling, timestep_power=power).levels
    assert stats.kstest(levels, lambda x: ((x - low) / (high - low)) ** power).pvalue > 0.01


def test_clips_take_turns_and_frames_are_all_drawn():
    samples = draw(3, 60, num_clips=2)
    assert samples.clips.tolist() == [1, 0] * 30
    assert set(samples.frames.tolist()) == {0, 1, 2}
