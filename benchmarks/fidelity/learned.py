"""Experiments that learn one reference's motion by some method, and use what was learned in one or several ways."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from benchmarks.fidelity.lab import Clips, Lab, Outcome
from benchmarks.peers import Method
from benchmarks.peers.motion_embedding import NAME, MotionEmbedding, name_at
from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.scales import Scale
from diffusers_motion_embed.training import RECIPES, TrainingConfig
from diffusers_motion_embed.training.recipes import Recipe


# Training samples that every method has: what the default recipe takes.
BUDGET = 400

# What the settings of an experiment say of the models' own recipes.
OWN_RECIPES = repr((RECIPES, TrainingConfig(), MotionEmbeddingConfig()))

# The position part by itself, of models with rotary positions.
PATH_ALONE = Recipe({"timestep_sampling": (0.6, 1.0)}, {"parts": ("p",), "timing": (0.0, 0.5)})

# What is done to a pipeline between learning and generating, by name; it may return figures.
Prepare = Callable[[Any], Mapping[str, float] | None]
Uses = Mapping[str, Prepare]


def as_it_is(pipe: Any) -> None:
    """Nothing is changed."""


@dataclass(frozen=True)
class Learned:
    """An `Experiment`.

    Args:
        method: The method that learns.
        num_samples: Its budget.
        uses: How what was learned is used.
    """

    method: Method
    num_samples: int = BUDGET
    uses: Uses = field(default_factory=lambda: {"": as_it_is})

    @property
    def settings(self) -> str:
        """See `Experiment`."""
        return repr((self.method, self.num_samples, list(self.uses), *recipes_behind(self.method)))

    def references(self, names: list[str]) -> list[str]:
        """Each on its own."""
        return names

    def run(self, lab: Lab, reference: str) -> Outcome:
        """See `Experiment`."""
        plain, looks, pictures = lab.plain(reference), lab.references.looks_for(reference), lab.pictures(reference)
        learned_from = lab.reference(reference)
        started = time.process_time()
        with self.method.learn(lab.pipe, learned_from, self.num_samples, seed=0) as transfer:
            seconds, clips = time.process_time() - started, []
            for use, prepare in self.uses.items():
                figures = prepare(lab.pipe) or {}
                frames = lab.generate(transfer.generate, looks, use, pictures)
                clips.append(Clips(use, frames, looks, plain, pictures, figures=figures))
        return Outcome(clips, learned_from.frames, seconds, transfer.num_bytes)


@dataclass(frozen=True)
class Plain:
    """An `Experiment`: the plain model, which is the same for all references."""

    settings: str = "without"

    def references(self, names: list[str]) -> list[str]:
        """Each on its own."""
        return names

    def run(self, lab: Lab, reference: str) -> Outcome:
        """See `Experiment`."""
        plain, looks = lab.plain(reference), lab.references.looks_for(reference)
        clips = Clips("", plain, looks, plain, lab.pictures(reference))
        return Outcome([clips], lab.reference(reference).frames)


def ours(
    config: Mapping[str, Any] | None = None,
    embedding: Mapping[str, Any] | None = None,
    uses: Uses | None = None,
    **settings: Any,
) -> Learned:
    """The recipe `default` with something changed, whatever the model's own recipe.

    Args:
        config: Options of the training to change.
        embedding: Options of the embedding to change.
        uses: How it is used.
        settings: Settings of `MotionEmbedding`.
    """
    default = RECIPES["default"]
    experiment = by_recipe(Recipe({**default.training, **(config or {})}, {**default.embedding, **(embedding or {})}))
    experiment = replace(experiment, method=replace(experiment.method, **settings))
    return replace(experiment, uses=uses) if uses else experiment


def recipes_behind(method: Any) -> tuple[str, ...]:
    """What the models' own recipes are, for a method that takes these."""
    return (OWN_RECIPES,) if getattr(method, "config", method) is None else ()


def by_recipe(recipe: Recipe) -> Learned:
    """What a recipe gives within the budget."""
    return Learned(MotionEmbedding(TrainingConfig(**recipe.training), MotionEmbeddingConfig(**recipe.embedding)))


def on_grid(recipe: Recipe, size: int) -> Learned:
    """What a recipe gives whose position part has so many rows and columns."""
    return by_recipe(replace(recipe, embedding={**recipe.embedding, "position_grid": (size, size)}))


def recipe(name: str) -> Learned:
    """What a recipe of the package gives within the budget."""
    return by_recipe(RECIPES[name])


def by_step(experiment: Learned, *steps: int) -> Learned:
    """The same, used as it was after these steps of the one training."""
    uses = {f"after {step} steps": lambda pipe, step=step: pipe.set_motion_embeddings(name_at(step)) for step in steps}
    return replace(experiment, method=replace(experiment.method, at_steps=steps), uses=uses)


def scaled(scale: Scale) -> Prepare:
    """Sets the motion scale."""
    return lambda pipe: pipe.set_motion_scale(scale, NAME)


def debiased(mode: str) -> Prepare:
    """Uses the embedding through another debiasing than it was trained through."""
    return lambda pipe: pipe.set_motion_debias(mode)


def changed(
    experiment: Learned,
    config: Mapping[str, Any],
    embedding: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Learned:
    """The experiment with other settings.

    Args:
        experiment: An entry of the table.
        config: Options of the training to change.
        embedding: Options of the embedding to change.
        settings: Settings of the method to change.

    Raises:
        ValueError: If the experiment has no such settings, or takes them from the model's own recipe.
    """
    method = getattr(experiment, "method", None)
    known = {each.name for each in fields(method)} if method else set()
    parts = {name: options for name, options in (("config", config), ("embedding", embedding)) if options}
    unknown = (settings.keys() | parts.keys()) - known
    if unknown:
        raise ValueError(f"{type(method or experiment).__name__} has no setting {', '.join(sorted(unknown))}.")
    if any(getattr(method, name) is None for name in parts):
        raise ValueError("It takes the model's own recipe. Change one by its name, such as recipes/default.")
    new = {name: replace(getattr(method, name), **options) for name, options in parts.items()}
    return replace(experiment, method=replace(method, **settings, **new))
