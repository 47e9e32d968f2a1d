"""What can be calculated with motion embeddings, and what things then do: sums, mixtures, scales, reversal, sequences.

    python -m benchmarks.tiny_world.arithmetic

Learns the motions of the references that are not in --embeddings yet. Writes one plot for each question to
--pictures, and all figures to --output as JSON, and prints tables.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from benchmarks.tiny_world.embeddings import trained_embedding
from benchmarks.tiny_world.measures import center_distance, displacement_cosine, measure_clip, text_fidelity
from benchmarks.tiny_world.pipelines import TINY_T2V, generate, load_tiny_pipeline, use_one_thread
from benchmarks.tiny_world.references import OBJECT_REFERENCES, PROMPTS
from benchmarks.tiny_world.scene import NUM_FRAMES
from diffusers_motion_embed import MotionEmbeddingConfig, enable_motion_embedding
from diffusers_motion_embed.arithmetic import concatenated_embedding, reversed_embedding
from diffusers_motion_embed.storage.files import EmbeddingTensors, read_embedding, to_state_dict


matplotlib.use("Agg")
import matplotlib.pyplot as plt


PAIRS = (("figure_eight", "zigzag"), ("bounce", "spiral"))
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
Embeddings = dict[str, tuple[MotionEmbeddingConfig, EmbeddingTensors]]


@dataclass(frozen=True)
class Case:
    """One thing to try.

    Args:
        title: Of its panel.
        load: Loads what is tried into a pipeline without embeddings.
        targets: Paths to compare with, (frames, 2), by name; the first is drawn.
        num_frames: Of the clips.
    """

    title: str
    load: Callable[[Any], None]
    targets: dict[str, np.ndarray]
    num_frames: int = NUM_FRAMES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained_model_name_or_path", type=Path, default=TINY_T2V)
    parser.add_argument("--embeddings", type=Path, default=Path("outputs/embeddings"))
    parser.add_argument("--questions", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--num_seeds", type=int, default=1, help="Clips of each prompt and case.")
    parser.add_argument("--pictures", type=Path, default=Path("outputs/arithmetic"))
    parser.add_argument("--output", type=Path, default=Path("outputs/arithmetic.json"))
    options = parser.parse_args()
    use_one_thread()

    pipe = enable_motion_embedding(load_tiny_pipeline(options.pretrained_model_name_or_path))
    embeddings = {
        name: read_embedding(trained_embedding(pipe, name, options.embeddings)) for name in OBJECT_REFERENCES
    }
    options.pictures.mkdir(parents=True, exist_ok=True)
    result = {}
    for question in options.questions:
        paths, result[question] = {}, []
        for case in tqdm(list(QUESTIONS[question](embeddings)), desc=question):
            case.load(pipe)
            seen = measured_clips(pipe, case.num_frames, options.num_seeds)
            pipe.unload_motion_embedding()
            paths[case.title] = (next(iter(case.targets.values())), [clip.center for clip in seen])
            result[question].append(figures(case, seen))
        picture = options.pictures / f"{question}.png"
        if question == "sequence":  # two motions over each other are a tangle
            draw_over_time(paths, picture)
        else:
            draw(paths, picture)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(result, indent=1) + "\n")
        print_table(question, result[question])


def measured_clips(pipe: Any, num_frames: int, num_seeds: int) -> list:
    """Measures of the clips of all prompts for all seeds."""
    prompts = [appearance.prompt for appearance in PROMPTS]
    clips = [
        generate(pipe, prompts, [1000 * seed + number for number in range(len(prompts))], num_frames)
        for seed in range(num_seeds)
    ]
    return [measure_clip(clip) for clip in np.concatenate(clips)]


def figures(case: Case, seen: list) -> dict[str, Any]:
    """Means over clips: cosine, distance and gain by target, and shares of clips that show what their prompt says."""
    found = {}
    for name, target in case.targets.items():
        centers = [clip.center for clip in seen if clip.present.any()]
        steps = np.diff(target, axis=0)
        found[name] = {
            "cosine": np.mean([displacement_cosine(np.diff(center, axis=0), steps) for center in centers]),
            "distance": np.mean([center_distance(center, target) for center in centers]),
            "gain": np.mean([gain(center, target) for center in centers]),
        }
    shares = text_fidelity(seen, list(PROMPTS) * (len(seen) // len(PROMPTS)))
    return {"case": case.title, "targets": found, **{name: shares[name] for name in ("shape", "background")}}


def gain(center: np.ndarray, target: np.ndarray) -> float:
    """By how much the target's path, about its mean, has to be stretched to fit best: 1 the same, -1 mirrored."""
    known = np.isfinite(center).all(-1)
    centered, wanted = (path[known] - path[known].mean(0) for path in (center, target))
    return float((centered * wanted).sum() / (wanted**2).sum())


