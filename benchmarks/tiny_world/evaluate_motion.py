"""Measure how well motion embeddings carry reference motions over to other prompts, on the tiny model.

    python -m benchmarks.tiny_world.evaluate_motion --num_seeds 8

Trains one embedding for each reference, generates every prompt with it and, with the same noise, without it. Prints
tables and writes everything as JSON. `--debias` and `--scale` take several values, to compare them on the same
embeddings, which are trained through the first debiasing; `--at_steps` takes several steps of the same training.
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.tiny_world.measures import camera_fidelity, measure_clip, object_fidelity, text_fidelity
from benchmarks.tiny_world.pipelines import (
    GENERATION,
    TINY_T2V,
    call_arguments,
    generate,
    load_tiny_pipeline,
    training_arguments,
    use_one_thread,
)
from benchmarks.tiny_world.references import (
    CAMERA_PROMPTS,
    CAMERA_REFERENCES,
    OBJECT_REFERENCES,
    PROMPTS,
    camera_references,
    object_references,
)
from benchmarks.tiny_world.scene import FRAME_SIZE, NUM_FRAMES, Appearance, Scene
from diffusers_motion_embed import MotionEmbeddingConfig, enable_motion_embedding, read_video
from diffusers_motion_embed.functional import DEBIAS_MODES
from diffusers_motion_embed.training import (
    RECIPES,
    CheckpointConfig,
    TrainingConfig,
    TrainingProgress,
    train_motion_embedding,
)
from examples.report.tables import mean_and_interval
from examples.training_arguments import FULL_GRIDS, recipe_defaults, timestep_sampling


ASSETS = Path(__file__).parents[2] / "examples/assets"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--pretrained_model_name_or_path", type=Path, default=TINY_T2V)
    add("--references", nargs="+", default=[*OBJECT_REFERENCES, *CAMERA_REFERENCES])
    add("--num_seeds", type=int, default=8, help="Clips of each prompt and reference.")
    add("--debias", nargs="+", choices=DEBIAS_MODES, default=["difference"])
    add("--recipe", choices=RECIPES, default="default")
    for option in ("max_train_steps", "train_batch_size", "gradient_accumulation_steps", "lr_warmup_steps"):
        add(f"--{option}", type=int, default=getattr(TrainingConfig, option))
    for option in ("learning_rate", "qk_learning_rate", "v_learning_rate", "weight_decay", "timestep_power"):
        add(f"--{option}", type=float, default=getattr(TrainingConfig, option))
    for option in ("lr_scheduler", "loss"):
        add(f"--{option}", default=getattr(TrainingConfig, option))
    add("--timestep_sampling", type=timestep_sampling, default=TrainingConfig.timestep_sampling)
    for option in ("antithetic_noise", "color_negative", "debias_in_training"):
        add(f"--{option}", action=argparse.BooleanOptionalAction, default=getattr(TrainingConfig, option))
    add("--at_steps", type=int, nargs="+", default=[], help="Measure after these steps, rather than at the end.")
    add("--value_grid", type=int, nargs=2, default=MotionEmbeddingConfig.value_grid)
    add("--target_modules")
    add(
        "--scale",
        type=json.loads,
        nargs="+",
        default=[1.0],
        help="Of the embedding, as numbers or by part, such as 1 1.5 '{\"v\": 0.5}'.",
    )
    add("--timing", type=float, nargs=2, help="Start and end of its action, as shares of the noise schedule.")
    add("--output", type=Path, default=Path("outputs/motion.json"))
    recipe = RECIPES[parser.parse_known_args()[0].recipe]
    parser.set_defaults(**recipe_defaults(recipe))
    options = parser.parse_args()
    use_one_thread()

    pipe = enable_motion_embedding(load_tiny_pipeline(options.pretrained_model_name_or_path))
    num_frames = call_arguments(pipe)["num_frames"]
    scenes = {**object_references(num_frames), **camera_references(num_frames)}
    clips: list[dict[str, Any]] = []
    seconds: dict[str, dict[int, float]] = {}
    plain_clips = {}
    for name in options.references:
        is_camera = name in CAMERA_REFERENCES
        scene = scenes[name]
        prompts = CAMERA_PROMPTS if is_camera else PROMPTS
        if is_camera not in plain_clips:
            plain_clips[is_camera] = generate_all(pipe, prompts, options.num_seeds, "without")
        clips += measured(name, scene, prompts, plain_clips[is_camera], "without")

        with tempfile.TemporaryDirectory() as folder:
            seconds[name] = train(pipe, name, scene, options, Path(folder))
            for step in seconds[name]:
                pipe.load_motion_embedding(Path(folder, f"checkpoint-{step}"))
                if options.timing:
                    pipe.set_motion_timing(*options.timing)
                for debias, scale in itertools.product(options.debias, options.scale):
                    mode = f"{debias}, scale {json.dumps(scale)}" if len(options.scale) > 1 else debias
                    mode += f", step {step}" if options.at_steps else ""
                    pipe.set_motion_debias(debias)
                    pipe.set_motion_scale(scale)
                    generated = generate_all(pipe, prompts, options.num_seeds, f"{name}, {mode}")
                    clips += measured(name, scene, prompts, generated, mode)
                pipe.unload_motion_embedding()

    result = {
        "settings": {key: str(value) for key, value in vars(options).items() if key != "output"} | GENERATION,
        "training_seconds": seconds,
        "summary": summarize(clips),
        "clips": clips,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(without_nan(result), indent=1) + "\n")
    print_summary(result)


def train(pipe: Any, name: str, scene: Scene, options: argparse.Namespace, folder: Path) -> dict[int, float]:
    """Learn a reference's motion and save it as checkpoints; the seconds that it took, by step."""
    names = TrainingConfig.__dataclass_fields__.keys() & vars(options).keys()
    config = TrainingConfig(**{name: getattr(options, name) for name in names})
    embedding = MotionEmbeddingConfig(
        debias=options.debias[0],
        target_modules=options.target_modules,
        value_grid="full" if options.value_grid == FULL_GRIDS else options.value_grid,
    )
    prompt = scene.appearance.prompt
    frames = reference_frames(name, scene)
    steps = options.at_steps or [config.max_train_steps]
    seconds = {}

    def save(progress: TrainingProgress) -> None:
        if progress.step in steps:
            seconds[progress.step] = round(time.perf_counter() - started, 1)
            progress.save_checkpoint()

    started = time.perf_counter()
    train_motion_embedding(
        pipe,
        frames,
        prompt,
        config,
        embedding_config=embedding,
        call_arguments=training_arguments(pipe),
        checkpoints=CheckpointConfig(output_dir=folder),
        callback=save,
    )
    pipe.unload_motion_embedding()
    return seconds


