"""DMT, space-time features for text-driven motion transfer (arXiv 2311.17009): guidance without training.

Features of a layer, averaged over positions ("spatial marginal mean", its section 4.1), are compared between all pairs
of frames; in the first part of the denoising the noisy clip is moved until these differences are those of the
reference (its section 4.2). It begins with the low frequencies of the reference's inverted noise. Simplified: the
reference at a noise level is the clip mixed with its inverted noise, where the paper keeps the whole path of the
inversion; and the gradient steps, of a length that the size of the noisy clip sets, were chosen for the tiny models.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.peers.generation import NoisePrior, inverted_noise
from benchmarks.peers.method import Reference, Transfer
from benchmarks.peers.training import denoiser, only_trained
from benchmarks.tiny_world.pipelines import GENERATION
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.architectures.conditioning import Conditioning, capture_conditioning
from diffusers_motion_embed.architectures.encoding import encode_frames


@dataclass(frozen=True)
class SpaceTimeFeatures:
    """A `Method` for UNets with a DDIM scheduler.

    Args:
        layer: Path of the block whose output is compared.
        until: Share of the noise schedule until which the clip is guided.
        num_gradient_steps: At each denoising step.
        step_size: Length of a gradient step, as a share of the noisy clip's norm.
        prior: Of the initial noise.
    """

    layer: str = "up_blocks.0"
    until: float = 0.5
    num_gradient_steps: int = 10
    step_size: float = 0.02
    prior: NoisePrior = field(default_factory=lambda: NoisePrior("frequency"))

    @contextlib.contextmanager
    def learn(self, pipe: Any, reference: Reference, num_samples: int, seed: int) -> Iterator[Transfer]:
        """See `Method`."""
        component, model = denoiser(pipe)
        if not hasattr(pipe, "decode_latents") or not hasattr(pipe.scheduler, "alphas_cumprod"):
            raise ValueError(f"DMT is built here for UNets with a DDIM scheduler, not for {type(pipe).__name__}.")
        latents, inverted = encode_frames(pipe, reference.frames), inverted_noise(pipe, reference)

        def conditioning(prompt: str) -> Conditioning:
            return capture_conditioning(pipe, component, reference.frames, prompt)

        def generate(prompts: list[str], seeds: list[int]) -> np.ndarray:
            clips = []
            for prompt, clip_seed in tqdm(list(zip(prompts, seeds, strict=True)), "guided clips", leave=False):
                conditionings = conditioning(prompt), conditioning(""), conditioning(reference.prompt)
                noise = self.prior.latents(inverted, [clip_seed])
                with only_trained(model, {}):
                    clips.append(self._denoise(pipe, model, conditionings, latents, inverted, noise))
            return np.concatenate(clips)

        yield Transfer(generate, 4 * (latents.numel() + inverted.numel()))

    def _denoise(
        self,
        pipe: Any,
        model: nn.Module,
        conditionings: tuple[Conditioning, Conditioning, Conditioning],
        reference: Tensor,
        inverted: Tensor,
        noisy: Tensor,
    ) -> np.ndarray:
        prompted, empty, described = conditionings
        scheduler, architecture = pipe.scheduler, find_architecture(model)
        scheduler.set_timesteps(GENERATION["num_inference_steps"])
        for timestep in scheduler.timesteps:
            timesteps = timestep.reshape(1)
            if architecture.share_done(timestep) < self.until:
                with torch.no_grad():
                    noisy_reference = scheduler.add_noise(reference, inverted, timesteps)
                    wanted = differences(self._features(model, described, noisy_reference, timesteps))
                noisy = self._guide(model, prompted, noisy, timesteps, wanted)
            with torch.no_grad():
                with_prompt, without = (
                    each.prediction(model(**each.inputs(noisy, timesteps)), noisy) for each in (prompted, empty)
                )
                prediction = without + GENERATION["guidance_scale"] * (with_prompt - without)
                noisy = scheduler.step(prediction, timestep, noisy).prev_sample
        with torch.no_grad():
            video = pipe.decode_latents(noisy)
        clips = pipe.video_processor.postprocess_video(video=video, output_type="np")
        return (np.asarray(clips) * 255).round().astype(np.uint8)

    def _guide(
        self, model: nn.Module, conditioning: Conditioning, noisy: Tensor, timesteps: Tensor, wanted: Tensor
    ) -> Tensor:
        """The noisy clip after gradient steps towards the wanted differences."""
        for _ in range(self.num_gradient_steps):
            noisy = noisy.detach().requires_grad_(True)
            found = differences(self._features(model, conditioning, noisy, timesteps))
            (gradient,) = torch.autograd.grad((found - wanted).square().sum(), noisy)
            noisy = noisy - self.step_size * noisy.norm() * gradient / gradient.norm().clamp(min=1e-12)
        return noisy.detach()

    def _features(self, model: nn.Module, conditioning: Conditioning, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """Features of the layer, (frames, channels, height, width)."""
        seen = []
        hook = model.get_submodule(self.layer).register_forward_hook(lambda module, args, output: seen.append(output))
        try:
            model(**conditioning.inputs(noisy, timesteps))
        finally:
            hook.remove()
        return seen[0]


def differences(features: Tensor) -> Tensor:
    """Differences of the features' spatial means between all pairs of frames.

    Args:
        features: (frames, channels, height, width).

    Returns:
        (frames, frames, channels).
    """
    means = features.mean((2, 3))
    return means[:, None] - means[None]
