"""What can be calculated with motion embeddings, and what things then do: sums, mixtures, scales, reversal, sequences.

`pictures.py` draws one plot for each question.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from benchmarks.fidelity.lab import Clips, Lab, Outcome
from benchmarks.fidelity.learned import OWN_RECIPES, PATH_ALONE
from benchmarks.tiny_world.pipelines import generate
from benchmarks.tiny_world.references import OBJECT_REFERENCES, PROMPTS, object_references
from benchmarks.tiny_world.scene import NUM_FRAMES
from diffusers_motion_embed.arithmetic import concatenated_embedding, reversed_embedding
from diffusers_motion_embed.storage.embedding import Embedding, EmbeddingTensors
from diffusers_motion_embed.storage.files import read_embedding, to_state_dict
from diffusers_motion_embed.training.recipes import Recipe


PAIRS = (("figure_eight", "zigzag"), ("bounce", "spiral"))
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
ALL = "all"  # an experiment on several references at once
Embeddings = dict[str, Embedding]
Paths = dict[str, np.ndarray]  # of the references, (frames, 2), by name
Load = Callable[[Any, Embeddings], None]


@dataclass(frozen=True)
class Case:
    """One thing to try.

    Args:
        title: The title of its panel.
        load: Loads what is tried into a pipeline without embeddings.
        targets: Paths to compare with, (frames, 2), by name; the first is drawn.
    """

    title: str
    load: Load
    targets: dict[str, np.ndarray]

    @property
    def num_frames(self) -> int:
        """Length of the clips."""
        return len(next(iter(self.targets.values())))


@dataclass(frozen=True)
class Question:
    """An `Experiment` on the embeddings of all references of objects.

    Args:
        ask: Makes the things to try, from the references' paths.
        recipe: By which they are learned; None for the model's own.
    """

    ask: Callable[[Paths], Iterator[Case]]
    recipe: Recipe | None = None

    @property
    def settings(self) -> str:
        """See `Experiment`."""
        return repr(([case.title for case in self.cases()], self.recipe or OWN_RECIPES))

    def cases(self, num_frames: int = NUM_FRAMES) -> list[Case]:
        """The things to try, with clips as long as the references have so many frames."""
        scenes = object_references(num_frames)
        return list(self.ask({name: scene.motion.screen_center for name, scene in scenes.items()}))

    def references(self, names: list[str]) -> list[str]:
        """All at once."""
        return [ALL]

    def run(self, lab: Lab, reference: str) -> Outcome:
        """See `Experiment`."""
        embeddings = {name: read_embedding(lab.embedding(name, self.recipe)) for name in OBJECT_REFERENCES}
        return Outcome([self._try(case, lab, embeddings) for case in self.cases(lab.num_frames)])

    def _try(self, case: Case, lab: Lab, embeddings: Embeddings) -> Clips:
        def generate_clips(prompts: list[str], seeds: list[int]) -> np.ndarray:
            return generate(lab.pipe, prompts, seeds, case.num_frames)

        try:
            case.load(lab.pipe, embeddings)
            frames = lab.generate(generate_clips, PROMPTS, case.title)
        finally:
            lab.pipe.unload_motion_embedding()
        return Clips(case.title, frames, PROMPTS, targets=case.targets)


def resampled(path: np.ndarray, num_frames: int) -> np.ndarray:
    """The same path in another number of frames, linearly, first and last kept."""
    time = np.linspace(0, len(path) - 1, num_frames)
    return np.stack([np.interp(time, range(len(path)), axis) for axis in path.T], axis=1)


def combined(function: Callable[[Embeddings], Embedding]) -> Load:
    """Loads what a function makes of the embeddings."""

    def load(pipe: Any, embeddings: Embeddings) -> None:
        embedding = function(embeddings)
        pipe.load_motion_embedding(to_state_dict(embedding), config=embedding.config)

    return load


def weighted(weights: dict[str, float]) -> Load:
    """Loads several embeddings, each with its weight, as users do."""

    def load_all(pipe: Any, embeddings: Embeddings) -> None:
        for name in weights:
            pipe.load_motion_embedding(to_state_dict(embeddings[name]), name, config=embeddings[name].config)
        pipe.set_motion_embeddings(list(weights), list(weights.values()))

    return load_all


def each_tensor(embeddings: list[EmbeddingTensors], function: Callable[[list], torch.Tensor]) -> EmbeddingTensors:
    """Every part of every layer as the function of that part of the embeddings."""
    return {
        path: {part: function([tensors[path][part] for tensors in embeddings]) for part in parts}
        for path, parts in embeddings[0].items()
    }


def scale(paths: Paths) -> Iterator[Case]:
    """What do scales between 0 and 1.5 do?"""
    name = "figure_eight"
    for value in SCALES:
        yield Case(f"{value:g} · {name}", weighted({name: value}), {"reference": paths[name]})


def negative_scale(paths: Paths) -> Iterator[Case]:
    """Does a negative scale mirror the path, or reverse it?"""
    for name in ("zigzag", "spiral"):
        path = paths[name]
        targets = {"mirrored": -path, "reversed": path[::-1]}
        for value in (-0.5, -1.0):
            yield Case(f"{value:g} · {name}", weighted({name: value}), targets)


def sums(paths: Paths) -> Iterator[Case]:
    """Do two motions at once give the sum of their paths?"""
    for first, second in PAIRS:
        for weight in (0.7, 1.0):
            total = weight * (paths[first] + paths[second])
            targets = {"sum": total, first: paths[first], second: paths[second]}
            yield Case(
                f"{weight:g} · ({first} + {second})",
                weighted(dict.fromkeys((first, second), weight)),
                targets,
            )


def interpolation(paths: Paths) -> Iterator[Case]:
    """Does the path go over from one to the other as the weights do?"""
    for first, second in PAIRS:
        for share in (0.25, 0.5, 0.75):
            between = (1 - share) * paths[first] + share * paths[second]
            targets = {"between": between, first: paths[first], second: paths[second]}
            load_both = weighted({first: 1 - share, second: share})
            yield Case(f"{1 - share:g} · {first} + {share:g} · {second}", load_both, targets)


def reversal(paths: Paths) -> Iterator[Case]:
    """Is it what is added that has to be flipped in time, or the embedding before its debiasing?"""
    for name in OBJECT_REFERENCES:
        targets = {"reversed": paths[name][::-1], "forward": paths[name]}
        after = combined(lambda embeddings, name=name: reversed_embedding(embeddings[name]))
        yield Case(f"{name}, after debiasing", after, targets)
        before = combined(lambda embeddings, name=name: flipped(embeddings[name]))
        yield Case(f"{name}, before debiasing", before, targets)


def flipped(embedding: Embedding) -> Embedding:
    """The stored numbers in the opposite order of frames."""
    return Embedding(embedding.config, each_tensor([embedding.tensors], lambda parts: parts[0].flip(-2)))


def sequence(paths: Paths) -> Iterator[Case]:
    """Does one motion follow the other: in clips as long as both, squeezed into one's length, or half and half?"""
    for first, second in PAIRS:
        title, num_frames = f"{first}, {second}", len(paths[first])
        both = combined(lambda known, pair=(first, second): concatenated_embedding([known[name] for name in pair]))
        # Of an odd number of frames, the first has a latent of its own, but not where it comes later.
        later = resampled(paths[second], num_frames + num_frames % 2)
        whole = np.concatenate([paths[first], later])
        going_on = np.concatenate([paths[first], later - later[0] + paths[first][-1]])
        targets = {"one, then the other": whole, "the other going on from there": going_on}
        yield Case(f"{title}: as long as both", both, targets)
        yield Case(f"{title}: as long as one", both, {"one, then the other": resampled(whole, num_frames)})
        halves = combined(lambda known, pair=(first, second): half_and_half([known[name] for name in pair]))
        # Of an odd number of frames, the first has a latent of its own, and each further one shows two.
        half = num_frames // 2 if num_frames % 2 == 0 else 2 * ((num_frames + 1) // 4) - 1
        path = np.concatenate([paths[first][:half], paths[second][half:]])
        yield Case(f"{title}: half and half", halves, {"half of each": path})


def half_and_half(pair: list[Embedding]) -> Embedding:
    """The first half of one motion's frames, the second half of another's, as they are added."""
    # A reversal changes nothing but the order, and what is added.
    added = [reversed_embedding(reversed_embedding(entry)) for entry in pair]
    half = added[0].config.num_latent_frames // 2
    tensors = each_tensor(
        [each.tensors for each in added],
        lambda parts: torch.cat([parts[0][..., :half, :], parts[1][..., half:, :]], -2),
    )
    return Embedding(added[0].config, tensors)


QUESTIONS = {
    function.__name__: Question(function)
    for function in (scale, negative_scale, sums, interpolation, reversal, sequence)
}
# The same asked of paths alone, of models with rotary positions.
PATH_QUESTIONS = {name: replace(question, recipe=PATH_ALONE) for name, question in QUESTIONS.items()}
