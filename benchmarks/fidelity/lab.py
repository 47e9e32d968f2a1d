"""A tiny pipeline with everything that experiments share: references, seeds, plain clips, kept embeddings."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from benchmarks.peers import Reference
from benchmarks.peers.generation import generator_of
from benchmarks.peers.method import Generate
from benchmarks.tiny_world.pipelines import begins_with_picture, call_arguments, training_arguments
from benchmarks.tiny_world.reference_sets import ReferenceSet
from benchmarks.tiny_world.references import CHOOSING, as_video, reference_frames
from benchmarks.tiny_world.scene import Appearance, Scene
from diffusers_motion_embed import MotionEmbeddingConfig, enable_motion_embedding
from diffusers_motion_embed.architectures import supported_models
from diffusers_motion_embed.training import RECIPES, TrainingConfig, train_motion_embedding
from diffusers_motion_embed.training.recipes import Recipe, default_recipe


# The paths, (frames, 2), by which things on the left and on the right side move; None where nothing acts.
Sides = tuple[np.ndarray | None, np.ndarray | None]


@dataclass(frozen=True)
class Clips:
    """Clips that one use of what was learned made.

    Args:
        use: Its name.
        frames: (seeds, looks, frames, size, size, 3), uint8.
        looks: What each of them should show.
        plain: The clips of the same prompts and noise by the plain model, of the same shape.
        pictures: The first frames that were given, (looks, size, size, 3), uint8.
        targets: Paths to compare with, (frames, 2), by name.
        sides: Of clips of two objects: the motions of both sides of the picture.
        figures: Further figures, the same for all clips.
    """

    use: str
    frames: np.ndarray
    looks: tuple[Appearance, ...]
    plain: np.ndarray | None = None
    pictures: np.ndarray | None = None
    targets: Mapping[str, np.ndarray] = field(default_factory=dict)
    sides: Sides | None = None
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What came of an experiment on one reference.

    Args:
        clips: One entry for each use.
        reference: The clip whose motion they should have, (frames, size, size, 3), uint8; None if there are several.
        seconds: Processor time of learning.
        num_bytes: Size of what was learned.
    """

    clips: list[Clips]
    reference: np.ndarray | None = None
    seconds: float = 0.0
    num_bytes: int = 0


class Lab:
    """Generates clips on one pipeline.

    Args:
        pipe: A tiny pipeline.
        folder: Embeddings that several experiments use are kept there.
        num_seeds: Number of clips of each prompt.
        references: What is learned from, and tried on.
    """

    def __init__(self, pipe: Any, folder: Path, num_seeds: int, references: ReferenceSet = CHOOSING) -> None:
        self.pipe, self.folder, self.num_seeds = enable_motion_embedding(pipe), folder, num_seeds
        self.num_frames = call_arguments(pipe)["num_frames"]
        self.references = references
        self.scenes = references.scenes(self.num_frames)
        self._plain: dict[tuple[tuple[Appearance, ...], bytes], np.ndarray] = {}

    def reference(self, name: str) -> Reference:
        """What is learned from: the clip, and the prompt that describes it."""
        return Reference(reference_frames(name, self.num_frames, self.references), self.scenes[name].appearance.prompt)

    def pictures(self, reference: str) -> np.ndarray | None:
        """First frames for a pipeline that begins with them: each look where and as large as the reference begins.

        Returns:
            (looks, size, size, 3), uint8; None for a pipeline that begins with text alone.
        """
        if not begins_with_picture(self.pipe):
            return None
        begin = self.scenes[reference]
        scenes = (Scene(look, begin.motion[:1], begin.radius) for look in self.references.looks_for(reference))
        return np.concatenate([as_video(scene) for scene in scenes])

    def generate(
        self,
        function: Generate,
        looks: tuple[Appearance, ...],
        title: str = "",
        pictures: np.ndarray | None = None,
    ) -> np.ndarray:
        """Clips of all looks for all seeds, (seeds, looks, frames, size, size, 3)."""
        texts = [look.prompt for look in looks]
        begun = () if pictures is None else (pictures,)
        return np.stack(
            [
                function(texts, [1000 * seed + number for number in range(len(texts))], *begun)
                for seed in tqdm(range(self.num_seeds), title, leave=False)
            ]
        )

    def plain(self, reference: str) -> np.ndarray:
        """The plain model's clips of the looks that a reference is tried on; made once for all that begin alike."""
        looks, pictures = self.references.looks_for(reference), self.pictures(reference)
        key = looks, b"" if pictures is None else pictures.tobytes()
        if key not in self._plain:
            self._plain[key] = self.generate(generator_of(self.pipe), looks, "without", pictures)
        return self._plain[key]

    def embedding(self, name: str, recipe: Recipe | None = None) -> Path:
        """The folder of a reference's embedding, which is trained if it is not there yet.

        Args:
            name: Name of the reference.
            recipe: By which it is learned; None for the model's own.
        """
        recipe = recipe or RECIPES[default_recipe(next(iter(supported_models(self.pipe).values())))]
        config, embedding = TrainingConfig(**recipe.training), MotionEmbeddingConfig(**recipe.embedding)
        digest = hashlib.sha256(repr((config, embedding)).encode()).hexdigest()[:8]
        path = self.folder / "embeddings" / f"{name}-{digest}"
        if not path.is_dir():
            reference = self.reference(name)
            train_motion_embedding(
                self.pipe,
                reference.frames,
                reference.prompt,
                config,
                embedding_config=embedding,
                adapter_name=name,
                call_arguments=training_arguments(self.pipe),
            )
            try:
                self.pipe.save_motion_embedding(path, name)
            finally:
                self.pipe.unload_motion_embedding()
        return path


class Experiment(Protocol):
    """An entry of the table."""

    @property
    def settings(self) -> str:
        """Everything that its measures depend on, as text."""

    def references(self, names: list[str]) -> list[str]:
        """On which references it is run, if these are asked for."""

    def run(self, lab: Lab, reference: str) -> Outcome:
        """Learn, and make clips."""