def path_of(name: str) -> np.ndarray:
    return OBJECT_REFERENCES[name].motion.screen_center


def resampled(path: np.ndarray, num_frames: int) -> np.ndarray:
    """The same path in another number of frames, linearly, first and last kept."""
    time = np.linspace(0, len(path) - 1, num_frames)
    return np.stack([np.interp(time, range(len(path)), axis) for axis in path.T], axis=1)


def load(config: MotionEmbeddingConfig, tensors: EmbeddingTensors) -> Callable[[Any], None]:
    """Something to load an embedding with."""
    state_dict = to_state_dict(config, tensors)
    return lambda pipe: pipe.load_motion_embedding(state_dict, config=replace(config))


def weighted(embeddings: Embeddings, weights: dict[str, float]) -> Callable[[Any], None]:
    """Something to load several embeddings with, each with its weight, as users do."""

    def load_all(pipe: Any) -> None:
        for name in weights:
            config, tensors = embeddings[name]
            pipe.load_motion_embedding(to_state_dict(config, tensors), name, config=replace(config))
        pipe.set_motion_embeddings(list(weights), list(weights.values()))

    return load_all


def each_tensor(embeddings: list[EmbeddingTensors], function: Callable[[list], torch.Tensor]) -> EmbeddingTensors:
    """Every part of every layer as the function of that part of the embeddings."""
    return {
        path: {part: function([tensors[path][part] for tensors in embeddings]) for part in parts}
        for path, parts in embeddings[0].items()
    }


def scale(embeddings: Embeddings) -> Iterator[Case]:
    """What do scales between 0 and 1.5 do?"""
    name = "figure_eight"
    for value in SCALES:
        yield Case(f"{value:g} · {name}", weighted(embeddings, {name: value}), {"reference": path_of(name)})


def negative_scale(embeddings: Embeddings) -> Iterator[Case]:
    """Does a negative scale mirror the path, or reverse it?"""
    for name in ("zigzag", "spiral"):
        path = path_of(name)
        targets = {"mirrored": -path, "reversed": path[::-1]}
        for value in (-0.5, -1.0):
            yield Case(f"{value:g} · {name}", weighted(embeddings, {name: value}), targets)


def sums(embeddings: Embeddings) -> Iterator[Case]:
    """Do two motions at once give the sum of their paths?"""
    for first, second in PAIRS:
        paths = path_of(first), path_of(second)
        for weight in (0.7, 1.0):
            targets = {"sum": weight * (paths[0] + paths[1]), first: paths[0], second: paths[1]}
            yield Case(
                f"{weight:g} · ({first} + {second})",
                weighted(embeddings, dict.fromkeys((first, second), weight)),
                targets,
            )


def interpolation(embeddings: Embeddings) -> Iterator[Case]:
    """Does the path go over from one to the other as the weights do?"""
    for first, second in PAIRS:
        paths = path_of(first), path_of(second)
        for share in (0.25, 0.5, 0.75):
            targets = {"between": (1 - share) * paths[0] + share * paths[1], first: paths[0], second: paths[1]}
            load_both = weighted(embeddings, {first: 1 - share, second: share})
            yield Case(f"{1 - share:g} · {first} + {share:g} · {second}", load_both, targets)


def reversal(embeddings: Embeddings) -> Iterator[Case]:
    """Is it what is added that has to be flipped in time, or the embedding before its debiasing?"""
    for name, (config, tensors) in embeddings.items():
        path = path_of(name)
        targets = {"reversed": path[::-1], "forward": path}
        yield Case(f"{name}, after debiasing", load(*reversed_embedding(config, tensors)), targets)
        before = each_tensor([tensors], lambda parts: parts[0].flip(-2))
        yield Case(f"{name}, before debiasing", load(config, before), targets)