def reference_frames(name: str, scene: Scene) -> np.ndarray:
    """The reference's video file, or the same motion drawn at another number of frames."""
    if len(scene.motion.center) != NUM_FRAMES:
        return (scene.render() * 255).round().astype(np.uint8)
    return read_video(ASSETS / f"{name}.mp4", NUM_FRAMES, height=FRAME_SIZE, width=FRAME_SIZE)


def generate_all(pipe: Any, prompts: tuple[Appearance, ...], num_seeds: int, title: str) -> np.ndarray:
    """Clips of all prompts for all seeds, (seeds, prompts, frames, size, size, 3)."""
    texts = [appearance.prompt for appearance in prompts]
    return np.stack(
        [
            generate(pipe, texts, [1000 * seed + number for number in range(len(texts))])
            for seed in tqdm(range(num_seeds), desc=title)
        ]
    )


def measured(
    name: str, scene: Scene, prompts: tuple[Appearance, ...], generated: np.ndarray, mode: str
) -> list[dict[str, Any]]:
    """One row of figures for each clip."""
    rows = []
    for seed, clips in enumerate(generated):
        for appearance, clip in zip(prompts, clips, strict=True):
            seen = measure_clip(clip)
            row = {"reference": name, "mode": mode, "prompt": appearance.prompt, "seed": seed}
            if name in CAMERA_REFERENCES:
                row |= {"kind": "camera", "cosine": camera_fidelity(clip, scene.motion)}
            else:
                cosine, distance = object_fidelity(seen, scene.motion)
                row |= {"kind": "object", "cosine": cosine, "distance": distance}
            rows.append(row | text_fidelity([seen], [appearance]))
    return rows


def summarize(clips: list[dict[str, Any]]) -> dict[str, Any]:
    """Means with 95 % intervals by kind of reference and mode.

    Of all clips, of their differences to the clips of the same prompt and seed without an embedding, and of the cosine
    by reference.
    """
    plain = {(row["reference"], row["prompt"], row["seed"]): row for row in clips if row["mode"] == "without"}
    summary: dict[str, Any] = {}
    for kind in sorted({row["kind"] for row in clips}, reverse=True):
        of_kind = [row for row in clips if row["kind"] == kind]
        measures = [name for name, value in of_kind[0].items() if isinstance(value, float)]
        for mode in dict.fromkeys(row["mode"] for row in of_kind):
            rows = [row for row in of_kind if row["mode"] == mode]
            pairs = [(row, plain[row["reference"], row["prompt"], row["seed"]]) for row in rows]
            figures = {
                measure: {
                    "mean": interval([row[measure] for row in rows]),
                    "minus_without": interval([row[measure] - other[measure] for row, other in pairs]),
                }
                for measure in measures
            }
            colors = np.array([(row["color_error"], other["color_error"]) for row, other in pairs])
            colors = colors[np.isfinite(colors).all(1)].mean(0)
            summary[f"{kind}, {mode}"] = {
                "num_clips": len(rows),
                "measures": figures,
                "color_error_ratio": float(colors[0] / colors[1]),
                "cosine_by_reference": {
                    name: interval([row["cosine"] for row in rows if row["reference"] == name])
                    for name in dict.fromkeys(row["reference"] for row in rows)
                },
            }
    return summary


def without_nan(value: Any) -> Any:
    """The same with None for NaN, which JSON lacks."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def interval(values: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval of the values that are known (a clip without an object has no colour)."""
    return mean_and_interval(np.array(values)[np.isfinite(values)])


def print_summary(result: dict[str, Any]) -> None:
    print(f"\ntraining seconds: {result['training_seconds']}")
    for title, figures in result["summary"].items():
        print(f"\n{title}, {figures['num_clips']} clips: mean (95 % interval), and minus the clips without")
        for measure, value in figures["measures"].items():
            print(f"  {measure:12} {as_text(value['mean'])}   {as_text(value['minus_without'])}")
        print(f"  colour error to that without: {figures['color_error_ratio']:.3f}")
        for name, value in figures["cosine_by_reference"].items():
            print(f"  cosine of {name:14} {as_text(value)}")


def as_text(value: tuple[float, float, float]) -> str:
    return f"{value[0]:7.3f} ({value[1]:.3f} to {value[2]:.3f})"


if __name__ == "__main__":
    main()
