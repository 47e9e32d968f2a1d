"""What the tests know of a family of pipelines: how to make a tiny one, how its users call it, what its VAE does."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Family:
    """One pipeline.

    Args:
        make: Builds it.
        clip: Frames, height and width of clips that it takes.
        wrong_clips: And of such as it cannot take.
        frames_argument: Name of the call's argument that is the number of frames.
        takes: What else the call wants of the clip and of its caption: "prompt", "image", "video".
        plain: Arguments that switch guidance off.
        settings: Further arguments of the call, the same for training as for generation.
        normalise: From what the VAE makes of a clip to the latents that the model sees.
        frame_by_frame: Whether its VAE sees single frames.
        gives_first_frame: Whether the first of the noisy frames is without noise.
        drawn_axes: Axes of the noise that the pipeline draws: b batch, c channels, f frames, h height, w width.
        drawn_before: What the pipeline draws before, by the same generator: "pixels" or "latents" of one picture.
        draws_always: Whether it draws noise also where it is given some.
        rounds: Whether its attention rounds queries and keys to bfloat16, also in a model of float32.
        component: The model.
    """

    make: Callable[[], Any]
    normalise: Callable[[Any, torch.Tensor], torch.Tensor]
    clip: tuple[int, int, int] = (9, 16, 32)
    wrong_clips: tuple[tuple[int, int, int], ...] = ((8, 16, 32), (9, 12, 32), (9, 16, 36))
    frames_argument: str = "num_frames"
    takes: tuple[str, ...] = ("prompt",)
    plain: dict[str, float] = field(default_factory=lambda: {"guidance_scale": 1.0})
    settings: dict[str, Any] = field(default_factory=dict)
    frame_by_frame: bool = False
    gives_first_frame: bool = False
    drawn_axes: str = "bcfhw"
    drawn_before: str | None = None
    draws_always: bool = False
    rounds: bool = False
    component: str = "transformer"

    def frames(self, seed: int = 0, shape: tuple[int, int, int] | None = None) -> np.ndarray:
        """A clip of noise, (frames, height, width, 3), uint8."""
        return np.random.default_rng(seed).integers(0, 256, (*(shape or self.clip), 3), dtype=np.uint8)

    def arguments(self, frames: np.ndarray, prompt: str = "a red circle", **changes: Any) -> dict[str, Any]:
        """Of the pipeline's call for a clip like `frames`, in two steps and without guidance."""
        pictures = [Image.fromarray(frame) for frame in frames]
        given = {"prompt": prompt, "image": pictures[0], "video": pictures}
        sizes = {self.frames_argument: len(frames), "height": frames.shape[1], "width": frames.shape[2]}
        return {
            **{name: given[name] for name in self.takes},
            **{name: value for name, value in sizes.items() if name},
            **self.plain,
            **self.settings,
            "num_inference_steps": 2,
            "output_type": "latent",
            "generator": torch.Generator().manual_seed(0),
            **changes,
        }

    def generate(self, pipe: Any, **changes: Any) -> torch.Tensor:
        """Latents of a clip."""
        torch.manual_seed(0)  # for pipelines that draw without their generator
        return pipe(**self.arguments(self.frames(), **changes))[0]


def scaled(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Of VAEs with one factor."""
    return latents * vae.config.scaling_factor


def standardised(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Of VAEs with mean and standard deviation of every channel in their settings."""
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1) for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    return (latents - mean) / std


def standardised_by_buffers(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """Of LTX's VAE, which learned them."""
    mean, std = (values.view(1, -1, 1, 1, 1) for values in (vae.latents_mean, vae.latents_std))
    return (latents - mean) * vae.config.scaling_factor / std
