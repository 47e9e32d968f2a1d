"""`TrainingConfig`: the options of one training run."""

import math
from dataclasses import dataclass
from typing import Literal, get_args


Loss = Literal["base", "debiased_temporal"]

# Names for ranges of noise levels, as fractions of the noise schedule: 0 is the clean clip, 1 is noise alone.
TIMESTEP_SAMPLING = {"uniform": (0.0, 1.0), "noisier_half": (0.5, 1.0)}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training run on one reference clip.

    Args:
        max_train_steps: Optimizer steps.
        learning_rate: Peak rate of AdamW; high, because only the embedding learns.
        lr_scheduler: "constant", or "cosine" to fall to zero at the last step.
        weight_decay: Of AdamW.
        loss: "base" or "debiased_temporal".
        timestep_sampling: Noise levels to train at: "uniform", "noisier_half", or a range of fractions of the noise
            schedule, (0.5, 1.0).
        debias_in_training: Whether the value part is trained through the debiasing that it is later used with, so that
            it fits. False trains it as it is, as in the paper.
        train_batch_size: Noise levels per step, each with noise of its own on the one clip.
        mixed_precision: "no", "fp16" or "bf16", of the model's forward pass; the embedding stays float32.
        seed: Of noise, noise levels and anchor frames.

    Raises:
        ValueError: If an option is of no sensible value.
    """

    max_train_steps: int = 300
    learning_rate: float = 0.1
    lr_scheduler: Literal["constant", "cosine"] = "constant"
    weight_decay: float = 0.01
    loss: Loss = "base"
    timestep_sampling: str | tuple[float, float] = "noisier_half"
    debias_in_training: bool = True
    train_batch_size: int = 1
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_train_steps", "train_batch_size"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}.")
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0 or (name == "learning_rate" and value == 0):
                raise ValueError(f"{name} must be a positive finite number, got {value!r}.")
        for name, choices in (
            ("loss", get_args(Loss)),
            ("lr_scheduler", ("constant", "cosine")),
            ("mixed_precision", ("no", "fp16", "bf16")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}.")
        low, high = self.timestep_range
        if not 0 <= low < high <= 1:
            raise ValueError(f"timestep_sampling must be a range within 0 and 1, got {self.timestep_sampling!r}.")

    @property
    def timestep_range(self) -> tuple[float, float]:
        """Lowest and highest noise level, as fractions of the noise schedule."""
        if not isinstance(self.timestep_sampling, str):
            return tuple(self.timestep_sampling)
        if self.timestep_sampling not in TIMESTEP_SAMPLING:
            raise ValueError(
                f"timestep_sampling must be one of {', '.join(TIMESTEP_SAMPLING)}, or a range; "
                f"got {self.timestep_sampling!r}."
            )
        return TIMESTEP_SAMPLING[self.timestep_sampling]
