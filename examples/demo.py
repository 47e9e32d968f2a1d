"""The main job from end to end, on the embedded model: learn the motion of a video file, use it on other prompts.

    python -m examples.demo

Writes videos, a contact sheet, the drawn paths and metrics.json under outputs/demo, and prints a table.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.tiny_world.measures import center_distance, displacement_cosine, measure_clip
from benchmarks.tiny_world.pipelines import TINY_T2V, generate, load_tiny_pipeline, use_one_thread
from benchmarks.tiny_world.references import PROMPTS
from benchmarks.tiny_world.scene import FRAME_SIZE, FRAMES_PER_SECOND, NUM_FRAMES
from diffusers_motion_embed import enable_motion_embedding, read_video
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from examples.pictures import contact_sheet, draw_paths, write_clip


REFERENCE_VIDEO = Path(__file__).parent / "assets/figure_eight.mp4"
REFERENCE_PROMPT = "a red bar on a black background"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained_model_name_or_path", default=str(TINY_T2V))
    parser.add_argument("--reference_video", type=Path, default=REFERENCE_VIDEO)
    parser.add_argument("--prompt", default=REFERENCE_PROMPT, help="What the reference shows.")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/demo"))
    parser.add_argument("--max_train_steps", type=int, default=TrainingConfig.max_train_steps)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    use_one_thread()

    pipe = enable_motion_embedding(load_tiny_pipeline(options.pretrained_model_name_or_path))
    reference = read_video(options.reference_video, NUM_FRAMES, height=FRAME_SIZE, width=FRAME_SIZE)

    print(f"Learning the motion of {options.reference_video.name} ...")
    started = time.perf_counter()
    config = TrainingConfig(max_train_steps=options.max_train_steps, seed=options.seed)
    train_motion_embedding(pipe, reference, options.prompt, config)
    seconds = time.perf_counter() - started
    embedding = pipe.save_motion_embedding(options.output_dir / "embedding")
    pipe.unload_motion_embedding()

    prompts = [appearance.prompt for appearance in PROMPTS]
    seeds = [options.seed + 100 + number for number in range(len(prompts))]
    print(f"Generating {len(prompts)} prompts without it ...")
    without = generate(pipe, prompts, seeds)
    pipe.load_motion_embedding(embedding)
    print(f"Generating {len(prompts)} prompts with it ...")
    with_motion = generate(pipe, prompts, seeds)

    write_clip(reference, options.output_dir / "reference", FRAMES_PER_SECOND)
    rows = [(f"reference: {options.prompt}", reference)]
    for prompt, plain, moved in zip(prompts, without, with_motion, strict=True):
        name = prompt.removeprefix("a ").replace(" ", "_")
        write_clip(plain, options.output_dir / f"{name}-without", FRAMES_PER_SECOND)
        write_clip(moved, options.output_dir / f"{name}-with", FRAMES_PER_SECOND)
        rows += [(f"without: {prompt}", plain), (f"with: {prompt}", moved)]
    contact_sheet(rows).save(options.output_dir / "contact_sheet.png")

    path = measure_clip(reference).center
    groups = {"without": without, "with motion embedding": with_motion}
    paths = {title: [measure_clip(clip).center for clip in clips] for title, clips in groups.items()}
    draw_paths(path, paths, options.output_dir / "paths.png")
    metrics = {
        "training_seconds": round(seconds, 1),
        "embedding_bytes": (embedding / "adapter_model.safetensors").stat().st_size,
        "prompts": [
            {"prompt": prompt}
            | {
                f"{measure}_{title.split()[0]}": round(function(paths[title][number]), 3)
                for title in groups
                for measure, function in (
                    ("cosine", lambda found: displacement_cosine(np.diff(found, axis=0), np.diff(path, axis=0))),
                    ("distance", lambda found: center_distance(found, path)),
                )
            }
            for number, prompt in enumerate(prompts)
        ],
    }
    (options.output_dir / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    print_table(metrics)
    print(f"\nVideos, contact_sheet.png, paths.png and metrics.json are in {options.output_dir}")


def print_table(metrics: dict) -> None:
    print(f"\nLearned in {metrics['training_seconds']} s; {metrics['embedding_bytes'] / 1e6:.2f} MB.")
    print("Displacement cosine to the reference (1 is the same motion, 0 is chance); distance in half frame widths.\n")
    print(f"{'prompt':48} {'cosine':>15} {'distance':>16}")
    print(f"{'':48} {'without':>8}{'with':>7} {'without':>9}{'with':>7}")
    for row in metrics["prompts"]:
        print(
            f"{row['prompt']:48} {row['cosine_without']:8.2f}{row['cosine_with']:7.2f} "
            f"{row['distance_without']:9.2f}{row['distance_with']:7.2f}"
        )


if __name__ == "__main__":
    main()
