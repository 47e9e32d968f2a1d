"""Learn a motion embedding from a reference video.

    diffusers-motion-embed train \
        --pretrained_model_name_or_path examples/tiny-t2v \
        --reference_video examples/assets/figure_eight.mp4 --num_frames 16 --height 64 --width 64 \
        --prompt "a red bar on a black background" \
        --validation_prompt "a yellow ring on a gray background" \
        --output_dir outputs/figure_eight

The output folder is an embedding repository: `pipe.load_motion_embedding("outputs/figure_eight")`. With
--reference_videos instead, one embedding is learned for each video of a folder or list.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from diffusers_motion_embed.adapter.choice import choose_embeddings
from diffusers_motion_embed.adapter.registry import registry_of
from diffusers_motion_embed.commands.base_pipeline import generate_clip, generation_settings, load_pipeline
from diffusers_motion_embed.commands.training_arguments import (
    frame_settings,
    make_configs,
    parse_arguments,
    preview_fps,
    stored_form,
    take_accelerate_settings,
)
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import CaptionError, CheckpointError
from diffusers_motion_embed.estimate import estimate_memory
from diffusers_motion_embed.noise import invert_clip, save_inverted_noise
from diffusers_motion_embed.reports import (
    Measures,
    mean_figures,
    measure_all,
    select_best,
    track_video,
    validate,
    without_report,
    write_report,
    write_videos,
)
from diffusers_motion_embed.reports.page import PAGE_NAME
from diffusers_motion_embed.reports.videos import remove_results
from diffusers_motion_embed.storage.files import NOISE_NAME, check_save_directory
from diffusers_motion_embed.training import CheckpointConfig, track_motion_embedding, train_motion_embedding
from diffusers_motion_embed.training.callback import RunCallback
from diffusers_motion_embed.training.captions import read_caption, visible
from diffusers_motion_embed.training.checkpoints import list_checkpoints
from diffusers_motion_embed.training.checks import ignored_settings
from diffusers_motion_embed.training.fleet import Job, read_jobs, run_jobs
from diffusers_motion_embed.video import ReferenceClip, read_reference


ADAPTER_NAME = "trained"


def embedding_config(options: argparse.Namespace, pipe: Any, clip: ReferenceClip) -> MotionEmbeddingConfig:
    """The settings of the embedding, with how its previews are made."""
    _, config = make_configs(options)
    config.generation |= generation_settings(options, pipe) | {"fps": preview_fps(options, clip)}
    if options.validation_prompt:
        config.generation["prompt"] = options.validation_prompt[0]
    return config


def read_clips(options: argparse.Namespace, videos: list[Path], say: Callable[[str], None]) -> list[ReferenceClip]:
    """The references, each with a word on what was read."""
    clips = [read_reference(video, **frame_settings(options)) for video in videos]
    for clip in clips:
        say(clip.summary())
    rates = {preview_fps(options, clip) for clip in clips}
    if len(rates) > 1:
        say(
            f"Note: clips of {', '.join(map(str, sorted(rates)))} frames per second; --reference_fps makes them alike."
        )
    return clips


def train(
    options: argparse.Namespace,
    pipe: Any,
    clips: list[ReferenceClip],
    prompts: list[str],
    output_dir: Path,
    accelerator: Accelerator | None,
) -> None:
    """Learn one embedding and write its folder."""
    config = embedding_config(options, pipe, clips[0])
    if options.tracked:
        check_no_checkpoints(output_dir)
        track_motion_embedding(pipe, clips[0].frames, prompts[0], embedding_config=config, adapter_name=ADAPTER_NAME)
        losses = []
    else:
        losses = learn(options, pipe, clips, prompts, output_dir, config, accelerator)
    try:
        if accelerator is None or accelerator.is_main_process:
            write_results(options, pipe, clips[0], prompts[0], output_dir, accelerator, losses)
    finally:
        pipe.unload_motion_embedding()


def check_no_checkpoints(output_dir: Path) -> None:
    """--tracked has none, and --select would take one of another motion."""
    if others := [path.name for path in list_checkpoints(output_dir)]:
        raise CheckpointError(
            f"{output_dir} holds {', '.join(others)} of an earlier run. Delete them, or choose another --output_dir."
        )


def learn(
    options: argparse.Namespace,
    pipe: Any,
    clips: list[ReferenceClip],
    prompts: list[str],
    output_dir: Path,
    config: MotionEmbeddingConfig,
    accelerator: Accelerator | None,
) -> list[tuple[int, float]]:
    """Train one embedding; gives steps and losses."""
    checkpoints = CheckpointConfig(
        output_dir=output_dir,
        checkpointing_steps=options.checkpointing_steps,
        checkpoints_total_limit=options.checkpoints_total_limit,
        resume_from_checkpoint=options.resume_from_checkpoint,
    )
    with RunCallback(accelerator) as callback:
        train_motion_embedding(
            pipe,
            [clip.frames for clip in clips],
            prompts,
            make_configs(options)[0],
            embedding_config=config,
            adapter_name=ADAPTER_NAME,
            call_arguments=options.call_arguments,
            checkpoints=checkpoints,
            spatial_lora_directory=output_dir / "spatial_lora" if options.save_spatial_lora else None,
            features=options.features,
            callback=callback,
            accelerator=accelerator,
        )
    return callback.losses


def write_results(
    options: argparse.Namespace,
    pipe: Any,
    clip: ReferenceClip,
    prompt: str,
    output_dir: Path,
    accelerator: Any,
    losses: list[Any],
) -> None:
    """The embedding's folder: its files, validation videos, a report, a preview; on request on the Hub too.

    Raises:
        SystemExit: If Ctrl-C stops what comes after the embedding's files.
    """

    def save(**arguments: Any) -> None:
        pipe.save_motion_embedding(output_dir, ADAPTER_NAME, **stored_form(options), **arguments)

    save()
    try:
        remove_results(output_dir)  # of a motion that was there before; not earlier, since saving may fail
        if options.save_inverted_noise:
            save_inverted_noise(output_dir, invert_clip(pipe, clip.frames, call_arguments=options.call_arguments))
        if options.validation_prompt:
            write_validation(options, pipe, clip, output_dir, accelerator, losses, save)
        else:
            print(without_report(prompt))
        if options.push_to_hub:
            hub = {"repo_id": options.hub_model_id, "token": options.hub_token, "license": options.license}
            save(push_to_hub=True, with_inverted_noise=options.save_inverted_noise, **hub)
    except KeyboardInterrupt:
        raise SystemExit(
            f"Stopped. The motion embedding is in {output_dir}; what goes with it is incomplete."
        ) from None
    print(f"The motion embedding is in {output_dir}")


def write_validation(
    options: argparse.Namespace,
    pipe: Any,
    clip: ReferenceClip,
    output_dir: Path,
    accelerator: Any,
    losses: list[Any],
    save: Callable[[], None],
) -> None:
    """Videos of the validation prompts, a report and a preview; with --select, of the best checkpoint."""
    prompts, fps = options.validation_prompt, preview_fps(options, clip)

    def make_clip(prompt: str) -> np.ndarray:
        return generate_clip(pipe, options, clip.frames, prompt, options.seed)

    if options.select == "best":
        print(select_best(pipe, output_dir, clip.frames, prompts, make_clip, ADAPTER_NAME))
        save()
    validations = validate(pipe, prompts, make_clip)
    for path, shown in zip(write_videos(output_dir, clip.frames, validations, fps), validations, strict=True):
        print(f"{path}: {shown.prompt}")
        track_video(accelerator, path.stem, shown.moved, fps, options.max_train_steps)
    measures = measure_all(validations, clip.frames)
    keep_figures(pipe, measures)
    save()  # with the figures, for the model card
    title = "Loss on samples kept aside"
    print(write_report(output_dir, clip.frames, validations, losses, measures=measures, loss_title=title, fps=fps))


def keep_figures(pipe: Any, measures: Sequence[Measures]) -> None:
    """Put what the validation clips measure into the settings of the embedding."""
    for model, names in choose_embeddings(pipe, ADAPTER_NAME):
        registry = registry_of(model)
        training = registry.loaded[ADAPTER_NAME].config.training
        registry.update(names, training={**training, "measured": mean_figures(measures)})


def say_needs(options: argparse.Namespace) -> None:
    """What --estimate prints."""
    training, embedding = make_configs(options)
    video = options.reference_video[0] if options.reference_video else read_jobs(options.reference_videos)[0].video
    size = read_clips(options, [video], print)[0].frames.shape[:3]
    settings = {"config": training, "embedding_config": embedding, "guided": options.guidance_scale > 1}
    settings |= {"dtype": getattr(torch, options.dtype), "token": options.hub_token, "revision": options.revision}
    base = options.pretrained_model_name_or_path
    print(estimate_memory(base, *size, motion_adapter=options.motion_adapter, **settings).table(options.memory))


def train_one(options: argparse.Namespace, accelerator: Accelerator) -> None:
    """One embedding, by all processes together."""
    prompts = [visible(options.prompt or "") or read_caption(video) for video in options.reference_video]
    clips = read_clips(options, options.reference_video, accelerator.print)
    pipe = load_pipeline(options, accelerator.device)
    if accelerator.log_with:
        settings = {name: value for name, value in vars(options).items() if name != "hub_token"}  # it is a secret
        texts = {name: value if isinstance(value, int | float) else str(value) for name, value in settings.items()}
        accelerator.init_trackers("motion_embedding", config=texts)
    train(options, pipe, clips, prompts, options.output_dir, accelerator)
    accelerator.end_training()


def train_many(options: argparse.Namespace, accelerator: Accelerator) -> None:
    """One embedding for each video, each learned by one process."""
    try:
        jobs = read_jobs(options.reference_videos)
    except CaptionError as error:
        raise SystemExit(str(error)) from error
    for setting in ignored_settings(accelerator, make_configs(options)[0]) if accelerator.is_main_process else ():
        print(f"accelerate's {setting} is not used")
    pipe = load_pipeline(options, accelerator.device)

    def train_job(job: Job, folder: Path) -> None:
        train(options, pipe, read_clips(options, [job.video], print), [job.prompt], folder, None)

    asked = {NOISE_NAME: options.save_inverted_noise, PAGE_NAME: options.validation_prompt}
    beside = [name for name, is_asked in asked.items() if is_asked]
    results = run_jobs(jobs, options.output_dir, train_job, accelerator.state, beside)
    if accelerator.is_main_process:
        failed = {name: result for name, result in results.items() if result not in ("trained", "done before")}
        for name in (job.name for job in jobs):
            print(f"{name}: {results[name]}")
        if failed:
            raise SystemExit(
                f"{len(failed)} of {len(jobs)} failed: {', '.join(failed)}. Give the command again to retry."
            )
        print(f"The motion embeddings are in {options.output_dir}")


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    options = parse_arguments(str(__doc__), arguments)
    try:
        make_configs(options)
    except ValueError as error:  # before anything is loaded
        raise SystemExit(f"error: {error}") from error
    if options.estimate:
        say_needs(options)
        return
    check_save_directory(options.output_dir)
    accelerator = Accelerator(log_with=options.report_to, project_dir=options.output_dir)
    take_accelerate_settings(options, accelerator)
    make_configs(options)
    (train_many if options.reference_videos else train_one)(options, accelerator)
