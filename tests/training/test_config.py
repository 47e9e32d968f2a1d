import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from diffusers_motion_embed.training import TrainingConfig


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("max_train_steps", 0, "max_train_steps must be a whole number of at least 1, got 0"),
        ("train_batch_size", 1.5, "train_batch_size must be a whole number"),
        ("learning_rate", float("nan"), "learning_rate must be a positive finite number, got nan"),
        ("learning_rate", 0.0, "learning_rate must be a positive"),
        (
            "loss",
            "huber",
            "loss must be one of base, centered, debiased_temporal, debiased_hybrid, motion_distillation; got 'huber'",
        ),
        ("lr_scheduler", "step", "lr_scheduler must be one of"),
        ("mixed_precision", "fp8", "mixed_precision must be one of no, fp16, bf16"),
        ("timestep_sampling", "late", "timestep_sampling must be one of uniform, noisier_half.*got 'late'"),
        ("timestep_sampling", (0.9, 0.2), "range within 0 and 1"),
        ("timestep_sampling", (0.5, 1.5), "range within 0 and 1"),
    ],
)
def test_options_are_checked(option, value, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**{option: value})


@pytest.mark.parametrize(
    ("sampling", "expected"), [("uniform", (0.0, 1.0)), ("noisier_half", (0.5, 1.0)), ((0.2, 0.7), (0.2, 0.7))]
)
def test_timestep_range(sampling, expected):
    assert TrainingConfig(timestep_sampling=sampling).timestep_range == expected


def test_numbers_of_numpy_and_torch_count_and_are_stored_as_pythons():
    config = TrainingConfig(
        max_train_steps=np.int64(16),
        seed=torch.tensor(3),
        learning_rate=np.float32(0.5),
        max_grad_norm=np.float64(1.0),
        timestep_sampling=(np.float64(0.5), 1),
    )
    same = TrainingConfig(
        max_train_steps=16, seed=3, learning_rate=0.5, max_grad_norm=1.0, timestep_sampling=(0.5, 1.0)
    )
    assert config == same
    assert json.dumps(asdict(config)) == json.dumps(asdict(same))
    with pytest.raises(ValueError, match="seed must be a whole number"):
        TrainingConfig(seed=True)
