"""The package's metrics beside the exact measures, on clips of the tiny model with and without motion embeddings.

    python -m benchmarks.tiny_world.evaluate_metrics --num_seeds 2

Learns the motions of the references that are not in --embeddings yet. Prints a table and writes it as JSON. CLIP is
left out: it knows nothing of this world.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.tiny_world.embeddings import reference_frames, trained_embedding
from benchmarks.tiny_world.leakage import color_shifts
from benchmarks.tiny_world.measures import measure_clip, object_fidelity
from benchmarks.tiny_world.pipelines import TINY_T2V, generate, load_tiny_pipeline, use_one_thread
from benchmarks.tiny_world.references import OBJECT_REFERENCES, PROMPTS
from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed.metrics import appearance_leakage, motion_fidelity
from examples.report.tables import mean_and_interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained_model_name_or_path", type=Path, default=TINY_T2V)
    parser.add_argument("--references", nargs="+", choices=OBJECT_REFERENCES, default=list(OBJECT_REFERENCES))
    parser.add_argument("--num_seeds", type=int, default=2, help="Clips of each prompt and reference.")
    parser.add_argument("--embeddings", type=Path, default=Path("outputs/embeddings"))
    parser.add_argument("--debias", help="Instead of what the embeddings were trained through.")
    parser.add_argument("--output", type=Path, default=Path("outputs/metrics.json"))
    options = parser.parse_args()
    use_one_thread()

    pipe = enable_motion_embedding(load_tiny_pipeline(options.pretrained_model_name_or_path))
    plain = generate_all(pipe, options.num_seeds, "without")
    rows, pairs = [], []
    for name in options.references:
        pipe.load_motion_embedding(trained_embedding(pipe, name, options.embeddings), debias=options.debias)
        generated = generate_all(pipe, options.num_seeds, name)
        pipe.unload_motion_embedding()
        reference, motion = reference_frames(name), OBJECT_REFERENCES[name].motion
        seen_reference = measure_clip(reference)
        for clip, without in zip(generated, plain, strict=True):
            seen = [measure_clip(clip), measure_clip(without)]
            pairs.append((*seen, seen_reference))
            for mode, frames, measures in zip(("with", "without"), (clip, without), seen, strict=True):
                row = {"reference": name, "mode": mode, "exact_cosine": object_fidelity(measures, motion)[0]}
                row["lk_motion_fidelity"] = motion_fidelity(frames, reference).score
                rows.append(row | {"leakage": appearance_leakage(frames, without, reference).leakage})

    shifts = color_shifts(*map(list, zip(*pairs, strict=True)))
    result = {
        "num_clips": len(pairs),
        "modes": {mode: summary([row for row in rows if row["mode"] == mode]) for mode in ("without", "with")},
        "color_shifts": {part: vars(shift) for part, shift in shifts.items()},
        "rank_correlation": rank_correlation(rows),
        "clips": rows,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print_result(result)


def generate_all(pipe: Any, num_seeds: int, title: str) -> np.ndarray:
    """Clips of all prompts for all seeds, (seeds · prompts, frames, size, size, 3)."""
    texts = [appearance.prompt for appearance in PROMPTS]
    seeds = range(num_seeds)
    return np.concatenate(
        [generate(pipe, texts, [1000 * seed + n for n in range(len(texts))]) for seed in tqdm(seeds, desc=title)]
    )


def summary(rows: list[dict[str, Any]]) -> dict[str, tuple[float, float, float]]:
    """Means with 95 % intervals."""
    return {
        name: mean_and_interval([row[name] for row in rows])
        for name in ("exact_cosine", "lk_motion_fidelity", "leakage")
    }


def rank_correlation(rows: list[dict[str, Any]]) -> float:
    """Spearman's, of the exact cosine and the motion fidelity over all clips."""
    ranks = [np.argsort(np.argsort([row[name] for row in rows])) for name in ("exact_cosine", "lk_motion_fidelity")]
    return float(np.corrcoef(ranks)[0, 1])


def print_result(result: dict[str, Any]) -> None:
    print(f"\n{result['num_clips']} clips with and as many without: means (95 % intervals)")
    for mode, figures in result["modes"].items():
        for name, (mean, low, high) in figures.items():
            print(f"{mode:8} {name:20} {mean:7.3f} ({low:.3f} to {high:.3f})")
    for part, shift in result["color_shifts"].items():
        print(f"shift of the {part:10} {shift['distance']:6.2f} CIELAB, {shift['share']:.3f} of the whole way")
    print(f"rank correlation of both measures of motion: {result['rank_correlation']:.2f}")


if __name__ == "__main__":
    main()
