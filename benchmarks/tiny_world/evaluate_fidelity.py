"""Motion fidelity of rendered clips whose right answer is known: what the default tracker makes of each.

    python -m benchmarks.tiny_world.evaluate_fidelity

Every reference, of objects and of cameras, against clips of other looks that move in the same way, in another,
backwards, in shuffled order, not at all, or are noise. Prints a table of means and ranges.
"""

import numpy as np

from benchmarks.tiny_world.references import CAMERA_PROMPTS, CAMERA_REFERENCES, OBJECT_REFERENCES, PROMPTS
from benchmarks.tiny_world.scene import FRAME_SIZE, NUM_FRAMES, Appearance, Motion, Scene, render
from diffusers_motion_embed.metrics import track, track_fidelity


def main() -> None:
    for kind, scenes, looks in (
        ("objects", OBJECT_REFERENCES, PROMPTS),
        ("cameras", CAMERA_REFERENCES, CAMERA_PROMPTS),
    ):
        scores: dict[str, list[float]] = {}
        for name, scene in scenes.items():
            reference = track(as_video(scene.appearance, scene.motion))
            for title, clip in clips(name, scenes, looks):
                scores.setdefault(title, []).append(track_fidelity(track(clip), reference).score)
        print(f"\n{kind:24}  mean  lowest highest")
        for title, values in scores.items():
            print(f"{title:24} {np.mean(values):6.2f} {min(values):6.2f} {max(values):6.2f}")


def as_video(look: Appearance, motion: Motion) -> np.ndarray:
    return (render(look, motion) * 255).round().astype(np.uint8)


def clips(name: str, scenes: dict[str, Scene], looks: tuple[Appearance, ...]) -> list[tuple[str, np.ndarray]]:
    """Clips to compare with a reference, and what they are."""
    rng = np.random.default_rng(0)
    same = [as_video(look, scenes[name].motion) for look in looks]
    others = [(look, other.motion) for look, (key, other) in zip(looks, scenes.items(), strict=False) if key != name]
    return [
        ("same clip", as_video(scenes[name].appearance, scenes[name].motion)),
        *(("same motion, other look", clip) for clip in same),
        *(("another motion", as_video(*other)) for other in others),
        *(("reversed", clip[::-1]) for clip in same),
        *(("shuffled", clip[rng.permutation(NUM_FRAMES)]) for clip in same),
        ("static", np.repeat(same[0][:1], NUM_FRAMES, 0)),
        ("noise", rng.integers(0, 256, (NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3), dtype=np.uint8)),
    ]


if __name__ == "__main__":
    main()
