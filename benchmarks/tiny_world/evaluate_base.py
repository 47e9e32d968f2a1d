"""Measure a tiny model itself: does it draw what the prompt says?

    python -m benchmarks.tiny_world.evaluate_base --pretrained_model_name_or_path examples/tiny-t2v

Prints a table and writes it as JSON.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.tiny_world.measures import measure_clip, text_fidelity
from benchmarks.tiny_world.pipelines import GENERATION, TINY_T2V, generate, load_tiny_pipeline, use_one_thread
from benchmarks.tiny_world.scene import all_appearances


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained_model_name_or_path", type=Path, default=TINY_T2V)
    parser.add_argument("--num_clips", type=int, default=504)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("outputs/base.json"))
    options = parser.parse_args()
    use_one_thread()

    pipe = load_tiny_pipeline(options.pretrained_model_name_or_path)
    appearances = all_appearances()
    order = np.random.default_rng(options.seed).permutation(len(appearances))
    prompted = [appearances[order[i % len(order)]] for i in range(options.num_clips)]
    measures = []
    for start in tqdm(range(0, options.num_clips, options.batch_size), desc="generating"):
        batch = prompted[start : start + options.batch_size]
        seeds = [options.seed * 1_000_000 + start + i for i in range(len(batch))]
        clips = generate(pipe, [appearance.prompt for appearance in batch], seeds)
        measures += [measure_clip(clip) for clip in clips]
    result = {"num_clips": options.num_clips, **GENERATION, **text_fidelity(measures, prompted)}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in result.items():
        print(f"{name:20} {value:.4g}")


if __name__ == "__main__":
    main()
