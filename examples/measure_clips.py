"""Measure a generated video against the reference whose motion it should have.

    python -m examples.measure_clips --generated panda.mp4 --reference skateboard.mp4 --plain panda-without.mp4 \
        --num_frames 16

With --clip_model also how well it fits its prompt. What the figures mean: docs/metrics.md.
"""

import argparse
import time
from pathlib import Path

from diffusers_motion_embed import read_video
from diffusers_motion_embed.metrics import (
    ClipFeatures,
    ColorHistogram,
    appearance_leakage,
    temporal_consistency,
    text_similarity,
    track,
    track_fidelity,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generated", type=Path, required=True)
    parser.add_argument("--reference", type=Path, required=True)
    parser.add_argument("--plain", type=Path, help="Of the same prompt and noise, without the motion embedding.")
    parser.add_argument("--num_frames", type=int, default=16)
    parser.add_argument("--height", type=int, help="In pixels; the videos' own by default.")
    parser.add_argument("--width", type=int)
    parser.add_argument("--prompt")
    parser.add_argument("--clip_model", help='Folder or id of a CLIP model, as "openai/clip-vit-large-patch14".')
    options = parser.parse_args()

    generated, reference, plain = (
        path and read_video(path, options.num_frames, height=options.height, width=options.width)
        for path in (options.generated, options.reference, options.plain)
    )
    features = ClipFeatures.from_pretrained(options.clip_model) if options.clip_model else ColorHistogram()
    started = time.perf_counter()

    reference_tracks = track(reference)
    fidelity = track_fidelity(track(generated), reference_tracks)
    figures = {
        f"motion fidelity ({fidelity.tracker})": fidelity.score,
        "  of the generated clip's tracks": fidelity.of_generated,
        "  of the reference's tracks": fidelity.of_reference,
        f"temporal consistency ({features.name})": temporal_consistency(generated, features),
    }
    if plain is not None:
        leakage = appearance_leakage(generated, plain, reference, features)
        figures[f"appearance leakage ({leakage.features})"] = leakage.leakage
        figures[f"motion fidelity ({fidelity.tracker}) of the plain clip"] = track_fidelity(
            track(plain), reference_tracks
        ).score
    if options.prompt and options.clip_model:
        figures["text similarity (clip)"] = text_similarity(generated, options.prompt, features)
    for name, value in figures.items():
        print(f"{name:48} {value:7.3f}")
    print(f"\nMeasured in {time.perf_counter() - started:.1f} s.")


if __name__ == "__main__":
    main()
