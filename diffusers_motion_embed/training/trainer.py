"""Learning a motion embedding from reference clips of one motion."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers.models.modeling_utils import ModelMixin
from tqdm.auto import tqdm

from diffusers_motion_embed.adapter.registry import check_new_name, in_training
from diffusers_motion_embed.adapter.selection import select_layers
from diffusers_motion_embed.architectures import find_architecture, noise_levels, supported_models
from diffusers_motion_embed.architectures.bare import bare_models
from diffusers_motion_embed.architectures.checks import check_pipeline
from diffusers_motion_embed.architectures.conditioning import Conditioning, capture_conditioning, seeded
from diffusers_motion_embed.architectures.encoding import encode_frames
from diffusers_motion_embed.architectures.noising import noising_of
from diffusers_motion_embed.architectures.offloading import Placed, kept_on_device
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.frames import Clip, as_clips
from diffusers_motion_embed.functional import Debias
from diffusers_motion_embed.loaders import LoadReport
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import write_embedding
from diffusers_motion_embed.training.checkpoints import CheckpointConfig, read_state, tidy, write_state
from diffusers_motion_embed.training.checks import as_prompts, check_loss, check_options, check_references
from diffusers_motion_embed.training.config import TrainingConfig
from diffusers_motion_embed.training.features import kept_features, source_of
from diffusers_motion_embed.training.following import follow
from diffusers_motion_embed.training.guard import Guard
from diffusers_motion_embed.training.losses import LOSSES
from diffusers_motion_embed.training.optimization import Optimization
from diffusers_motion_embed.training.preparation import begin_with, complete_config, new_embedding
from diffusers_motion_embed.training.recipes import EmbeddingOptions, Motion, Options, component_of, settings_for
from diffusers_motion_embed.training.recompute import recomputation, streamed_layers
from diffusers_motion_embed.training.spatial_lora import add_spatial_lora, remove_spatial_lora, save_spatial_lora
from diffusers_motion_embed.values import expanded


LOGGING_STEPS = 10


@dataclass(frozen=True)
class TrainingProgress:
    """What a callback learns after every step.

    Args:
        step: Steps done, from 1.
        max_train_steps: Steps of the whole run.
        guard: What watches the run.
        checkpoints: Where checkpoints are saved; None if nowhere.
        config: Settings of the embedding.
    """

    step: int
    max_train_steps: int
    guard: Guard
    checkpoints: CheckpointConfig | None
    config: MotionEmbeddingConfig

    @property
    def optimization(self) -> Optimization:
        """The state of the run."""
        return self.guard.run

    def logs(self) -> dict[str, float]:
        """Figures of the last steps, ten at most, see `Optimization.logs`. Reading them waits for the device.

        At every tenth step, "probe_loss" is the loss on samples that are never trained on. A run that got worse goes
        back, see `Guard`; "loss" is then that of the embedding that it went back to.
        """
        figures, looks = self.guard.logs(), dict(self.guard.losses)
        return figures | ({"probe_loss": looks[self.step]} if self.step in looks else {})

    @property
    def probe_losses(self) -> list[tuple[int, float]]:
        """Steps and losses on samples that are never trained on, before the first step and at every tenth since."""
        return list(self.guard.losses)

    def save_checkpoint(self) -> Path:
        """Save a checkpoint. Its folder is also an embedding that can be loaded.

        Returns:
            Its folder.

        Raises:
            ValueError: If the run has no `CheckpointConfig`.
            TrainingDivergedError: If the loss or the embedding is not finite.
        """
        if self.checkpoints is None:
            raise ValueError("There is nowhere to save checkpoints: give train_motion_embedding a CheckpointConfig.")
        self.logs()
        folder = self.checkpoints.folder(self.step)
        write_embedding(folder, Embedding(self.config, self.optimization.tensors))
        write_state(folder, *self.guard.state())
        tidy(folder.parent, self.checkpoints.checkpoints_total_limit)
        return folder


def train_motion_embedding(
    pipe: Any,
    frames: Clip | Sequence[Clip],
    prompt: str | Sequence[str] | None,
    config: Options | None = None,
    *,
    embedding_config: EmbeddingOptions | None = None,
    motion: Motion = "object",
    adapter_name: str = "default",
    call_arguments: Mapping[str, Any] | None = None,
    checkpoints: CheckpointConfig | None = None,
    spatial_lora_directory: str | Path | None = None,
    features: str | Path | None = None,
    callback: Callable[[TrainingProgress], None] | None = None,
    accelerator: Any = None,
    progress_bar: bool = True,
) -> LoadReport:
    """Learn the motion of a clip. The embedding is loaded on the pipeline afterwards, as the only active one.

    Args:
        pipe: A video pipeline, or a modular one, whose model takes motion embeddings. Its weights do not change. A
            pipeline that begins with a picture gets the first frame. Compilation and caches are left out while it
            trains.
        frames: The reference clip: an array or a tensor, (frames, height, width, 3) or (frames, 3, height, width),
            uint8 from 0 to 255 or floats from 0 to 1 or -1 to 1; a list of PIL images, arrays or tensors; or a path,
            whose frames are all used. It can also be a list of several clips of the same motion, all of one shape.
        prompt: What the clip shows. What it names need not be learned. Give one prompt for each clip; None for a
            pipeline that takes none.
        config: Options of the run; by default those of the recipe for the model's class, see `default_recipe`. A
            dictionary, such as `{"max_train_steps": 200}`, says what differs from the recipe. A `TrainingConfig`
            replaces all of the recipe's options.
        embedding_config: Layers, parts and grids, in the same two ways. Frames and sizes are filled in from the clip.
            For a pipeline with two models, such as Wan 2.2's, `component` says which one is trained; by default the
            first.
        motion: What moves in the clip, "object" or "camera". It chooses the recipe, so "camera" goes with dictionaries
            only.
        adapter_name: Name under which the embedding is loaded.
        call_arguments: Further arguments for the pipeline's call, such as `max_sequence_length` or a control clip. The
            pipeline is called once for each clip, up to its first call of the model, to see what it gives the model.
        checkpoints: When and where the run is saved, and where it resumes.
        spatial_lora_directory: Folder for the LoRA of the loss "debiased_hybrid"; by default the LoRA is dropped.
        features: A safetensors file for what the pipeline gives its model with the references, such as text features.
            It is read if it exists, and the pipeline may then lack its text encoders; otherwise it is written.
        callback: Called after every step. An exception from it ends the run and takes the embedding off.
        accelerator: The `Accelerator` of accelerate. Its processes share the samples of every step and end with the
            same embedding. None trains in this process alone.
        progress_bar: Whether to show one.

    Returns:
        A report of what was loaded.

    Raises:
        UnsupportedModelError: If the pipeline cannot be trained this way.
        ValueError: If a prompt is missing, or options contradict each other.
        TypeError: If there is no option or setting of a name.
        VideoError: If a clip is not a video, has a size that the pipeline cannot take, or does not show the motion
            that is to be followed.
        NotFiniteError: If the VAE produces infinite numbers or NaN.
        AdapterNameError: If `adapter_name` is empty or in use, or the model has motion embeddings through PEFT.
        TargetModulesError: If `embedding_config` asks for no layer.
        FeaturesError: If `features` is damaged or of other prompts, sizes or arguments, or cannot hold what is given.
        CheckpointError: If the checkpoint to resume from is missing, damaged, or from another run.
        TrainingDivergedError: If the loss becomes infinite or NaN; the embedding is then taken off again.
        ImportError: If the motion is to be followed, and OpenCV is missing.
    """
    clips = as_clips(frames)
    prompts = as_prompts(prompt)
    component, model = check_pipeline(pipe, component_of(embedding_config))
    check_new_name(model, adapter_name)
    config, embedding_config = settings_for(model, config, embedding_config, motion)
    check_references(pipe, model, clips, prompts)
    check_options(model, config, embedding_config, clips, call_arguments or {}, spatial_lora_directory, accelerator)
    config = _at_levels_of(pipe, component, config)
    resumed = checkpoints.find() if checkpoints else None
    state = read_state(resumed) if resumed else None
    followed = None
    if config.tracked_start and state is None:
        is_main = accelerator is None or accelerator.is_main_process
        followed = follow(clips, embedding_config.position_grid, progress_bar and is_main)
    features_path = expanded(features) if features is not None else None
    with bare_models(pipe):
        reference = _Reference.of(pipe, component, clips, prompts, config, call_arguments, features_path)
        with kept_on_device(pipe, model, streamed_layers(model, config)) as placed:
            embedding = _prepare(embedding_config, config, pipe, component, clips, prompts, reference)
            with _attach(pipe, model, adapter_name, embedding, config, spatial_lora_directory, placed) as spatial:
                noising, through = noising_of(pipe.scheduler), _debias_of(config, embedding.config)
                learned = embedding.tensors, spatial, config
                run = Optimization(model, noising, *reference, *learned, accelerator, through)
                guard = Guard(run)
                if state is not None:
                    guard.load_state(*state)
                elif followed is not None:
                    begin_with(embedding, model, followed)
                _run(guard, checkpoints, embedding.config, callback, progress_bar)
    trained = embedding.config
    return LoadReport(adapter_name, (component,), embedding.num_layers, trained.num_frames, trained.debias, prompts[0])


class _Reference(NamedTuple):
    """The training data: latents, (clips, channels, frames, height, width), and what the model gets with them."""

    latents: torch.Tensor
    conditionings: list[Conditioning]
    frame_conditionings: list[Conditioning]

    @classmethod
    def of(
        cls,
        pipe: Any,
        component: str,
        clips: list[np.ndarray],
        prompts: list[str | None],
        config: TrainingConfig,
        call_arguments: Mapping[str, Any] | None,
        features: Path | None,
    ) -> "_Reference":
        shown = _with_negatives(clips, prompts) if config.color_negative else list(zip(clips, prompts, strict=True))
        latents = torch.cat([encode_frames(pipe, clip) for clip, _ in shown])
        with_frames = LOSSES[config.loss].trains_spatial_lora
        lengths = (None, 1) if with_frames else (None,)

        def capture() -> list[Conditioning]:
            return [
                capture_conditioning(pipe, component, clip[:length], text, call_arguments)
                for length in lengths
                for clip, text in shown
            ]

        if features is None:
            found = capture()
        else:
            source = source_of(pipe, component, shown, call_arguments, with_frames)
            found = kept_features(features, source, supported_models(pipe)[component], latents.device, capture)
        for number, conditioning in enumerate(found):
            conditioning.check_size(latents[:, :, : lengths[number // len(shown)]])
        return cls(latents, found[: len(shown)], found[len(shown) :])


def _prepare(
    embedding_config: MotionEmbeddingConfig,
    config: TrainingConfig,
    pipe: Any,
    component: str,
    clips: list[np.ndarray],
    prompts: list[str | None],
    reference: _Reference,
) -> Embedding:
    """The embedding before its first step."""
    check_loss(config.loss, reference.latents.shape[2])
    model = supported_models(pipe)[component]
    completed = complete_config(
        embedding_config, config.timestep_range, pipe, component, clips[0].shape, reference.latents.shape
    )
    completed.training = {"prompt": prompts[0] if len(prompts) == 1 else prompts, **asdict(config)}
    completed.target_modules = select_layers(model, completed)
    return Embedding(completed, new_embedding(model, completed, completed.target_modules, reference.latents.device))


@contextlib.contextmanager
def _attach(
    pipe: Any,
    model: ModelMixin,
    adapter_name: str,
    embedding: Embedding,
    config: TrainingConfig,
    spatial_lora_directory: str | Path | None,
    placed: Placed,
) -> Iterator[dict[str, torch.Tensor]]:
    """Attach the embedding for training, and give the LoRA's parameters by name. Nothing else of the model learns.

    Layers whose weights are away from the device are recomputed in any case: what the backward pass would keep of them
    includes their weights.
    """
    debias = _debias_of(config, embedding.config)
    recomputed = find_architecture(model).layers if config.gradient_checkpointing or placed.away else None
    with (
        in_training(model, adapter_name, embedding, debias),
        _frozen(model),
        _spatial_lora(pipe, model, config, spatial_lora_directory) as spatial,
        recomputation(model, recomputed, *placed),
    ):
        yield spatial


def _debias_of(config: TrainingConfig, embedding_config: MotionEmbeddingConfig) -> Debias:
    """The mode through which the value part is trained. It never leaves the part out: nothing would be learned."""
    through = config.debias_in_training and embedding_config.debias != "free_placement"
    return embedding_config.debias if through else "identity"


def _with_negatives(clips: list[np.ndarray], prompts: list[str | None]) -> list[tuple[np.ndarray, str | None]]:
    """Each clip and its colour negative in turn. A prompt would name the wrong colours for the negative."""
    pairs = zip(clips, prompts, strict=True)
    return [each for clip, text in pairs for each in ((clip, text), (255 - clip, None if text is None else ""))]


def _at_levels_of(pipe: Any, component: str, config: TrainingConfig) -> TrainingConfig:
    """The options at the noise levels that the model sees: a pipeline may have two models for two parts."""
    lowest, highest = noise_levels(pipe, component)
    if (lowest, highest) == (0.0, 1.0):
        return config
    low, high = max(config.timestep_range[0], lowest), min(config.timestep_range[1], highest)
    if low >= high:
        raise ValueError(
            f"timestep_sampling={config.timestep_sampling!r} has no noise level in common with the pipeline's "
            f"{component}, which sees those from {lowest} to {highest}."
        )
    return replace(config, timestep_sampling=(low, high))


def _run(
    guard: Guard,
    checkpoints: CheckpointConfig | None,
    embedding_config: MotionEmbeddingConfig,
    callback: Callable[[TrainingProgress], None] | None,
    progress_bar: bool,
) -> None:
    run = guard.run
    total, first = run.config.max_train_steps, run.step_number
    is_main = run.process_index == 0
    is_watched = total >= LOGGING_STEPS  # in a shorter run that would take more than a tenth of the time
    bar = tqdm(total=total, initial=first, desc="motion embedding", disable=not progress_bar or not is_main)
    with bar:
        if is_watched and not guard.losses:
            guard.look()
        while run.step_number < total:
            run.step()
            bar.update()
            is_logged = run.step_number % LOGGING_STEPS == 0 or run.step_number == total
            if is_logged and is_watched:
                guard.look()
            if is_logged:
                bar.set_postfix(loss=f"{run.logs()['loss']:.4f}", refresh=False)
            progress = TrainingProgress(run.step_number, total, guard, checkpoints, embedding_config)
            every = checkpoints.checkpointing_steps if checkpoints else None
            if is_main and every and run.step_number % every == 0:
                progress.save_checkpoint()
            if callback is not None:
                callback(progress)
            if is_logged:
                run.forget_logs()


@contextlib.contextmanager
def _spatial_lora(
    pipe: Any, model: ModelMixin, config: TrainingConfig, directory: str | Path | None
) -> Iterator[dict[str, torch.Tensor]]:
    """The parameters of the hybrid loss's LoRA while it is trained; none with other losses."""
    if not LOSSES[config.loss].trains_spatial_lora:
        yield {}
        return
    with seeded(config.seed):
        spatial = add_spatial_lora(model, config.spatial_rank)
    try:
        yield spatial
        if directory is not None:
            save_spatial_lora(pipe, model, directory)
    finally:
        remove_spatial_lora(model)


@contextlib.contextmanager
def _frozen(model: ModelMixin) -> Iterator[None]:
    """Put the model in evaluation mode and without weight gradients, then restore it."""
    was_training = model.training
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        model.train(was_training)
        for parameter in trainable:
            parameter.requires_grad_(True)
