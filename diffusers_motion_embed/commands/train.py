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
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.utils import export_to_gif, export_to_video
from PIL import Image

from diffusers_motion_embed.commands.base_pipeline import generate_clip, generation_settings, load_pipeline
from diffusers_motion_embed.commands.training_arguments import (
    frame_settings,
    make_configs,
    parse_arguments,
    preview_fps,
    take_accelerate_settings,
)
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import CaptionError
from diffusers_motion_embed.noise import invert_clip, save_inverted_noise
from diffusers_motion_embed.storage.files import check_save_directory
from diffusers_motion_embed.training import CheckpointConfig, TrainingProgress, train_motion_embedding
from diffusers_motion_embed.training.captions import read_caption, visible
from diffusers_motion_embed.training.checks import ignored_settings
from diffusers_motion_embed.training.fleet import Job, read_jobs, run_jobs
from diffusers_motion_embed.video import ReferenceClip, read_reference, read_video
from diffusers_motion_embed.video.sheets import write_comparison


ADAPTER_NAME = "trained"
LOGGING_STEPS = 10


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


class Callback:
    """Between steps: sends figures to the trackers, and ends the run in order after Ctrl-C."""

    def __init__(self, accelerator: Accelerator | None) -> None:
        self.accelerator = accelerator
        self.is_interrupted = False

    def __enter__(self) -> "Callback":
        self.previous = signal.signal(signal.SIGINT, self.interrupt)
        return self

    def __exit__(self, *_: Any) -> None:
        signal.signal(signal.SIGINT, self.previous)

    def interrupt(self, *_: Any) -> None:
        """Ask the run to end after this step."""
        if self.is_interrupted:
            raise KeyboardInterrupt  # a second Ctrl-C stops at once
        self.is_interrupted = True

    def __call__(self, progress: TrainingProgress) -> None:
        """What train_motion_embedding calls after every step."""
        if self.accelerator and self.accelerator.log_with and progress.step % LOGGING_STEPS == 0:
            self.accelerator.log(progress.logs(), step=progress.step)
        if self.is_interrupted and (self.accelerator is None or self.accelerator.is_main_process):
            folder = progress.save_checkpoint()
            raise SystemExit(
                f"\nStopped after step {progress.step} of {progress.max_train_steps} and saved {folder}. To go on, "
                "give the same command with --resume_from_checkpoint latest."
            )


def train(
    options: argparse.Namespace,
    pipe: Any,
    clips: list[ReferenceClip],
    prompts: list[str],
    output_dir: Path,
    accelerator: Accelerator | None,
) -> None:
    """Learn one embedding and write its folder."""
    training, _ = make_configs(options)
    config = embedding_config(options, pipe, clips[0])
    checkpoints = CheckpointConfig(
        output_dir=output_dir,
        checkpointing_steps=options.checkpointing_steps,
        checkpoints_total_limit=options.checkpoints_total_limit,
        resume_from_checkpoint=options.resume_from_checkpoint,
    )
    with Callback(accelerator) as callback:
        train_motion_embedding(
            pipe,
            [clip.frames for clip in clips],
            prompts,
            training,
            embedding_config=config,
            adapter_name=ADAPTER_NAME,
            call_arguments=options.call_arguments,
            checkpoints=checkpoints,
            spatial_lora_directory=output_dir / "spatial_lora" if options.save_spatial_lora else None,
            callback=callback,
            accelerator=accelerator,
        )
    try:
        if accelerator is None or accelerator.is_main_process:
            write_results(options, pipe, clips[0], output_dir, accelerator)
    finally:
        pipe.unload_motion_embedding()


def write_results(
    options: argparse.Namespace, pipe: Any, clip: ReferenceClip, output_dir: Path, accelerator: Accelerator | None
) -> None:
    """The embedding's folder: its files, validation videos, a preview; on request on the Hub too."""

    def save(**arguments: Any) -> None:
        stored = {"dtype": getattr(torch, options.save_dtype), "max_error": options.max_error}
        pipe.save_motion_embedding(output_dir, ADAPTER_NAME, **stored, **arguments)

    save()
    fps: Any = preview_fps(options, clip)  # a float, where diffusers' exports say int
    if options.save_inverted_noise:
        save_inverted_noise(output_dir, invert_clip(pipe, clip.frames, call_arguments=options.call_arguments))
    shown = [("reference", clip.frames)]
    for number, prompt in enumerate(options.validation_prompt):
        video = generate_clip(pipe, options, clip.frames, prompt, options.seed)
        path = output_dir / f"validation_{number}.mp4"
        export_to_video(list(video), str(path), fps=fps)
        print(f"{path}: {prompt}")
        shown.append((prompt, (video * 255).round().astype(np.uint8)))
        if accelerator is not None:
            track_video(accelerator, f"validation_{number}", video, fps, options.max_train_steps)
        if number == 0:
            write_preview(path, len(clip.frames), fps)
    if options.validation_prompt:
        write_comparison([shown], output_dir / "comparison.webp", fps, width=192)
    if options.push_to_hub:
        hub = {"repo_id": options.hub_model_id, "token": options.hub_token, "license": options.license}
        save(push_to_hub=True, with_inverted_noise=options.save_inverted_noise, **hub)
    print(f"The motion embedding is in {output_dir}")


def track_video(accelerator: Accelerator, name: str, frames: np.ndarray, fps: float, step: int) -> None:
    """Send a validation video, (frames, height, width, 3) from 0 to 1, to the trackers that show videos."""
    for tracker in accelerator.trackers:
        if tracker.name == "tensorboard":  # plays no videos, and gets the frames side by side
            tracker.writer.add_images(name, frames, step, dataformats="NHWC")
        elif tracker.name == "wandb":
            import wandb

            video = (frames * 255).round().astype(np.uint8).transpose(0, 3, 1, 2)
            tracker.log({name: wandb.Video(video, fps=round(fps))}, step=step)


def write_preview(video: Path, num_frames: int, fps: Any) -> None:
    """Write what the model card shows: the video, and a GIF for pages that do not play videos."""
    shutil.copyfile(video, video.with_name("preview.mp4"))
    pictures = [Image.fromarray(frame) for frame in read_video(video, num_frames)]
    export_to_gif(pictures, str(video.with_name("preview.gif")), fps=fps)


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

    results = run_jobs(jobs, options.output_dir, train_job, accelerator.state)
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
    make_configs(options)  # tells of wrong values before anything is loaded
    check_save_directory(options.output_dir)
    accelerator = Accelerator(log_with=options.report_to, project_dir=options.output_dir)
    take_accelerate_settings(options, accelerator)
    make_configs(options)
    (train_many if options.reference_videos else train_one)(options, accelerator)
