"""Rendered clips whose right motion fidelity is known: what the default tracker makes of each.

Every reference, of objects and of cameras, against clips of other looks that move in the same way, in another,
backwards, in shuffled order, not at all, or are noise.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.fidelity.lab import Clips, Lab, Outcome
from benchmarks.tiny_world.references import as_video
from benchmarks.tiny_world.scene import FRAME_SIZE, NUM_FRAMES, Appearance, Scene


@dataclass(frozen=True)
class KnownAnswers:
    """An `Experiment` without a model."""

    settings: str = "rendered clips"

    def references(self, names: list[str]) -> list[str]:
        """Each on its own."""
        return names

    def run(self, lab: Lab, reference: str) -> Outcome:
        """See `Experiment`."""
        references = lab.references
        make = references.camera_scenes if references.is_camera(reference) else references.object_scenes
        scenes = make(NUM_FRAMES)
        clips = [
            Clips(use, np.stack(frames)[None], looks)
            for use, looks, frames in rendered(reference, scenes, references.looks_for(reference))
        ]
        return Outcome(clips, as_video(scenes[reference]))


def rendered(
    name: str, scenes: dict[str, Scene], looks: tuple[Appearance, ...]
) -> list[tuple[str, tuple[Appearance, ...], list[np.ndarray]]]:
    """Clips to compare with a reference: what they are, what they show, and their frames."""
    rng = np.random.default_rng(0)
    scene = scenes[name]
    same = [as_video(Scene(look, scene.motion)) for look in looks]
    pairs = zip(looks, scenes.items(), strict=False)
    others = [
        Scene(look, other.motion)
        for look, (key, other) in pairs
        if key != name and len(other.motion.centers) == len(look.things)
    ]
    shuffled = [clip[rng.permutation(NUM_FRAMES)] for clip in same]
    noise = rng.integers(0, 256, (NUM_FRAMES, FRAME_SIZE, FRAME_SIZE, 3), dtype=np.uint8)
    return [
        ("same clip", (scene.appearance,), [as_video(scene)]),
        ("same motion, other look", looks, same),
        ("another motion", tuple(other.appearance for other in others), [as_video(other) for other in others]),
        ("reversed", looks, [clip[::-1] for clip in same]),
        ("shuffled", looks, shuffled),
        ("static", looks[:1], [np.repeat(same[0][:1], NUM_FRAMES, 0)]),
        ("noise", looks[:1], [noise]),
    ]
