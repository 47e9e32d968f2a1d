"""The table of experiments: all that is measured of fidelity, in groups. A further experiment is a line here."""

from dataclasses import replace
from pathlib import Path

from benchmarks.fidelity.arithmetic import PATH_QUESTIONS, QUESTIONS, SCALES
from benchmarks.fidelity.compact import stored
from benchmarks.fidelity.few_steps import FewSteps
from benchmarks.fidelity.known_answers import KnownAnswers
from benchmarks.fidelity.lab import Experiment
from benchmarks.fidelity.learned import (
    PATH_ALONE,
    Learned,
    Plain,
    as_it_is,
    by_recipe,
    by_step,
    debiased,
    on_grid,
    ours,
    recipe,
    scaled,
)
from benchmarks.fidelity.regions import Regions
from benchmarks.peers import METHODS, NoisePrior
from benchmarks.peers.motion_embedding import MotionEmbedding
from benchmarks.peers.spatial_query_key import SpatialQueryKeyEmbedding
from benchmarks.peers.tracked_path import TrackedPath
from diffusers_motion_embed.functional import DEBIAS_MODES


PLAIN = "without"
DEFAULT = "motion embedding"
REPORTED = ("methods", "ablations", "sizes", "steps", "scales")  # groups with a section in docs/report
PARTS = ({"v": 0.5}, {"v": 0.0}, {"qk": 0.0})

_BLOCKS = r"({})\..*(temp_attentions|motion_modules)\..*attn[12]"

GROUPS: dict[str, dict[str, Experiment]] = {
    "plain": {PLAIN: Plain()},
    "methods": {name: Learned(method) for name, method in METHODS.items()},
    "ablations": {
        "nothing changed": ours(),
        "query-key part alone": ours(embedding={"parts": ["qk"]}),
        "value part alone": ours(embedding={"parts": ["v"]}),
        "spatial axis on query-key": Learned(SpatialQueryKeyEmbedding()),
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
        "all noise levels": ours({"timestep_sampling": "uniform"}, {"timing": None}),
        "paper's recipe": recipe("paper"),
    },
    "sizes": {
        "4 x 4": ours(),
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
    "scales": {"scale": Learned(MotionEmbedding(), uses={str(scale): scaled(scale) for scale in SCALES})},
    "recipes": {name: by_step(recipe(name), 50, 100) for name in ("default", "rotary", "full_attention")}
    | {"paper": by_step(recipe("paper"), 25, 50, 100, 200, 400)},
    "positions": {  # of models that have rotary ones
        "tracked path": Learned(TrackedPath()),
        "path alone": by_recipe(PATH_ALONE),
        "rotary": recipe("rotary"),
    },
    "cameras": {  # with `--references swing arc breathe rush`
        "own recipe": Learned(MotionEmbedding(motion="camera")),
        **{f"path alone, {n} x {n}": on_grid(PATH_ALONE, n) for n in (1, 2, 3)},
        **{name: recipe(name) for name in ("camera", "tracked_camera")},
    },
    "uses": {
        "debiasing": ours(uses={mode: debiased(mode) for mode in DEBIAS_MODES}),
        "parts": ours(uses={"": as_it_is} | {f"scale {part}": scaled(part) for part in PARTS}),
        "compact": ours(uses={"whole": stored(None)} | {f"within {bound}": stored(bound) for bound in (0.25, 0.4)}),
    },
    "arithmetic": QUESTIONS,
    "arithmetic of paths": PATH_QUESTIONS,
    "few steps": {
        name: FewSteps(
            method,
            Path("outputs/tiny-wan-few-steps"),
            uses={f"scale {scale}": scaled(scale) for scale in (0.5, 0.75, 1.0)},
        )
        for name, method in (("four steps", MotionEmbedding()), ("tracked path", TrackedPath()))
    },
    "regions": {"sides": Regions()},
    "trackers": {"known answers": KnownAnswers()},
}
