"""Losses from predictions and targets, (batch, channels, frames, height, width), to a scalar, and their table."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


# Weight of the anchor frame in the debiased loss, sqrt(beta² + 1) and beta, with beta = 1 as in MotionDirector
# (arXiv 2310.08465), from where arXiv 2403.20193 takes the loss.
ANCHOR_BETA = 1.0


def base_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the denoising prediction, in float32 (arXiv 2403.20193)."""
    return F.mse_loss(prediction.float(), target.float())


def debias_by_anchor(frames: Tensor, anchors: Tensor) -> Tensor:
    """sqrt(beta² + 1) · x - beta · x[anchor]: what is left of each frame without the look of one of them.

    Args:
        frames: (batch, channels, frames, height, width).
        anchors: One frame number for each of the batch, (batch,), int64.
    """
    chosen = frames[torch.arange(len(frames), device=frames.device), :, anchors.to(frames.device)]
    return math.sqrt(ANCHOR_BETA**2 + 1) * frames - ANCHOR_BETA * chosen.unsqueeze(2)


def debiased_temporal_loss(prediction: Tensor, target: Tensor, anchors: Tensor) -> Tensor:
    """The base loss, and once more on frames freed from the look of an anchor frame (arXiv 2310.08465).

    Args:
        prediction: Of the model, (batch, channels, frames, height, width).
        target: As `prediction`.
        anchors: Numbers of the anchor frames, (batch,), int64.
    """
    prediction, target = prediction.float(), target.float()
    return base_loss(prediction, target) + F.mse_loss(
        debias_by_anchor(prediction, anchors), debias_by_anchor(target, anchors)
    )


def motion_distillation_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """1 - cos of what changes from each frame to the next, averaged over frames and batch (VMC, arXiv 2312.00845).

    A frame's change, of all channels and positions, is one vector. How large it is does not count.

    Args:
        prediction: Of the model, (batch, channels, frames, height, width), at least two frames.
        target: As `prediction`.
    """
    changes = [frames.float().diff(dim=2).transpose(1, 2).flatten(2) for frames in (prediction, target)]
    return 1 - F.cosine_similarity(*changes, dim=-1).mean()


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A loss that can be trained with, and what it needs.

    Args:
        function: From prediction and target to a scalar.
        needs_anchors: Whether the function also takes the number of one frame for each clip, (batch,), int64.
        needs_spatial_lora: Whether a LoRA on the spatial layers is trained on single frames besides.
        least_frames: Frames that a clip must have.
    """

    function: Callable[..., Tensor]
    needs_anchors: bool = False
    needs_spatial_lora: bool = False
    least_frames: int = 1


LOSSES = {
    "base": Loss(function=base_loss),
    "debiased_temporal": Loss(function=debiased_temporal_loss, needs_anchors=True),
    "debiased_hybrid": Loss(function=debiased_temporal_loss, needs_anchors=True, needs_spatial_lora=True),
    "motion_distillation": Loss(function=motion_distillation_loss, least_frames=2),
}
