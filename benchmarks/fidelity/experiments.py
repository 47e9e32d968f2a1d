"""What is compared: methods, the paper's ablations, budgets, strengths."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.peers import METHODS, Method, NoisePrior
from benchmarks.peers.motion_embedding import NAME, MotionEmbedding
from benchmarks.peers.spatial_query_key import SpatialQueryKeyEmbedding
from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.training import RECIPES, TrainingConfig


# Training samples: what the default recipe takes. All methods have the same.
BUDGET = 400
DEFAULT = "motion embedding"
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)

# What is done to a pipeline between learning and generating, by name.
Uses = Mapping[str, Callable[[Any], None]]


def as_it_is(pipe: Any) -> None:
    """Nothing is changed."""


@dataclass(frozen=True)
class Experiment:
    """One way to learn, and one or several to use what was learned.

    Args:
        method: That learns.
        num_samples: Its budget.
        uses: Of what was learned.
    """

    method: Method
    num_samples: int = BUDGET
    uses: Uses = field(default_factory=lambda: {"": as_it_is})

    @property
    def settings(self) -> str:
        """Everything that its measures depend on, as text."""
        return repr((self.method, self.num_samples, list(self.uses)))


def ours(
    config: Mapping[str, Any] | None = None, embedding: Mapping[str, Any] | None = None, **settings: Any
) -> Experiment:
    """The default with something changed: options of the training, of the embedding, settings of the method."""
    method = MotionEmbedding(TrainingConfig(**config or {}), MotionEmbeddingConfig(**embedding or {}), **settings)
    return Experiment(method)


def recipe(name: str) -> Experiment:
    """A recipe of the package, within the budget."""
    return ours(RECIPES[name].training, RECIPES[name].embedding)


def scaled(scale: float) -> Callable[[Any], None]:
    """Sets the motion scale."""
    return lambda pipe: pipe.set_motion_scale(scale, NAME)


_BLOCKS = r"({})\..*(temp_attentions|motion_modules)\..*attn[12]"

GROUPS: dict[str, dict[str, Experiment]] = {
    "methods": {name: Experiment(method) for name, method in METHODS.items()}
    | {f"{DEFAULT}, gentle": recipe("gentle")},
    "ablations": {
        "query-key part alone": ours(embedding={"parts": ["qk"]}),
        "value part alone": ours(embedding={"parts": ["v"]}),
        "spatial axis on query-key": Experiment(SpatialQueryKeyEmbedding()),
        "no debiasing": ours(embedding={"debias": "identity"}),
        "difference, first frame zero": ours(embedding={"debias": "difference_zero_first"}),
        "deviation from the mean frame": ours(embedding={"debias": "centered"}),
        "trained without debiasing, as the paper": ours({"debias_in_training": False}),
        "colour negative too": ours({"color_negative": True}),
        "inverted noise blended": ours(prior=NoisePrior()),
        "loss debiased_temporal": ours({"loss": "debiased_temporal"}),
        "loss debiased_hybrid": ours({"loss": "debiased_hybrid"}),
        "loss motion_distillation": ours({"loss": "motion_distillation"}),
        "attn1 alone": ours(
            embedding={"target_modules": _BLOCKS.format(r"(down|up)_blocks\.\d+").replace("[12]", "1")}
        ),
        "attn2 alone": ours(
            embedding={"target_modules": _BLOCKS.format(r"(down|up)_blocks\.\d+").replace("[12]", "2")}
        ),
        "down blocks alone": ours(embedding={"target_modules": _BLOCKS.format(r"down_blocks\.\d+")}),
        "up blocks alone": ours(embedding={"target_modules": _BLOCKS.format(r"up_blocks\.\d+")}),
        "deep blocks alone": ours(embedding={"target_modules": _BLOCKS.format(r"down_blocks\.1|up_blocks\.0")}),
        "learning rate 0.1": ours({"learning_rate": 0.1}),
        "learning rate 1": ours({"learning_rate": 1.0}),
        "all noise levels": ours({"timestep_sampling": "uniform"}),
        "paper's recipe": recipe("paper"),
    },
    "sizes": {
        "1 x 1": ours(embedding={"value_grid": (1, 1)}),
        "2 x 2": ours(embedding={"value_grid": (2, 2)}),
        "full grids": ours(embedding={"value_grid": "full"}),
        "4 x 4, compact within 0.25": ours(max_error=0.25),
        "4 x 4, compact within 0.4": ours(max_error=0.4),
    },
    "steps": {
        f"{name}, {samples} samples": replace(recipe(name), num_samples=samples)
        for name in ("default", "paper")
        for samples in (40, 100, 200, 400, 800)
    },
    "scales": {"scale": Experiment(MotionEmbedding(), uses={str(scale): scaled(scale) for scale in SCALES})},
}
