"""Measure a generated video against the reference whose motion it should have.

    python -m examples.measure_clips --generated panda.mp4 --reference skateboard.mp4 --plain panda-without.mp4 \
        --num_frames 16

With --clip_model also how well it fits its prompt. What the figures mean: docs/metrics.md.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from diffusers_motion_embed import read_video
from diffusers_motion_embed.metrics import (
    ClipFeatures,
    Tracks,
    appearance_leakage,
    temporal_consistency,
    text_similarity,
    track,
    track_fidelity,
)


def measure(
    generated: np.ndarray,
    reference: np.ndarray,
    plain: np.ndarray | None = None,
    prompt: str | None = None,
    features: ClipFeatures | None = None,
    reference_tracks: Tracks | None = None,
) -> dict[str, float]:
    """All measures of a clip, by name.

    Args:
        generated: (frames, height, width, 3), uint8.
        reference: The clip whose motion it should have.
        plain: The clip of the same prompt and noise without motion embedding, to measure leakage.
        prompt: The clip's prompt, to measure how well it fits, with `features`.
        features: Features of CLIP, for the measures that need them.
        reference_tracks: `track(reference)`, which is the same for many clips.
    """
    fidelity = track_fidelity(track(generated), reference_tracks or track(reference))
    measures = {f"motion fidelity ({fidelity.tracker})": fidelity.score}
    if plain is not None:
        for each in dict.fromkeys((None, features)):
            leakage = appearance_leakage(generated, plain, reference, each)
            measures[f"leakage ({leakage.features})"] = leakage.leakage
    if features is not None:
        measures["temporal consistency"] = temporal_consistency(generated, features)
        if prompt is not None:
            measures["text similarity"] = text_similarity(generated, prompt, features)
    return measures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generated", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--plain", type=Path, help="The clip of the same prompt and noise, without motion embedding.")
    parser.add_argument("--num_frames", type=int, default=16)
    parser.add_argument("--height", type=int, help="In pixels; the videos' own by default.")
    parser.add_argument("--width", type=int, help="In pixels; the videos' own by default.")
    parser.add_argument("--prompt")
    parser.add_argument("--clip_model", help='Folder or id of a CLIP model, as "openai/clip-vit-large-patch14".')
    options = parser.parse_args()

    generated, reference, plain = (
        path and read_video(path, options.num_frames, height=options.height, width=options.width)
        for path in (options.generated, options.reference, options.plain)
    )
    features = ClipFeatures.from_pretrained(options.clip_model) if options.clip_model else None
    started = time.perf_counter()
    figures = measure(generated, reference, plain, options.prompt, features)
    if plain is not None:
        (name, value), *_ = measure(plain, reference).items()
        figures[f"{name} of the plain clip"] = value
    for name, value in figures.items():
        print(f"{name:48} {value:7.3f}")
    print(f"\nMeasured in {time.perf_counter() - started:.1f} s.")


if __name__ == "__main__":
    main()
