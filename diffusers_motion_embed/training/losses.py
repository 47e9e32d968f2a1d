"""Losses: from predictions and targets, (batch, channels, frames, height, width), to a scalar, and nothing else.

A new loss is a function here, an entry in `LOSSES`, and a name in `training.config.Loss`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


# Weight of the anchor frame in the debiased loss, sqrt(beta² + 1) and beta, with beta = 1 as in MotionDirector (arXiv
# 2310.08465), the source of the loss in arXiv 2403.20193.
ANCHOR_BETA = 1.0


def base_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the denoising prediction, in float32 (arXiv 2403.20193)."""
    return F.mse_loss(prediction.float(), target.float())


def centered_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """The base loss of what is left of the error without its mean over all frames.

    What all frames share is look rather than motion, and is not learned. Where the mean is motion too, as in a zoom
    that only goes on, it is lost.

    Args:
        prediction: The base model's prediction, (batch, channels, frames, height, width), at least two frames.
        target: What the model should predict, of the same shape.
    """
    error = prediction.float() - target.float()
    return (error - error.mean(dim=2, keepdim=True)).square().mean()


def debias_by_anchor(frames: Tensor, anchors: Tensor) -> Tensor:
    """sqrt(beta² + 1) · x - beta · x[anchor]: what is left of each frame without the look of one of them.

    Args:
        frames: (batch, channels, frames, height, width).
        anchors: One frame number for each of the batch, (batch,), int64.
    """
    chosen = frames[torch.arange(len(frames), device=frames.device), :, anchors.to(frames.device)]
    return math.sqrt(ANCHOR_BETA**2 + 1) * frames - ANCHOR_BETA * chosen.unsqueeze(2)


def debiased_temporal_loss(prediction: Tensor, target: Tensor, anchors: Tensor) -> Tensor:
    """The base loss plus the same loss on frames freed from the look of an anchor frame (arXiv 2310.08465).

    Args:
        prediction: The base model's prediction, (batch, channels, frames, height, width).
        target: What the model should predict, of the same shape.
        anchors: Numbers of the anchor frames, (batch,), int64.
    """
    prediction, target = prediction.float(), target.float()
    return base_loss(prediction, target) + F.mse_loss(
        debias_by_anchor(prediction, anchors), debias_by_anchor(target, anchors)
    )


def motion_distillation_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """1 - cos of what changes from each frame to the next, averaged over frames and batch (VMC, arXiv 2312.00845).

    The change of a frame, over all channels and positions, is one vector. Its length does not count.

    Args:
        prediction: The base model's prediction, (batch, channels, frames, height, width), at least two frames.
        target: What the model should predict, of the same shape.
    """
    changes = [frames.float().diff(dim=2).transpose(1, 2).flatten(2) for frames in (prediction, target)]
    return 1 - F.cosine_similarity(changes[0], changes[1], dim=-1).mean()


@dataclass(frozen=True)
class LossEntry:
    """A loss to train with, and what it needs.

    Args:
        function: The loss of a prediction and a target, and of anchor frames if it takes them.
        takes_anchors: Whether it takes the number of a random frame of each clip, (batch,), int64.
        least_frames: How many frames the latents must have.
        trains_spatial_lora: Whether a LoRA on the spatial layers is trained with it to learn how single frames look.
    """

    function: Callable[..., Tensor]
    takes_anchors: bool = False
    least_frames: int = 1
    trains_spatial_lora: bool = False


LOSSES = {
    "base": LossEntry(base_loss),
    "centered": LossEntry(centered_loss, least_frames=2),
    "debiased_temporal": LossEntry(debiased_temporal_loss, takes_anchors=True),
    "debiased_hybrid": LossEntry(debiased_temporal_loss, takes_anchors=True, trains_spatial_lora=True),
    "motion_distillation": LossEntry(motion_distillation_loss, least_frames=2),
}
