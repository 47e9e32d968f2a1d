"""Initial noise that remembers the reference: its inversion, and mixes of the inversion with fresh noise.

This is optional: an embedding works without it. Inverted noise holds the reference's layout as well as its motion.
Whoever gets it can guess at what the reference showed.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, Unpack, get_args

import torch
import torch.nn.functional as F
from diffusers.schedulers.scheduling_ddim_inverse import DDIMInverseScheduler
from diffusers.utils.torch_utils import randn_tensor
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm.auto import tqdm

from diffusers_motion_embed.adapter.registry import registry_of
from diffusers_motion_embed.architectures.bare import bare_models
from diffusers_motion_embed.architectures.checks import check_pipeline
from diffusers_motion_embed.architectures.conditioning import capture_conditioning
from diffusers_motion_embed.architectures.encoding import check_clip, check_finite, encode_frames
from diffusers_motion_embed.architectures.noising import ContinuousDiffusion, Flow, noising_of
from diffusers_motion_embed.architectures.offloading import device_of, offload_models
from diffusers_motion_embed.errors import EmbeddingFileError, EmbeddingNotFoundError, UnsupportedModelError
from diffusers_motion_embed.frames import Clip, as_frames
from diffusers_motion_embed.storage.atomic import replace_files
from diffusers_motion_embed.storage.files import NOISE_NAME
from diffusers_motion_embed.storage.hub import HubArguments, fetch_embedding
from diffusers_motion_embed.values import expanded, whole_number


NoiseMix = Literal["blend", "frequency", "frequency_blend", "low_pass"]

NOISE_KEY = "inverted_noise"


@torch.no_grad()
def invert_clip(
    pipe: Any,
    frames: Clip,
    prompt: str = "",
    *,
    num_inference_steps: int = 50,
    call_arguments: Mapping[str, Any] | None = None,
    progress_bar: bool = True,
) -> Tensor:
    """The noise from which the model alone, without guidance, would draw the clip.

    This is DDIM inversion (arXiv 2010.02502). For models trained by flow matching, the flow is followed backwards.

    Active motion embeddings take no part in it.

    Args:
        pipe: A video pipeline. If it has two models, the one for high noise is used.
        frames: The clip, in any form that `train_motion_embedding` takes.
        prompt: A prompt for the inversion; the paper's has none.
        num_inference_steps: Number of steps of the inversion.
        call_arguments: Further arguments for the pipeline's call, as for `train_motion_embedding`.
        progress_bar: Whether to show one.

    Returns:
        Latents, (1, channels, frames, height, width), float32 on the CPU. `pipeline_latents` arranges them for the
        pipeline's call. Frames that the pipeline gives its model without noise, such as the first, are those of the
        clip.

    Raises:
        UnsupportedModelError: If the pipeline has no model that takes motion embeddings, no VAE or no scheduler, has
            another kind of schedule, counts noise in a way of its own, is spread over devices, or gives its model the
            first frame among noisy ones.
        VideoError: If the clip is of the wrong kind or size.
        NotFiniteError: If the VAE or the model produces infinite numbers or NaN.
    """
    frames, num_inference_steps = as_frames(frames), whole_number("num_inference_steps", num_inference_steps, 1)
    component, model = check_pipeline(pipe, purpose="inverted")
    noising = noising_of(pipe.scheduler)
    if isinstance(noising, ContinuousDiffusion):
        raise UnsupportedModelError(
            f"{type(pipe.scheduler).__name__} has no inversion here; use DDIM or flow matching."
        )
    check_clip(pipe, frames, model)
    device = device_of(pipe, model)
    clean = encode_frames(pipe, frames).to(device, model.dtype)
    conditioning = capture_conditioning(pipe, component, frames, prompt, call_arguments)
    given = conditioning.given_frames(clean.shape[2])[:, None, None]  # which the model is told are clean
    offload_models(pipe)
    latents, steps = clean, _flow_steps if isinstance(noising, Flow) else _diffusion_steps
    with (
        bare_models(pipe),
        registry_of(model).silenced(),
        tqdm(total=num_inference_steps, desc="inversion", disable=not progress_bar) as bar,
    ):
        for timestep, step in steps(pipe.scheduler, num_inference_steps):
            timesteps = torch.as_tensor(timestep, device=device).reshape(1)
            prediction = conditioning.prediction(model(**conditioning.inputs(latents, timesteps)), latents)
            latents = torch.where(given, clean, step(prediction, latents))
            bar.update()
    offload_models(pipe)
    check_finite(latents, f"{type(model).__name__} in {model.dtype}")
    return latents.float().cpu()


Step = Callable[[Tensor, Tensor], Tensor]


def _diffusion_steps(scheduler: Any, num_inference_steps: int) -> Iterator[tuple[Tensor, Step]]:
    # As in DDIMScheduler. An inversion clips nothing, because clipping could not be undone.
    known = inspect.signature(DDIMInverseScheduler.__init__).parameters
    settings = {name: value for name, value in scheduler.config.items() if name in known}
    spacing = "trailing" if settings.get("timestep_spacing") == "trailing" else "leading"  # there is no other
    inverse = DDIMInverseScheduler(**{**settings, "timestep_spacing": spacing, "clip_sample": False})
    inverse.alphas_cumprod = scheduler.alphas_cumprod.float()  # CogVideoX's schedulers make their own, in float64
    inverse.set_timesteps(num_inference_steps)
    for timestep in inverse.timesteps:
        yield timestep, partial(_diffusion_step, inverse, timestep)


def _diffusion_step(scheduler: Any, timestep: Tensor, prediction: Tensor, latents: Tensor) -> Tensor:
    return scheduler.step(prediction, timestep, latents).prev_sample


def _flow_steps(scheduler: Any, num_inference_steps: int) -> Iterator[tuple[float, Step]]:
    """Euler steps along the flow from clip to noise, at even noise levels that the scheduler's shift moves.

    A pipeline that shifts by the size of the clip, or has a schedule of its own, generates at other levels, along the
    same flow: the more steps, the less it matters.
    """
    config = scheduler.config
    sign = -1.0 if config.get("invert_sigmas", False) else 1.0
    shift = config.get("shift", 1.0) if "FlowMatch" in type(scheduler).__name__ else config.get("flow_shift", 1.0)
    even = torch.linspace(0, 1, num_inference_steps + 1)
    levels = shift * even / (1 + (shift - 1) * even)
    for low, high in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        share = 1 - high if sign < 0 else high
        yield share * config.num_train_timesteps, partial(_flow_step, sign * (high - low))


def _flow_step(size: float, prediction: Tensor, latents: Tensor) -> Tensor:
    return latents + size * prediction


def mix_noise(
    inverted_noise: Tensor,
    mix: NoiseMix = "blend",
    *,
    share: float = 0.5,
    factor: int = 4,
    cutoff: float = 0.25,
    num_videos: int = 1,
    generator: torch.Generator | list[torch.Generator] | None = None,
) -> Tensor:
    """Initial noise from inverted noise z and fresh noise n. `pipeline_latents` arranges it for a pipeline's call.

    Args:
        inverted_noise: (1, channels, frames, height, width).
        mix: "blend" is √share·z + √(1 - share)·n (arXiv 2403.20193, and its code). "frequency" takes the low spatial
            frequencies of z and the high ones of n. "frequency_blend" takes √share of that and √(1 - share) of fresh
            noise. "low_pass" takes the low frequencies of z in time and space and the high ones of n, by a Gaussian
            filter of their Fourier transforms, as FreeInit does (arXiv 2312.07537).
        share: Share of the variance that comes from z.
        factor: Factor by which "frequency" shrinks pictures and enlarges them again to keep only low frequencies.
        cutoff: Width of the filter of "low_pass", as a share of the highest frequency.
        num_videos: How many to draw.
        generator: Generator for the fresh noise, as for a pipeline.

    Returns:
        (num_videos, channels, frames, height, width), with the dtype and device of `inverted_noise`.

    Raises:
        ValueError: If an argument has an invalid value.
    """
    if mix not in get_args(NoiseMix):
        raise ValueError(f"mix must be one of {', '.join(get_args(NoiseMix))}; got {mix!r}.")
    num_videos, factor = whole_number("num_videos", num_videos, 1), whole_number("factor", factor, 1)
    if not 0 <= share <= 1 or not cutoff > 0:
        raise ValueError(f"share must lie within 0 and 1, and cutoff be positive; got {share}, {cutoff}.")
    _check_noise(inverted_noise)
    if mix.startswith("frequency") and factor > min(inverted_noise.shape[-2:]):
        raise ValueError(f"factor {factor} leaves nothing of noise of {tuple(inverted_noise.shape[-2:])} positions.")

    def fresh() -> Tensor:
        shape = (num_videos, *inverted_noise.shape[1:])
        return randn_tensor(shape, generator, inverted_noise.device, inverted_noise.dtype)

    noise = fresh()
    if mix == "blend":
        return share**0.5 * inverted_noise + (1 - share) ** 0.5 * noise
    if mix == "low_pass":
        return _low_pass(inverted_noise, cutoff) + noise - _low_pass(noise, cutoff)
    mixed = _low_frequencies(inverted_noise, factor) + noise - _low_frequencies(noise, factor)
    return mixed if mix == "frequency" else share**0.5 * mixed + (1 - share) ** 0.5 * fresh()


def save_inverted_noise(save_directory: str | Path, inverted_noise: Tensor) -> Path:
    """Keep inverted noise beside an embedding. It is uploaded only on request.

    Args:
        save_directory: Folder of the embedding; it is created if needed.
        inverted_noise: Noise from `invert_clip`, (1, channels, frames, height, width).

    Returns:
        Path of the file.

    Raises:
        ValueError: If the shape is another, or the noise holds infinite numbers or NaN. Nothing is written then.
    """
    _check_noise(inverted_noise)
    folder = expanded(save_directory)
    folder.mkdir(parents=True, exist_ok=True)
    replace_files(folder, {NOISE_NAME: save({NOISE_KEY: inverted_noise.detach().cpu().contiguous()})})
    return folder / NOISE_NAME


def load_inverted_noise(pretrained_model_name_or_path: str | Path, **hub_arguments: Unpack[HubArguments]) -> Tensor:
    """Read inverted noise from an embedding's folder or repository.

    Args:
        pretrained_model_name_or_path: A folder, or the id of a repository, "user/name".
        **hub_arguments: Further location of the noise, as in `load_motion_embedding`. `weight_name` is by default the
            name under which `save_inverted_noise` keeps it.

    Returns:
        (1, channels, frames, height, width), float32.

    Raises:
        EmbeddingNotFoundError: If there is none.
        EmbeddingAccessError: If the repository is gated and access was not granted.
        EmbeddingDownloadError: If the Hub cannot be reached, or the download fails.
        EmbeddingFileError: If the file is damaged or is not inverted noise of one clip.
        TypeError: If an argument is unknown.
        ValueError: If `weight_name` or `subfolder` points outside the folder.
    """
    hub_arguments.setdefault("weight_name", NOISE_NAME)
    path = fetch_embedding(pretrained_model_name_or_path, with_config=False, **hub_arguments)
    if not path.is_file():
        raise EmbeddingNotFoundError(f"There is no {path}: the noise is stored on request only.")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise EmbeddingFileError(f"{path} cannot be read ({error}).") from error
    noise = tensors.get(NOISE_KEY)
    if noise is None or not _is_noise(noise):
        raise EmbeddingFileError(f"{path} holds no inverted noise; expected finite floats, (1, c, f, h, w).")
    return noise.float()


def _is_noise(tensor: Tensor) -> bool:
    return tensor.ndim == 5 and len(tensor) == 1 and tensor.is_floating_point() and bool(tensor.isfinite().all())


def _check_noise(noise: Any) -> None:
    if not isinstance(noise, Tensor) or not _is_noise(noise):
        got = f"{noise.dtype} {tuple(noise.shape)}" if isinstance(noise, Tensor) else type(noise).__name__
        raise ValueError(
            "inverted_noise must hold finite floats, (1, channels, frames, height, width), as from invert_clip; "
            f"got {got}."
        )


def _low_frequencies(clips: Tensor, factor: int) -> Tensor:
    frames = clips.transpose(1, 2).flatten(0, 1).float()  # on the CPU, half precision is not resized smoothly
    height, width = frames.shape[-2:]
    small = F.interpolate(frames, size=(height // factor, width // factor), mode="bilinear", antialias=True)
    large = F.interpolate(small, size=(height, width), mode="bilinear")
    return large.unflatten(0, (len(clips), -1)).transpose(1, 2).to(clips.dtype)


def _low_pass(clips: Tensor, cutoff: float) -> Tensor:
    axes = (-3, -2, -1)
    highest = 0.5  # cycles per frame or latent pixel
    squares = [torch.fft.fftfreq(clips.shape[axis], device=clips.device).div(highest).square() for axis in axes]
    distance = squares[0][:, None, None] + squares[1][:, None] + squares[2]
    window = torch.exp(-distance / (2 * cutoff**2))
    return torch.fft.ifftn(torch.fft.fftn(clips.float(), dim=axes) * window, dim=axes).real.to(clips.dtype)
