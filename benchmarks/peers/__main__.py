"""One method on the tiny model: learns references, and prints the exact measures of what it generates.

python -m benchmarks.peers "temporal LoRA" --references figure_eight zigzag --config '{"learning_rate": 0.003}'
"""

import argparse
import json
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from benchmarks.peers import METHODS, Method, Reference
from benchmarks.tiny_world.evaluate_motion import measured, reference_frames
from benchmarks.tiny_world.pipelines import TINY_T2V, call_arguments, load_tiny_pipeline, use_one_thread
from benchmarks.tiny_world.references import OBJECT_REFERENCES, PROMPTS, object_references


MEASURES = ("cosine", "distance", "color", "background", "shape", "color_error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("method", choices=METHODS)
    add("--references", nargs="+", choices=OBJECT_REFERENCES, default=list(OBJECT_REFERENCES))
    add("--pretrained_model_name_or_path", type=Path, default=TINY_T2V)
    add("--num_samples", type=int, default=400, help="Of the training.")
    add("--num_seeds", type=int, default=1, help="Clips of each prompt and reference.")
    add("--config", type=json.loads, default={}, help="Options of the training to change, as JSON.")
    add("--settings", type=json.loads, default={}, help="Settings of the method to change, as JSON.")
    options = parser.parse_args()
    use_one_thread()

    method = changed(METHODS[options.method], options.config, options.settings)
    pipe = load_tiny_pipeline(options.pretrained_model_name_or_path)
    scenes = object_references(call_arguments(pipe)["num_frames"])
    rows = []
    for name in options.references:
        scene = scenes[name]
        reference = Reference(reference_frames(name, scene), scene.appearance.prompt)
        started = time.process_time()
        with method.learn(pipe, reference, options.num_samples, seed=0) as transfer:
            seconds = time.process_time() - started
            texts = [appearance.prompt for appearance in PROMPTS]
            seeds = [[1000 * seed + number for number in range(len(texts))] for seed in range(options.num_seeds)]
            generated = np.stack([transfer.generate(texts, each) for each in seeds])
        found = measured(name, scene, PROMPTS, generated, options.method)
        rows += found
        print(f"{name:14} {as_text(found)}  {seconds:.0f} s of processor time, {transfer.num_bytes} bytes", flush=True)
    print(f"{'all':14} {as_text(rows)}")


def changed(method: Method, config: dict, settings: dict) -> Method:
    """The method with other settings.

    Raises:
        ValueError: If it has no such settings.
    """
    unknown = settings.keys() - {field.name for field in fields(method)}
    if unknown or (config and not hasattr(method, "config")):
        raise ValueError(f"{type(method).__name__} has no setting {', '.join(unknown) or 'config'}.")
    if config:
        settings = {**settings, "config": replace(method.config, **config)}
    return replace(method, **settings)


def as_text(rows: list[dict]) -> str:
    return "  ".join(f"{name} {np.nanmean([row[name] for row in rows]):.3f}" for name in MEASURES)


if __name__ == "__main__":
    main()
