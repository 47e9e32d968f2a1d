"""A training step over a plain forward of the same model."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler
from torch import nn

from benchmarks.cost.models import UNET_3D, Size, embed, twin
from benchmarks.cost.timing import Figure, alternate, ratio
from diffusers_motion_embed.architectures import ARCHITECTURES, find_architecture
from diffusers_motion_embed.architectures.conditioning import Conditioning
from diffusers_motion_embed.architectures.noising import noising_of
from diffusers_motion_embed.training import TrainingConfig
from diffusers_motion_embed.training.optimization import Optimization
from diffusers_motion_embed.training.recompute import recomputation


_PICTURE_NORMS = r"(down|up)_blocks\..*\.resnets\.\d+\.norm\d"
_NORMS = r"(down|up)_blocks\..*\.temp_convs\.\d+\.conv\d"  # before a temporal convolution, which is not repeated
_FEED_FORWARDS = r"(down|up)_blocks\..*\.transformer_blocks\.\d+\.ff"
_TRANSFORMERS = r"(down|up)_blocks\..*\.transformer_blocks\.\d+"

DEFAULT = "the default"

# Regular expressions for what is recomputed.
RECOMPUTED = {
    "nothing": None,
    "norms, feed-forwards": f"{_NORMS}|{_FEED_FORWARDS}",
    "norms, feed-forwards, norms of pictures": f"{_NORMS}|{_FEED_FORWARDS}|{_PICTURE_NORMS}",
    DEFAULT: next(each.layers for each in ARCHITECTURES if each.model_class == UNET_3D.model_class),
    "norms, transformer blocks": f"{_NORMS}|{_TRANSFORMERS}",
    "norms, transformer blocks, norms of pictures": f"{_NORMS}|{_TRANSFORMERS}|{_PICTURE_NORMS}",
    "every layer whole": r"(down|up)_blocks\.\d+\.\w+\.\d+",
}


@dataclass(frozen=True)
class Case:
    """What is trained, and how.

    Args:
        layers: "deep" for the deepest level with attention, down and up, as in the paper; "all".
        recomputed: Whose activations are computed again in the backward pass, a name in `RECOMPUTED`.
        time_goal: In plain forwards.
        memory_goal: In peaks of a plain forward.
    """

    layers: str
    recomputed: str
    time_goal: float | None = None
    memory_goal: float | None = None

    def __str__(self) -> str:
        return f"{self.layers} layers, recomputed: {self.recomputed}"

    def target_modules(self, size: Size) -> str:
        """Regular expression for the adapted layers of a UNet."""
        return ".*" if self.layers == "all" else rf"(down_blocks\.{len(size.channels) - 2}|up_blocks\.1)\..*"


CASES = (
    Case("deep", "nothing", time_goal=1.75),
    Case("deep", DEFAULT, time_goal=2.0, memory_goal=2.25),
    Case("all", "nothing"),
    Case("all", DEFAULT),
)
# Other choices, which show what memory costs in time.
CHOICES = tuple(Case("deep", name) for name in RECOMPUTED)


def measure_steps(rounds: int, size: Size = UNET_3D.size, cases: tuple[Case, ...] = CASES) -> list[Figure]:
    """Noise, forward, backward, AdamW; base loss, batch 1."""
    subject = UNET_3D.at(size)
    plain = subject.build()
    again = twin(plain)
    inputs = subject.inputs()
    runs = {"forward": forward(plain, inputs), "again": forward(again, inputs)}
    runs |= {str(case): step(case, twin(plain), size) for case in cases}
    name = f"training step, {subject}"
    seconds = alternate(runs, rounds, name)
    figures = [ratio(f"{name}, {case}", seconds[str(case)], seconds["forward"], case.time_goal) for case in cases]
    return [*figures, ratio(f"{name}, forward over forward", seconds["again"], seconds["forward"])]


def forward(model: nn.Module, inputs: dict) -> Callable[[], object]:
    """A plain forward."""
    return torch.no_grad()(lambda: model(**inputs))


def step(case: Case, model: nn.Module, size: Size) -> Callable[[], None]:
    """A step of training an embedding that is put on the model."""
    tensors = embed(model, size, case.target_modules(size))
    inputs = UNET_3D.at(size).inputs()
    clip = inputs.pop("sample")
    layout = find_architecture(model).input_layout(model)
    conditioning = Conditioning(inputs, "sample", clip, inputs.pop("timestep"), layout)
    scheduler = DDIMScheduler(prediction_type="v_prediction")
    config = TrainingConfig(train_batch_size=1, gradient_accumulation_steps=1, loss="base")
    run = Optimization(model, noising_of(scheduler), clip, [conditioning], [], tensors, {}, config)

    def one_step() -> None:
        with recomputation(model, RECOMPUTED[case.recomputed]):
            run.step()

    return one_step
