"""Training and generation on a base of true size: what torch's allocator gives out, and how long it takes."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.true_sizes.bases import Base
from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed.architectures.encoding import encode_frames
from diffusers_motion_embed.estimate.inputs import Subject, conditioning_of
from diffusers_motion_embed.estimate.live_bytes import stored_bytes
from diffusers_motion_embed.estimate.stages import num_text_tokens
from diffusers_motion_embed.storage.files import WEIGHTS_NAME
from diffusers_motion_embed.training import TrainingConfig, TrainingProgress, train_motion_embedding
from diffusers_motion_embed.training.features import source_of, write_features
from diffusers_motion_embed.training.optimization import Optimization


PROMPT = "a red bar on a black background"
STEPS = 2


@dataclass(frozen=True)
class Measured:
    """One stage of a run.

    Args:
        stage: Its name.
        allocated: Bytes of everything but weights, at the peak.
        seconds: Of processor time.
    """

    stage: str
    allocated: int
    seconds: float


def measure(base: Base, dtype: torch.dtype) -> tuple[list[Measured], int]:
    """Every stage on the base's small clip, and the bytes of the file of the embedding that it learns."""
    pipe: Any = enable_motion_embedding(base.pipe(dtype))
    frames = np.random.default_rng(0).integers(0, 256, (*base.small, 3), dtype=np.uint8)
    stages = [_measured("VAE encoding", lambda: encode_frames(pipe, frames))]
    text: dict[str, Any] = {"prompt": PROMPT}
    with tempfile.TemporaryDirectory() as folder:
        features = None
        if base.text is None:
            features = Path(folder, "features.safetensors")
            text = _stand_in_for_text(pipe, base, frames, features)
        stages += [_training(pipe, frames, recompute, features) for recompute in (False, True)]
        pipe.save_motion_embedding(folder)
        embedding_bytes = Path(folder, WEIGHTS_NAME).stat().st_size
    size = dict(zip(("num_frames", "height", "width"), base.small, strict=True))
    settings = {"guidance_scale": 1.0, "num_inference_steps": STEPS, "output_type": "latent", **size, **text}
    generation = _measured("generation", lambda: pipe(**settings))
    given = stored_bytes([value for value in text.values() if isinstance(value, torch.Tensor)])
    return [*stages, replace(generation, allocated=generation.allocated + given)], embedding_bytes


def _stand_in_for_text(pipe: Any, base: Base, frames: np.ndarray, path: Path) -> dict[str, torch.Tensor]:
    """Write random features as those of the prompt, and give what stands for the prompt in the pipeline's call."""
    model = getattr(pipe, base.denoiser[0])
    shape = tuple(encode_frames(pipe, frames).shape[2:])
    conditioning = conditioning_of(Subject(model, shape, num_text_tokens(pipe)))
    features = torch.randn_like(conditioning.arguments["encoder_hidden_states"])
    given = replace(conditioning, arguments={**conditioning.arguments, "encoder_hidden_states": features})
    write_features(path, source_of(pipe, base.denoiser[0], [(frames, PROMPT)], None, with_frames=False), [given])
    mask = conditioning.arguments.get("encoder_attention_mask")
    return {"prompt_embeds": features, **({} if mask is None else {"prompt_attention_mask": mask})}


def _training(pipe: Any, frames: np.ndarray, recompute: bool, features: Path | None) -> Measured:
    """The second of two steps: in the first, the optimizer makes what it keeps."""
    config = TrainingConfig(max_train_steps=STEPS, gradient_accumulation_steps=1, gradient_checkpointing=recompute)
    watch, kept = _Watch(), []

    def callback(progress: TrainingProgress) -> None:
        if progress.step == 1:
            kept.append(_kept(progress.optimization))
            watch.start()
        else:
            watch.stop()

    pipe.unload_motion_embedding()
    train_motion_embedding(pipe, frames, PROMPT, config, features=features, callback=callback, progress_bar=False)
    step = watch.measured("training, recomputing" if recompute else "training")
    return replace(step, allocated=step.allocated + kept[0])


def _kept(run: Optimization) -> int:
    """Bytes that a run keeps between steps: the references, the embedding and what its optimizer knows of it."""
    given = [tensor for each in run.conditionings for tensor in each.tensors()]
    known = [value for state in run.optimizer.state.values() for value in state.values()]
    return stored_bytes([run.clips, *given, *run.parameters, *known])


def _measured(stage: str, run: Callable[[], Any]) -> Measured:
    watch = _Watch()
    watch.start()
    run()
    watch.stop()
    return watch.measured(stage)


class _Watch:
    """Notes what is allocated, and the time, from its start to its stop."""

    def __init__(self) -> None:
        self._profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
        self._seconds = 0.0

    def start(self) -> None:
        self._profile.start()
        self._seconds -= time.process_time()

    def stop(self) -> None:
        self._seconds += time.process_time()
        self._profile.stop()

    def measured(self, stage: str) -> Measured:
        events = self._profile.profiler.kineto_results.events()
        changes = np.cumsum([event.nbytes() for event in events if event.name() == "[memory]"])
        return Measured(stage, int(changes.max()), self._seconds)
