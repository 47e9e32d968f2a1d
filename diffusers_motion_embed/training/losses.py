"""Losses: from predictions and targets, (batch, channels, frames, height, width), to a scalar, and nothing else."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


# Weight of the anchor frame in the debiased loss, sqrt(beta² + 1) and beta, with beta = 1 as in MotionDirector
# (arXiv 2310.08465), from where arXiv 2403.20193 takes the loss.
ANCHOR_BETA = 1.0


def base_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the denoising prediction, in float32 (arXiv 2403.20193)."""
    return F.mse_loss(prediction.float(), target.float())


def debias_by_anchor(frames: Tensor, anchor: int) -> Tensor:
    """sqrt(beta² + 1) · x - beta · x[anchor]: what is left of each frame without the look of one of them."""
    anchor_frame = frames[:, :, anchor : anchor + 1]
    return math.sqrt(ANCHOR_BETA**2 + 1) * frames - ANCHOR_BETA * anchor_frame


def debiased_temporal_loss(prediction: Tensor, target: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The base loss, and once more on frames freed from the look of a random anchor frame (arXiv 2310.08465).

    Args:
        prediction: Of the model, (batch, channels, frames, height, width).
        target: As `prediction`.
        generator: Draws the anchor frame, on the CPU.
    """
    anchor = int(torch.randint(prediction.shape[2], (), generator=generator))
    prediction, target = prediction.float(), target.float()
    return base_loss(prediction, target) + F.mse_loss(
        debias_by_anchor(prediction, anchor), debias_by_anchor(target, anchor)
    )