def sequence(embeddings: Embeddings) -> Iterator[Case]:
    """Does one motion follow the other: in clips as long as both, squeezed into one's length, or half and half?"""
    half = NUM_FRAMES // 2
    for first, second in PAIRS:
        pair = [embeddings[first], embeddings[second]]
        both = load(*concatenated_embedding(pair))
        paths = path_of(first), path_of(second)
        path, title = np.concatenate(paths), f"{first}, {second}"
        yield Case(f"{title}: {2 * NUM_FRAMES} frames", both, {"one, then the other": path}, 2 * NUM_FRAMES)
        yield Case(f"{title}: {NUM_FRAMES} frames", both, {"one, then the other": resampled(path, NUM_FRAMES)})
        # A reversal changes nothing but the order, and what is added.
        added = [reversed_embedding(*reversed_embedding(*entry)) for entry in pair]
        halves = each_tensor(
            [tensors for _, tensors in added],
            lambda parts: torch.cat([parts[0][..., :half, :], parts[1][..., half:, :]], -2),
        )
        path = np.concatenate([paths[0][:half], paths[1][half:]])
        yield Case(f"{title}: half and half", load(added[0][0], halves), {"half of each": path})


QUESTIONS = {
    function.__name__: function for function in (scale, negative_scale, sums, interpolation, reversal, sequence)
}


def draw(paths: dict[str, tuple[np.ndarray, list[np.ndarray]]], path: Path, columns: int = 4) -> None:
    """One panel for each case: the paths of all clips, over the one that is expected; dots where they begin."""
    figure, panels = panels_for(paths, columns)
    for panel, (target, found) in zip(panels, paths.values(), strict=True):
        panel.plot(*target.T, "-", lw=5, color="0.8", solid_joinstyle="round")
        panel.plot(*target[0], "o", ms=10, color="0.6")
        for number, center in enumerate(found):
            panel.plot(*center.T, "-", lw=1, color=f"C{number % 10}")
            panel.plot(*center[0], "o", ms=4, color=f"C{number % 10}")
        panel.set(xlim=(-0.9, 0.9), ylim=(0.9, -0.9), xticks=[], yticks=[], aspect="equal")
    save(figure, path)


def draw_over_time(paths: dict[str, tuple[np.ndarray, list[np.ndarray]]], path: Path, columns: int = 3) -> None:
    """One panel for each case: how far to the right (red) and down (blue) clips are in each frame, over the target."""
    figure, panels = panels_for(paths, columns)
    for panel, (target, found) in zip(panels, paths.values(), strict=True):
        for axis, (dark, pale) in enumerate((("tab:red", "lightpink"), ("tab:blue", "lightsteelblue"))):
            panel.plot(target[:, axis], "-", lw=5, color=pale, zorder=1)
            for center in found:
                panel.plot(center[:, axis], "-", lw=0.8, color=dark)
        panel.set(xlim=(0, len(target) - 1), xticks=range(0, len(target), 5), ylim=(-0.9, 0.9), yticks=[])
    save(figure, path)


def panels_for(paths: dict[str, Any], columns: int) -> tuple[Any, list]:
    """A figure, and a panel with its title for each case."""
    columns = min(columns, len(paths))
    rows = -(-len(paths) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.9 * columns, 3.1 * rows), dpi=80, squeeze=False, layout="constrained"
    )
    panels = list(grid.flat)
    for panel in panels[len(paths) :]:
        panel.set_axis_off()
    for panel, title in zip(panels, paths, strict=False):
        panel.set_title(title.replace(": ", "\n"), fontsize=10)
    return figure, panels[: len(paths)]


def save(figure: Any, path: Path) -> None:
    """As a PNG of few colours, a third of the size that matplotlib writes."""
    figure.canvas.draw()
    Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB").quantize(64).save(path, optimize=True)
    plt.close(figure)


def print_table(question: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{question}\n{'':62} cosine distance   gain  shape background")
    for row in rows:
        for name, found in row["targets"].items():
            motion = f"{found['cosine']:6.2f} {found['distance']:8.2f} {found['gain']:6.2f}"
            print(f"{row['case'] + ' / ' + name:62} {motion} {row['shape']:6.2f} {row['background']:10.2f}")


if __name__ == "__main__":
    main()
