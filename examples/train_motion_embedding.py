"""Learn a motion embedding from one reference video.

    accelerate launch examples/train_motion_embedding.py \
        --pretrained_model_name_or_path examples/tiny-t2v \
        --reference_video examples/assets/figure_eight.mp4 --num_frames 16 --height 64 --width 64 \
        --prompt "a red square on a black background" \
        --validation_prompt "a yellow triangle on a gray background" \
        --output_dir outputs/figure_eight

The output folder is an embedding repository: `pipe.load_motion_embedding("outputs/figure_eight")`.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from diffusers import AnimateDiffPipeline, DDIMScheduler, DiffusionPipeline, MotionAdapter
from diffusers.utils import export_to_gif, export_to_video
from PIL import Image

from diffusers_motion_embed import MotionEmbeddingConfig, enable_motion_embedding, read_video
from diffusers_motion_embed.files import check_save_directory
from diffusers_motion_embed.functional import DEBIAS_MODES
from diffusers_motion_embed.training import TIMESTEP_SAMPLING, TrainingConfig, train_motion_embedding


ADAPTER_NAME = "trained"
ANIMATEDIFF_SCHEDULE = {
    "beta_schedule": "linear",
    "clip_sample": False,
    "timestep_spacing": "linspace",
    "steps_offset": 1,
}
SAVE_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--pretrained_model_name_or_path", required=True, help="Base pipeline: a folder or a Hub repository.")
    add(
        "--motion_adapter", help="AnimateDiff motion adapter, if the base is an image model: a folder or a repository."
    )
    add("--revision", help="Of the base pipeline's repository.")
    add("--variant", help="Of the base pipeline's files, such as fp16.")
    add("--reference_video", type=Path, required=True, help="A video file, or a folder of images.")
    add("--prompt", required=True, help="What the reference video shows.")
    add("--output_dir", type=Path, required=True)
    add("--num_frames", type=int, default=16)
    add("--height", type=int, help="In pixels; the video's own by default.")
    add("--width", type=int, help="In pixels; the video's own by default.")
    add("--start", type=int, default=0, help="First frame of the video that is used.")
    add("--stride", type=int, default=1, help="Every how many frames one is used.")
    add("--max_train_steps", type=int, default=TrainingConfig.max_train_steps)
    add("--learning_rate", type=float, default=TrainingConfig.learning_rate)
    add("--lr_scheduler", choices=["constant", "cosine"], default=TrainingConfig.lr_scheduler)
    add("--train_batch_size", type=int, default=TrainingConfig.train_batch_size, help="Noise levels per step.")
    add("--loss", choices=["base", "debiased_temporal"], default=TrainingConfig.loss)
    add(
        "--timestep_sampling",
        type=timestep_sampling,
        default=TrainingConfig.timestep_sampling,
        help=f"{', '.join(TIMESTEP_SAMPLING)}, or a range such as 0.3-0.9, where 1 is noise alone.",
    )
    add("--target_modules", help="Regular expression for the paths of the attention layers to adapt.")
    add("--value_grid", type=int, nargs=2, metavar=("H", "W"), help="1 1 is one vector per frame; 0 0 is full grids.")
    add("--debias", choices=DEBIAS_MODES, default=MotionEmbeddingConfig.debias)
    add("--debias_in_training", action=argparse.BooleanOptionalAction, default=TrainingConfig.debias_in_training)
    add("--timing", type=float, nargs=2, metavar=("START", "END"), help="Default: the noise levels trained at.")
    add("--value_rank", type=int, help="Store value parts as the product of so many maps and sequences.")
    add("--save_dtype", choices=SAVE_DTYPES, default="float32", help="Of the stored numbers; half halves the file.")
    add("--mixed_precision", choices=["no", "fp16", "bf16"], default=TrainingConfig.mixed_precision)
    add("--seed", type=int, default=TrainingConfig.seed)
    add("--checkpointing_steps", type=int, help="Save the embedding every so many steps, in checkpoint-N folders.")
    add("--validation_prompt", nargs="+", default=[], help="Videos of these are made with the trained embedding.")
    add("--num_inference_steps", type=int, default=25, help="Of the validation videos.")
    add("--guidance_scale", type=float, default=7.5, help="Of the validation videos.")
    add("--fps", type=int, default=8, help="Of the validation videos.")
    add("--push_to_hub", action="store_true", help="Upload the embedding, with a model card and a preview.")
    add("--hub_model_id", help="Repository to upload to; by default the output folder's name, in one's own account.")
    add("--hub_token", help="Access token; by default the one that is logged in.")
    add("--license", default="other", help="Of the model card.")
    return parser.parse_args(arguments)


def timestep_sampling(text: str) -> str | tuple[float, float]:
    if text in TIMESTEP_SAMPLING:
        return text
    try:
        low, high = map(float, text.split("-"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {', '.join(TIMESTEP_SAMPLING)} nor a range") from error
    return low, high


def load_pipeline(options: argparse.Namespace):
    arguments = {"revision": options.revision, "variant": options.variant}
    if options.motion_adapter:
        adapter = MotionAdapter.from_pretrained(options.motion_adapter)
        pipe = AnimateDiffPipeline.from_pretrained(
            options.pretrained_model_name_or_path, motion_adapter=adapter, **arguments
        )
        # What AnimateDiff's motion adapters were trained with; an image model brings the schedule of its own.
        pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, **ANIMATEDIFF_SCHEDULE)
    else:
        pipe = DiffusionPipeline.from_pretrained(options.pretrained_model_name_or_path, **arguments)
    return enable_motion_embedding(pipe.to(PartialState().device))


def make_configs(options: argparse.Namespace) -> tuple[TrainingConfig, MotionEmbeddingConfig]:
    training = TrainingConfig(
        max_train_steps=options.max_train_steps,
        learning_rate=options.learning_rate,
        lr_scheduler=options.lr_scheduler,
        train_batch_size=options.train_batch_size,
        loss=options.loss,
        timestep_sampling=options.timestep_sampling,
        debias_in_training=options.debias_in_training,
        mixed_precision=options.mixed_precision,
        seed=options.seed,
    )
    settings = {}
    if options.value_grid is not None:
        settings["value_grid"] = None if options.value_grid == [0, 0] else tuple(options.value_grid)
    embedding = MotionEmbeddingConfig(
        target_modules=options.target_modules,
        debias=options.debias,
        timing=options.timing,
        value_rank=options.value_rank,
        generation={
            "num_inference_steps": options.num_inference_steps,
            "guidance_scale": options.guidance_scale,
            "fps": options.fps,
        },
        **settings,
    )
    return training, embedding


def write_preview(video: Path, num_frames: int, fps: int) -> None:
    """What the model card shows: the video, and the same as a GIF, which pages play that play no video."""
    shutil.copyfile(video, video.with_name("preview.mp4"))
    pictures = [Image.fromarray(frame) for frame in read_video(video, num_frames)]
    export_to_gif(pictures, str(video.with_name("preview.gif")), fps=fps)


def main() -> None:
    options = parse_arguments()
    if PartialState().num_processes > 1:
        raise SystemExit("One embedding is trained by one process: launch with --num_processes 1.")
    training, embedding = make_configs(options)
    check_save_directory(options.output_dir)
    frames = read_video(
        options.reference_video,
        options.num_frames,
        height=options.height,
        width=options.width,
        start=options.start,
        stride=options.stride,
    )
    pipe = load_pipeline(options)
    embedding.generation |= {"pipeline": type(pipe).__name__, "scheduler": type(pipe.scheduler).__name__}
    if options.motion_adapter:
        adapter = Path(options.motion_adapter)
        embedding.generation["motion_adapter"] = adapter.name if adapter.is_dir() else options.motion_adapter
        embedding.generation["scheduler_config"] = ANIMATEDIFF_SCHEDULE
    if options.validation_prompt:
        embedding.generation["prompt"] = options.validation_prompt[0]

    def save(folder: Path, **arguments: Any) -> None:
        pipe.save_motion_embedding(folder, ADAPTER_NAME, dtype=SAVE_DTYPES[options.save_dtype], **arguments)

    def save_checkpoint(step: int, loss: float) -> None:
        if options.checkpointing_steps and step % options.checkpointing_steps == 0:
            save(options.output_dir / f"checkpoint-{step}")

    train_motion_embedding(
        pipe,
        frames,
        options.prompt,
        training,
        embedding_config=embedding,
        adapter_name=ADAPTER_NAME,
        callback=save_checkpoint,
    )
    save(options.output_dir)
    for number, prompt in enumerate(options.validation_prompt):
        video = pipe(
            prompt,
            num_frames=len(frames),
            height=frames.shape[1],
            width=frames.shape[2],
            num_inference_steps=options.num_inference_steps,
            guidance_scale=options.guidance_scale,
            generator=torch.Generator().manual_seed(options.seed),
        ).frames[0]
        path = options.output_dir / f"validation_{number}.mp4"
        export_to_video(video, str(path), fps=options.fps)
        print(f"{path}: {prompt}")
        if number == 0:
            write_preview(path, len(frames), options.fps)
    if options.push_to_hub:
        hub = {"repo_id": options.hub_model_id, "token": options.hub_token, "license": options.license}
        save(options.output_dir, push_to_hub=True, **hub)
    print(f"The motion embedding is in {options.output_dir}")


if __name__ == "__main__":
    main()
