"""How a pipeline's schedule adds noise to clips, and what its model then has to predict.

A noise level is a share of the noise schedule, from 0, the clean clip, to 1, noise alone.
"""

from typing import Any, Protocol

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from diffusers_motion_embed.architectures.table import find_architecture
from diffusers_motion_embed.errors import UnsupportedModelError


class Noising(Protocol):
    """One kind of schedule."""

    def add_noise(self, latents: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Add noise to a clip.

        Args:
            latents: Clean latents, (batch, channels, frames, height, width).
            noise: Normal noise of the same shape.
            levels: Noise levels, (batch,), float64, on the CPU.

        Returns:
            The model's noisy input, its timesteps (batch,), and its target.
        """
        ...


class Diffusion:
    """Variance-preserving diffusion in steps: DDPM, DDIM and their relatives (arXiv 2006.11239).

    Args:
        alphas_cumprod: Share of the clip in the variance, by timestep.
        prediction_type: "epsilon", the noise, or "v_prediction" (arXiv 2202.00512).
    """

    def __init__(self, alphas_cumprod: Tensor, prediction_type: str) -> None:
        self.alphas_cumprod, self.prediction_type = alphas_cumprod.cpu(), prediction_type

    def add_noise(self, latents: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Noising`."""
        num_timesteps = len(self.alphas_cumprod)
        timesteps = (levels * num_timesteps).long().clamp(max=num_timesteps - 1)
        signal = _column(self.alphas_cumprod[timesteps], latents)
        timesteps = timesteps.to(latents.device)
        noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
        if self.prediction_type == "epsilon":
            return noisy, timesteps, noise
        return noisy, timesteps, signal.sqrt() * noise - (1 - signal).sqrt() * latents


class Flow:
    """Flow matching (arXiv 2210.02747): straight lines from clip to noise. The noise level is the share of noise.

    Args:
        num_train_timesteps: The timestep of pure noise.
        invert: Whether timesteps and predictions run the other way, from noise to the clip, as Mochi's do.
    """

    def __init__(self, num_train_timesteps: int, *, invert: bool = False) -> None:
        self.num_train_timesteps, self.invert = num_train_timesteps, invert

    def add_noise(self, latents: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Noising`."""
        share = _column(levels, latents)
        noisy = (1 - share) * latents + share * noise
        timesteps = (1 - levels if self.invert else levels) * self.num_train_timesteps
        return noisy, to_device(timesteps, latents.device), latents - noise if self.invert else noise - latents


class ContinuousDiffusion:
    """EDM (arXiv 2206.00364) with v-prediction, as in Stable Video Diffusion: noise of any strength σ on the clip.

    The model receives a quarter of log σ as the timestep. Levels are evenly spaced on that scale.

    Args:
        sigma_min: Noise strength σ at the end of the schedule.
        sigma_max: Noise strength σ at its beginning.
    """

    def __init__(self, sigma_min: float, sigma_max: float) -> None:
        low, high = torch.tensor([sigma_min, sigma_max], dtype=torch.float64).log()
        self.low, self.high = low.item(), high.item()

    def add_noise(self, latents: Tensor, noise: Tensor, levels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Noising`."""
        log_sigma = self.low + (self.high - self.low) * levels
        sigma = _column(log_sigma.exp(), latents)
        scale = 1 / (sigma**2 + 1).sqrt()
        noisy = scale * (latents + sigma * noise)
        return noisy, to_device(log_sigma / 4, latents.device), scale * (noise - sigma * latents)


def noising_of(scheduler: Any) -> Noising:
    """How noise is added to clips for the model of a diffusers scheduler.

    Raises:
        UnsupportedModelError: If the scheduler is of another kind than those here.
    """
    config = scheduler.config
    prediction_type = config.get("prediction_type", "epsilon")
    if "FlowMatch" in type(scheduler).__name__ or prediction_type == "flow_prediction":
        return Flow(config.num_train_timesteps, invert=config.get("invert_sigmas", False))
    if config.get("timestep_type") == "continuous" and prediction_type == "v_prediction":
        return ContinuousDiffusion(config.sigma_min or 0.002, config.sigma_max or 700.0)  # SVD's values
    if hasattr(scheduler, "alphas_cumprod") and prediction_type in ("epsilon", "v_prediction"):
        return Diffusion(scheduler.alphas_cumprod, prediction_type)
    raise UnsupportedModelError(
        f"Noise cannot be added as {type(scheduler).__name__} with prediction_type {prediction_type!r} does; "
        "supported are diffusion with prediction_type epsilon or v_prediction, and flow matching."
    )


def check_timesteps(model: ModelMixin) -> None:
    """Raise an `UnsupportedModelError` if it is not known which timesteps the model receives.

    Cosmos' pipelines scale its input and read its prediction as differently as they count noise, so a scheduler does
    not say what a model was trained on.
    """
    if find_architecture(model).timesteps is None:
        raise UnsupportedModelError(
            f"The pipelines of {type(model).__name__} count noise each in its own way, so noise cannot be added to a "
            "clip as the model knows it: there is no training and no inversion. track_motion_embedding makes an "
            "embedding without either."
        )


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """Numbers on a device, in float32 at most, because Apple's devices refuse float64."""
    return (values.float() if values.dtype == torch.float64 else values).to(device)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype).to(like.device).view(-1, *[1] * (like.ndim - 1))
