"""Motions that act in one half of the picture each: does one of two things move, or each by its own motion?"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.fidelity.arithmetic import ALL
from benchmarks.fidelity.lab import Clips, Lab, Outcome, Sides
from benchmarks.fidelity.learned import OWN_RECIPES
from benchmarks.peers.generation import generator_of
from benchmarks.tiny_world.pipelines import training_arguments
from benchmarks.tiny_world.reference_sets import prompts_for
from benchmarks.tiny_world.references import as_video
from benchmarks.tiny_world.scene import Appearance, Motion, Scene, Thing
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding


LEFT, RIGHT = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])  # masks, laid over the whole picture
# Looks like none of what the prompts ask for; two objects, so that the prompts are of two.
SHOWN = Appearance("red", "circle", "gray", "plain", Thing("green", "ring"))


def wave(num_frames: int, sign: float) -> Scene:
    """One object in the middle, up and down once, or down and up: there is room for that in either half."""
    height = sign * 0.5 * np.sin(2 * np.pi * np.linspace(0, 1, num_frames))
    look = Appearance(SHOWN.color, SHOWN.shape, SHOWN.background)
    return Scene(look, Motion.of_object(np.stack([np.zeros(num_frames), height], 1)))


@dataclass(frozen=True)
class Regions:
    """An `Experiment`.

    Args:
        config: Options of the training; None for the model's own recipe.
    """

    config: TrainingConfig | None = None

    @property
    def settings(self) -> str:
        """See `Experiment`."""
        return repr(("up and down", self.config or OWN_RECIPES))

    def references(self, names: list[str]) -> list[str]:
        """Two of its own."""
        return [ALL]

    def run(self, lab: Lab, reference: str) -> Outcome:
        """See `Experiment`."""
        looks = prompts_for("regions", SHOWN, is_camera=False)
        up, down = (wave(lab.num_frames, sign) for sign in (-1.0, 1.0))
        started = time.process_time()
        try:
            for name, scene in (("up", up), ("down", down)):
                arguments = {"adapter_name": name, "call_arguments": training_arguments(lab.pipe)}
                train_motion_embedding(lab.pipe, as_video(scene), scene.appearance.prompt, self.config, **arguments)
            seconds = time.process_time() - started
            clips = [
                Clips(use, lab.generate(generator_of(lab.pipe), looks, use), looks, sides=sides)
                for use, sides in _uses(lab.pipe, up.motion.screen_center, down.motion.screen_center)
            ]
        finally:
            lab.pipe.unload_motion_embedding()
        return Outcome(clips, seconds=seconds)


def _uses(pipe: Any, up: np.ndarray, down: np.ndarray) -> Iterator[tuple[str, Sides]]:
    """Sets the pipeline up for one use after the other, and tells the motion of each side."""
    pipe.set_motion_embeddings(["up", "down"], [0.0, 0.0])
    yield "without, compared with up and down", (up, down)
    pipe.set_motion_embeddings("up", 1.0)
    yield "up everywhere", (up, up)
    pipe.set_motion_region(LEFT, "up")
    yield "up in the left half", (up, None)
    pipe.set_motion_region(RIGHT, "up")
    yield "up in the right half", (None, up)
    pipe.set_motion_embeddings(["up", "down"], [1.0, 1.0])
    pipe.set_motion_region(LEFT, "up")
    pipe.set_motion_region(RIGHT, "down")
    yield "up in the left half, down in the right", (up, down)
