"""Measure a tiny model itself: does it draw what the prompt says, and move cameras as its training clips do?

    python -m benchmarks.tiny_world.evaluate_base --pretrained_model_name_or_path examples/tiny-t2v

Prints tables, one line for prompts of one object and one for prompts of two, and writes the figures as JSON.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.tiny_world.measures import (
    KINDS,
    CameraExtent,
    ClipMeasures,
    camera_extent,
    measure_clip,
    path_of,
    text_fidelity,
)
from benchmarks.tiny_world.pipelines import (
    GENERATION,
    TINY_T2V,
    call_arguments,
    generate,
    load_tiny_pipeline,
    use_one_thread,
)
from benchmarks.tiny_world.scene import Appearance, all_appearances
from benchmarks.tiny_world.training_clips import random_appearance, random_scene
from diffusers_motion_embed.commands.base_pipeline import available_device
from examples.report import table


TRAINING_CLIPS = 2000  # whose cameras are compared with; nothing of them is drawn
PROMPTS = {1: "one object", 2: "two objects"}
SIZES = ("pan", "zoom", "roll")  # means over all clips, see `CameraExtent`


def prompts_of(number: int, num_clips: int, seed: int) -> list[Appearance]:
    """What is asked for: all appearances of one object in random order, or random ones of two objects."""
    rng = np.random.default_rng(seed)
    if number == 2:
        return [random_appearance(rng, two_objects=True) for _ in range(num_clips)]
    appearances = all_appearances()
    order = rng.permutation(len(appearances))
    return [appearances[order[i % len(order)]] for i in range(num_clips)]


def measured(pipe: Any, prompted: list[Appearance], batch_size: int, seed: int) -> list[ClipMeasures]:
    """The measures of one clip of each prompt."""
    found: list[ClipMeasures] = []
    for start in tqdm(range(0, len(prompted), batch_size), desc="generating"):
        batch = prompted[start : start + batch_size]
        seeds = [seed * 1_000_000 + start + i for i in range(len(batch))]
        clips = generate(pipe, [appearance.prompt for appearance in batch], seeds)
        found += [measure_clip(clip, asked) for clip, asked in zip(clips, batch, strict=True)]
    return found


def training_extents(number: int, num_frames: int, num_clips: int) -> list[CameraExtent | None]:
    """How far the cameras of training clips of so many objects go."""
    rng = np.random.default_rng(0)
    scenes = (random_scene(rng, num_frames) for _ in range(num_clips))
    return [camera_extent(path_of(each.motion)) for each in scenes if len(each.appearance.things) == number]


def camera_figures(extents: Iterable[CameraExtent | None]) -> dict[str, float]:
    """Share of the clips that move the camera, and mean sizes, of the clips whose camera is known; and how many."""
    known = [extent for extent in extents if extent is not None]
    if not known:
        return {"clips": 0}
    means = {size: float(np.mean([getattr(extent, size) for extent in known])) for size in SIZES}
    return {"clips": len(known), "move": float(np.mean([extent.moves for extent in known])), **means}


def evaluate(pipe: Any, number: int, num_clips: int, batch_size: int, seed: int) -> dict[str, Any]:
    """All figures of prompts of so many objects."""
    prompted = prompts_of(number, num_clips, seed)
    measures = measured(pipe, prompted, batch_size, seed)
    return {
        **text_fidelity(measures),
        "camera": camera_figures(camera_extent(seen.camera) for seen in measures),
        "training_camera": camera_figures(
            training_extents(number, call_arguments(pipe)["num_frames"], TRAINING_CLIPS)
        ),
    }


def tables_of(result: dict[str, dict[str, Any]]) -> str:
    """What is printed."""
    shares = (*KINDS, "right", "every_frame")
    rows = [
        (name, *(f"{100 * figures[share]:.1f} %" for share in shares), f"{figures['flicker']:.2f}")
        for name, figures in result.items()
    ]
    cameras = [
        (
            f"{name}, {label}",
            *(f"{figures[key].get(figure, float('nan')):.2f}" for figure in ("clips", "move", *SIZES)),
        )
        for name, figures in result.items()
        for key, label in (("camera", "generated"), ("training_camera", "training"))
    ]
    header = ("share of frames", *KINDS, "all", "every frame (of clips)", "flicker")
    return f"{table(header, rows)}\n\n{table(('cameras', 'clips', 'move', *SIZES), cameras)}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--pretrained_model_name_or_path", type=Path, default=TINY_T2V)
    add("--num_clips", type=int, default=504, help="Of prompts of one object, and as many of two.")
    add("--num_objects", type=int, nargs="+", choices=list(PROMPTS), default=list(PROMPTS))
    add("--batch_size", type=int, default=8)
    add("--seed", type=int, default=0)
    add("--output", type=Path, default=Path("outputs/base.json"))
    options = parser.parse_args(arguments)
    use_one_thread()
    pipe = load_tiny_pipeline(options.pretrained_model_name_or_path).to(available_device())
    result = {
        PROMPTS[number]: evaluate(pipe, number, options.num_clips, options.batch_size, options.seed)
        for number in options.num_objects
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    settings = {"num_clips": options.num_clips, "seed": options.seed, **GENERATION}
    options.output.write_text(json.dumps({**settings, **result}, indent=2) + "\n")
    print(tables_of(result))


if __name__ == "__main__":
    main()
