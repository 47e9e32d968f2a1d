"""What the compact form of the file costs: the clips of embeddings stored whole and in it, from the same noise.

    python -m benchmarks.tiny_world.compact --num_seeds 3

Prints bytes of the files, relative errors and means over all clips. The spread is the standard deviation, from noise
to noise, of a mean over the prompts; what the compact form changes is to be smaller. Factors of low rank are there for
comparison: in float16, and as many as fit into 3 bits for each number of the value parts.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.tiny_world.embeddings import trained_embedding
from benchmarks.tiny_world.evaluate_motion import generate_all, measured
from benchmarks.tiny_world.pipelines import load_tiny_pipeline, use_one_thread
from benchmarks.tiny_world.references import OBJECT_REFERENCES, PROMPTS
from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed.functional import VALUE_DEBIAS
from diffusers_motion_embed.storage.files import WEIGHTS_NAME, read_embedding, write_embedding


MEASURES = ("cosine", "distance", "background", "color_error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--references", nargs="+", default=["figure_eight", "zigzag", "bounce", "spiral"])
    add("--max_error", type=float, nargs="+", default=[0.25])
    add("--num_seeds", type=int, default=3, help="Clips of each prompt and reference.")
    add("--embeddings", type=Path, default=Path("outputs/embeddings"), help="Trained ones, made where they lack.")
    options = parser.parse_args()
    use_one_thread()

    pipe = enable_motion_embedding(load_tiny_pipeline())
    for name in options.references:
        whole = trained_embedding(pipe, name, options.embeddings)
        forms = {"whole": whole}
        for bound in options.max_error:
            compact = options.embeddings / f"{name}-compact-{bound:g}"
            forms[f"within {bound:g}"] = write_embedding(compact, *read_embedding(whole), max_error=bound)
        print(f"\n{name:12} bytes  error  " + "  ".join(f"{measure:>11}" for measure in MEASURES))
        for form, folder in forms.items():
            pipe.load_motion_embedding(folder, name)
            generated = generate_all(pipe, PROMPTS, options.num_seeds, f"{name}, {form}")
            pipe.unload_motion_embedding()
            rows = measured(name, OBJECT_REFERENCES[name], PROMPTS, generated, form)
            by_seed = np.array([[row[measure] for measure in MEASURES] for row in rows], dtype=float)
            by_seed = np.nanmean(by_seed.reshape(options.num_seeds, len(PROMPTS), -1), axis=1)
            share = Path(folder, WEIGHTS_NAME).stat().st_size / Path(whole, WEIGHTS_NAME).stat().st_size
            print(f"{form:12} {share:5.3f}  {relative_error(whole, folder):5.3f}  " + as_text(by_seed.mean(0)))
            if form == "whole":
                print(f"{'  spread':26} " + as_text(by_seed.std(0, ddof=1)))
        print(f"{'low rank':12} {'':5}  {low_rank_error(whole):5.3f}")


def as_text(figures: np.ndarray) -> str:
    return "  ".join(f"{figure:11.3f}" for figure in figures)


def relative_error(whole: Path, compact: Path) -> float:
    """Norm of the error of all debiased value parts, as a share of theirs."""
    config, tensors = read_embedding(whole)
    other = read_embedding(compact)[1]
    debias = VALUE_DEBIAS[config.debias]
    errors = [debias(other[path]["v"] - parts["v"]).square().sum() for path, parts in tensors.items()]
    return float((sum(errors) / sum(debias(parts["v"]).square().sum() for parts in tensors.values())).sqrt())


def low_rank_error(whole: Path) -> float:
    """As `relative_error`, of the best factors (positions and frames, channels), 3 bits for each number."""
    config, tensors = read_embedding(whole)
    lost, total = 0.0, 0.0
    for parts in tensors.values():
        matrix = VALUE_DEBIAS[config.debias](parts["v"]).flatten(0, 2)
        rank = int(3 * matrix.numel() / (16 * sum(matrix.shape)))
        energies = torch.linalg.svdvals(matrix).square()
        lost, total = lost + float(energies[rank:].sum()), total + float(energies.sum())
    return (lost / total) ** 0.5


if __name__ == "__main__":
    main()
