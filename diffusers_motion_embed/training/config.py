"""`TrainingConfig`: the options of one training run."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from diffusers_motion_embed.values import whole_number


Loss = Literal["base", "centered", "debiased_temporal", "debiased_hybrid", "motion_distillation"]
LearningRateSchedule = Literal["constant", "constant_with_warmup", "cosine", "linear"]

# Names for ranges of noise levels, as fractions of the noise schedule: 0 is the clean clip, 1 is noise alone.
TIMESTEP_SAMPLING = {"uniform": (0.0, 1.0), "noisier_half": (0.5, 1.0), "high_noise": (0.7, 1.0)}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One training run on the reference clips of one motion.

    Args:
        max_train_steps: Optimizer steps.
        learning_rate: Peak rate of AdamW, in units of each layer's own input: its root mean square on the reference.
            It is high because only the embedding learns.
        qk_learning_rate: Peak rate for the query-key part, if different.
        v_learning_rate: Peak rate for the value part, if different.
        p_learning_rate: Peak rate for the position part, in tokens of the model. At 0 it stays as it begins: it moves
            nothing over the picture and has time run at half its pace, so that the model moves less by itself.
        lr_scheduler: "constant", "constant_with_warmup", or "cosine" or "linear", which warm up and fall to zero.
        lr_warmup_steps: Steps over which the rate rises from zero; "constant" ignores them.
        weight_decay: Weight decay of AdamW for the query-key and value parts. What the reference does not need fades,
            so that less of its look is learned.
        max_grad_norm: Longer gradients are shortened to this length; None leaves them as they are.
        loss: "base", "centered", "debiased_temporal", "debiased_hybrid" or "motion_distillation", see
            `training.losses`.
        spatial_learning_rate: Learning rate of the LoRA on spatial layers that "debiased_hybrid" also trains.
        spatial_rank: Rank of that LoRA.
        timestep_sampling: Noise levels to train at: "uniform", "noisier_half", "high_noise" (0.7 to 1), or a range of
            fractions of the noise schedule, (0.5, 1.0).
        timestep_power: 1 draws evenly from that range; higher numbers draw high noise levels more often, with a
            density that grows as its (power - 1)-th power.
        antithetic_noise: Every second sample gets the previous sample's noise with its sign changed, at its own noise
            level. Chance then largely cancels out in the gradients, so fewer steps are needed.
        color_negative: Half of the samples show the clip's colour negative, with an empty prompt. The embedding then
            learns where something moves rather than where it is bright or dark.
        center_qk: Leave out of the query-key part what all frames share. That is of the reference's look, such as
            whether its background has a pattern; what changes from frame to frame is motion.
        tracked_start: Begin the position part with what is followed in the clip, see `track_motion_embedding`: the
            path of what moves, or on a position grid finer than 1 x 1 the motion of the camera; of several clips, the
            mean. It needs OpenCV.
        debias_in_training: Whether the value part is trained through the debiasing that it is used with later, so that
            it fits. False trains it as it is, as in the paper.
        train_batch_size: Samples in one pass, each with its own noise level and noise.
        gradient_accumulation_steps: Passes per optimizer step. Four samples in one pass give the same as four passes,
            faster but with more memory.
        gradient_checkpointing: Recompute activations in the backward pass instead of keeping them.
        mixed_precision: "no", "fp16" or "bf16" for the model's forward pass; the embedding stays float32.
        seed: Seed of everything that is drawn.

    Raises:
        ValueError: If an option has an invalid value.
    """

    max_train_steps: int = 100
    learning_rate: float = 0.3
    qk_learning_rate: float | None = None
    v_learning_rate: float | None = None
    p_learning_rate: float = 0.15
    lr_scheduler: LearningRateSchedule = "cosine"
    lr_warmup_steps: int = 0
    weight_decay: float = 0.05
    max_grad_norm: float | None = None
    loss: Loss = "base"
    spatial_learning_rate: float = 5e-4
    spatial_rank: int = 32
    timestep_sampling: str | tuple[float, float] = "high_noise"
    timestep_power: float = 1.0
    antithetic_noise: bool = True
    color_negative: bool = False
    center_qk: bool = False
    tracked_start: bool = False
    debias_in_training: bool = True
    train_batch_size: int = 1
    gradient_accumulation_steps: int = 4
    gradient_checkpointing: bool = False
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        whole = {
            "max_train_steps": 1,
            "train_batch_size": 1,
            "gradient_accumulation_steps": 1,
            "spatial_rank": 1,
            "lr_warmup_steps": 0,
            "seed": 0,
        }
        for name, least in whole.items():
            self._set(name, whole_number(name, getattr(self, name), least))
        for name in ("learning_rate", "p_learning_rate", "spatial_learning_rate", "timestep_power", "weight_decay"):
            value = getattr(self, name)
            if (
                not math.isfinite(value)
                or value < 0
                or (value == 0 and name not in ("weight_decay", "p_learning_rate"))
            ):
                raise ValueError(f"{name} must be a positive finite number, got {value!r}.")
            self._set(name, float(value))
        for name in ("qk_learning_rate", "v_learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be None or a positive finite number, got {value!r}.")
            self._set(name, None if value is None else float(value))
        for name, choices in (
            ("loss", get_args(Loss)),
            ("lr_scheduler", get_args(LearningRateSchedule)),
            ("mixed_precision", ("no", "fp16", "bf16")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}.")
        low, high = self.timestep_range
        if not 0 <= low < high <= 1:
            raise ValueError(f"timestep_sampling must be a range within 0 and 1, got {self.timestep_sampling!r}.")
        if not isinstance(self.timestep_sampling, str):
            self._set("timestep_sampling", (float(low), float(high)))

    def _set(self, name: str, value: Any) -> None:
        """Store numbers of numpy and torch as Python's own, which JSON knows."""
        object.__setattr__(self, name, value)

    @property
    def timestep_range(self) -> tuple[float, float]:
        """Lowest and highest noise level, as fractions of the noise schedule."""
        if not isinstance(self.timestep_sampling, str):
            low, high = self.timestep_sampling
            return low, high
        if self.timestep_sampling not in TIMESTEP_SAMPLING:
            raise ValueError(
                f"timestep_sampling must be one of {', '.join(TIMESTEP_SAMPLING)}, or a range; "
                f"got {self.timestep_sampling!r}."
            )
        return TIMESTEP_SAMPLING[self.timestep_sampling]

    def learning_rate_of(self, part: str) -> float:
        """Peak rate of a part."""
        own = {"qk": self.qk_learning_rate, "v": self.v_learning_rate, "p": self.p_learning_rate}[part]
        return self.learning_rate if own is None else own
