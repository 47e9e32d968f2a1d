"""A training step over a plain forward of the same model."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import DDIMScheduler
from torch import nn

from benchmarks.models import UNET_3D, Size, embed, twin
from benchmarks.timing import Figure, alternate, ratio
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.conditioning import Conditioning
from diffusers_motion_embed.noising import noising_of
from diffusers_motion_embed.training import TrainingConfig
from diffusers_motion_embed.training.optimization import Optimization
from diffusers_motion_embed.training.recompute import recomputation


@dataclass(frozen=True)
class Case:
    """What is trained, and how.

    Args:
        layers: "deep" for the deepest level with attention, down and up, as in the paper; "all".
        recompute: Whether activations are computed again in the backward pass.
        time_goal: In plain forwards.
        memory_goal: In peaks of a plain forward.
    """

    layers: str
    recompute: bool
    time_goal: float | None = None
    memory_goal: float | None = None

    def __str__(self) -> str:
        return f"{self.layers} layers{', recomputation' if self.recompute else ''}"

    def target_modules(self, size: Size) -> str:
        """Regular expression for the adapted layers of a UNet."""
        return ".*" if self.layers == "all" else rf"(down_blocks\.{len(size.channels) - 2}|up_blocks\.1)\..*"


CASES = (
    Case("deep", recompute=False, time_goal=1.75),
    Case("deep", recompute=True, time_goal=2.0, memory_goal=2.25),
    Case("all", recompute=False),
    Case("all", recompute=True),
)


def measure_steps(rounds: int, size: Size = UNET_3D.size) -> list[Figure]:
    """Noise, forward, backward, AdamW; base loss, batch 1."""
    subject = UNET_3D.at(size)
    plain = subject.build()
    again = twin(plain)
    inputs = subject.inputs()
    runs = {"forward": forward(plain, inputs), "again": forward(again, inputs)}
    runs |= {str(case): step(case, twin(plain), size) for case in CASES}
    name = f"training step, {subject}"
    seconds = alternate(runs, rounds, name)
    figures = [ratio(f"{name}, {case}", seconds[str(case)], seconds["forward"], case.time_goal) for case in CASES]
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
        with recomputation(model, enabled=case.recompute):
            run.step()

    return one_step
