"""The main job from end to end, on the embedded model: learn the motion of a video file, use it on other prompts.

    python -m examples.demo

A motion of the collection then moves pictures, with a tiny image-to-video model. Writes videos, a moving picture of
all of them, a contact sheet, the paths of what moves and metrics.json under outputs/demo, and prints a table.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from diffusers_motion_embed import enable_motion_embedding, read_video
from diffusers_motion_embed.metrics import appearance_leakage, as_clip, track, track_fidelity
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from diffusers_motion_embed.video.sheets import contact_sheet, write_comparison
from examples.pictures import draw_paths, moving_path, write_clip


EXAMPLES = Path(__file__).parent
SIZE = {"num_frames": 16, "height": 64, "width": 64}  # what the embedded model draws
GENERATION = {"guidance_scale": 2.0, "output_type": "np"}
IMAGE_TO_VIDEO = EXAMPLES / "tiny-wan-i2v"
PICTURES, PICTURES_MOTION = EXAMPLES / "assets/pictures", EXAMPLES / "collection/tiny-wan-i2v-figure-eight"
FRAMES_PER_SECOND = 8
# None has the colour, the shape and the background of the reference.
PROMPTS = [
    "a yellow ring on a gray background",
    "a green pillar on a dotted white background",
    "a purple circle on a checkered beige background",
    "a cyan bar on a brown background",
    "a blue ring on a dotted black background",
    "a red pillar on a checkered navy background",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained_model_name_or_path", default=str(EXAMPLES / "tiny-t2v"))
    parser.add_argument("--reference_video", type=Path, default=EXAMPLES / "assets/figure_eight.mp4")
    parser.add_argument("--prompt", default="a red bar on a black background", help="What the reference shows.")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/demo"))
    parser.add_argument("--max_train_steps", type=int, default=TrainingConfig.max_train_steps)
    parser.add_argument("--num_inference_steps", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # more threads hardly speed up so small a model

    pipe = DiffusionPipeline.from_pretrained(options.pretrained_model_name_or_path, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    enable_motion_embedding(pipe)
    reference = read_video(options.reference_video, SIZE["num_frames"], height=SIZE["height"], width=SIZE["width"])

    print(f"Learning the motion of {options.reference_video.name} ...")
    started = time.perf_counter()
    # All samples of a step at once: a model as small as this one has room for them, and takes less time.
    at_once = {"train_batch_size": 4, "gradient_accumulation_steps": 1}
    own = {"max_train_steps": options.max_train_steps, "seed": options.seed}
    train_motion_embedding(pipe, reference, options.prompt, at_once | own)
    seconds = time.perf_counter() - started
    embedding = pipe.save_motion_embedding(options.output_dir / "embedding")

    print(f"Generating {len(PROMPTS)} prompts with it ...")
    moved = generate(pipe, options.num_inference_steps, options.seed)
    pipe.unload_motion_embedding()
    print(f"Generating {len(PROMPTS)} prompts without it ...")
    plain = generate(pipe, options.num_inference_steps, options.seed)

    print(f"Moving {len(PROMPTS)} pictures as {PICTURES_MOTION.name} does ...")
    begun = move_pictures(options.num_inference_steps, options.seed)

    write_clips(options.output_dir, options.prompt, reference, plain, moved, begun)
    metrics = {
        "training_seconds": round(seconds, 1),
        "embedding_bytes": (embedding / "adapter_model.safetensors").stat().st_size,
        "prompts": measure(options.output_dir, reference, plain, moved),
    }
    (options.output_dir / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print_table(metrics)
    print(f"\nVideos, comparison.webp, contact_sheet.png, paths.png and metrics.json are in {options.output_dir}")


def generate(pipe: Any, num_inference_steps: int, seed: int) -> np.ndarray:
    """A clip of each prompt, (prompts, frames, height, width, 3), uint8, from the same noise every time."""
    noise = [torch.Generator().manual_seed(seed + 100 + number) for number in range(len(PROMPTS))]
    drawn = pipe(PROMPTS, num_inference_steps=num_inference_steps, generator=noise, **SIZE, **GENERATION)
    return np.stack([as_clip(clip) for clip in drawn.frames])


def file_name(prompt: str) -> str:
    """What files of a prompt are called, without a suffix."""
    return prompt.removeprefix("a ").replace(" ", "_")


def picture_of(prompt: str) -> Image.Image:
    """What the prompt says, with the object in the middle."""
    return Image.open(PICTURES / f"{file_name(prompt)}.png")


def move_pictures(num_inference_steps: int, seed: int) -> list[np.ndarray]:
    """Clips that begin with the prompts' pictures, each (frames, height, width, 3), uint8."""
    pipe: Any = DiffusionPipeline.from_pretrained(IMAGE_TO_VIDEO, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    enable_motion_embedding(pipe)
    pipe.load_motion_embedding(PICTURES_MOTION)
    settings: dict[str, Any] = {**GENERATION, **SIZE, "num_inference_steps": num_inference_steps}
    settings |= {"num_frames": SIZE["num_frames"] + 1, "max_sequence_length": 16}  # the first alone, then pairs
    clips = []
    for number, prompt in enumerate(PROMPTS):
        noise = torch.Generator().manual_seed(seed + number)
        drawn = pipe(image=picture_of(prompt), prompt=prompt, generator=noise, **settings)
        clips.append(as_clip(drawn.frames[0])[: SIZE["num_frames"]])
    return clips


def write_clips(
    folder: Path,
    title: str,
    reference: np.ndarray,
    plain: np.ndarray,
    moved: np.ndarray,
    begun: list[np.ndarray],
) -> None:
    """Every clip as a video, and all of them as a moving picture and on a contact sheet."""
    write_clip(reference, folder / "reference", FRAMES_PER_SECOND)
    rows = [(f"reference: {title}", reference)]
    for number, prompt in enumerate(PROMPTS):
        for kind, clips in (("without", plain), ("with", moved), ("picture", begun)):
            name = file_name(prompt)
            write_clip(clips[number], folder / f"{name}-{kind}", FRAMES_PER_SECOND)
            rows.append((f"{kind}: {prompt}", clips[number]))
    contact_sheet(rows).save(folder / "contact_sheet.png")
    without = list(zip(PROMPTS, plain, strict=True))
    moving = [("with its motion", clip) for clip in moved]
    pictured = [("from a picture", clip) for clip in begun]
    compared = [[("reference", reference), *clips] for clips in (without, moving, pictured)]
    write_comparison(compared, folder / "comparison.webp", FRAMES_PER_SECOND)


def measure(folder: Path, reference: np.ndarray, plain: np.ndarray, moved: np.ndarray) -> list[dict[str, Any]]:
    """The package's metrics for each prompt. Also draws the paths of what moves."""
    groups = {"without": plain, "with motion embedding": moved}
    paths = {title: [moving_path(clip) for clip in clips] for title, clips in groups.items()}
    draw_paths(moving_path(reference), paths, folder / "paths.png")
    tracks, rows = track(reference), []
    for number, prompt in enumerate(PROMPTS):
        without, with_motion = (track_fidelity(track(clips[number]), tracks).score for clips in (plain, moved))
        leakage = appearance_leakage(moved[number], plain[number], reference).leakage
        figures = {"fidelity_without": without, "fidelity_with": with_motion, "leakage": leakage}
        rows.append({"prompt": prompt} | {name: round(value, 3) for name, value in figures.items()})
    return rows


def print_table(metrics: dict[str, Any]) -> None:
    print(f"\nLearned in {metrics['training_seconds']} s; {metrics['embedding_bytes'] / 1e6:.2f} MB.")
    print("Motion fidelity to the reference (1 is the same motion; chance is above 0, see without), and how much more")
    print("a clip looks like the reference than without (0 is not at all). What they mean: docs/metrics.md\n")
    print(f"{'prompt':48} {'without':>8} {'with':>8} {'leakage':>8}")
    for row in metrics["prompts"]:
        print(f"{row['prompt']:48} {row['fidelity_without']:8.2f} {row['fidelity_with']:8.2f} {row['leakage']:8.3f}")


if __name__ == "__main__":
    main()
