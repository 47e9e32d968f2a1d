"""A pipeline, its twin without motion and the oracle, side by side, with a comparison after every call.

What is compared:

* the pipeline with the oracle, within rounding: composition;
* the pipeline with a twin that got the same LoRA calls and never heard of motion, bit by bit: all of its weights and
  LoRAs always, its output whenever no motion acts;
* the pipeline with itself before the call, bit by bit, when the call failed.

The calls themselves, as rules for hypothesis, are in `lora_rules` and `motion_rules`.
"""

import copy
import functools
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from torch import Tensor

from diffusers_motion_embed import enable_motion_embedding
from tests.composition.lora_record import LoraRecord
from tests.composition.materials import Materials
from tests.composition.motion_record import MotionRecord
from tests.composition.oracle import Oracle, denoise


TOLERANCE = 1e-5  # of the largest number of the output; 1e-6 is what is seen
COMPONENTS = ["unet", "text_encoder"]
TIMESTEPS = (0, 250, 500, 750, 1000)  # exact as shares in binary, so that they can hit the ends of a span


def relative_error(output: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest number."""
    return ((output - expected).abs().max() / expected.abs().max()).item()


@dataclass(frozen=True)
class Stage:
    """What all sequences on one kind of pipeline share."""

    pipe: Any
    oracle: Oracle
    materials: Materials


class CompositionMachine(RuleBasedStateMachine):
    """The state of one sequence.

    Attributes:
        make_pipe: Makes the pipeline, always the same.
        counts: What was compared how often, over all sequences of a class.
    """

    make_pipe: ClassVar[Any]
    counts: ClassVar[Counter]

    @classmethod
    @functools.cache
    def stage(cls) -> Stage:
        """Made once, since it takes as long as a sequence."""
        enable_motion_embedding(cls.make_pipe())  # which gives the LoRA calls to the model class, so to the twin too
        pipe = cls.make_pipe()
        return Stage(pipe, Oracle(pipe), Materials(pipe))

    def __init__(self) -> None:
        super().__init__()
        stage = self.stage()
        self.oracle, self.materials = stage.oracle, stage.materials
        self.pipe = enable_motion_embedding(copy.deepcopy(stage.pipe))
        self.twin = copy.deepcopy(stage.pipe)
        self.lora, self.motion = LoraRecord(), MotionRecord()
        self.timestep = 500
        self.output: Tensor | None = None  # of the pipeline as it is now, once known
        self.left_behind: tuple[Any, Tensor, int] | None = None
        self.calls: list[str] = []

    @initialize(timestep=st.sampled_from(TIMESTEPS))
    def start(self, timestep: int) -> None:
        self.timestep = timestep

    @precondition(lambda self: self.left_behind is None and self.lora.loaded and self.motion.loaded)
    @rule()
    def copy_the_pipeline(self) -> None:
        """Go on with a copy, while the original must stay what it was; once, for it takes long."""
        self.calls.append("copy.deepcopy")
        self.left_behind = (self.pipe, self.output, self.timestep)
        self.pipe = copy.deepcopy(self.pipe)
        self.output = self._denoise()
        assert torch.equal(self.output, self.left_behind[1]), self.report("The copy differs.")

    @invariant()
    def outputs_are_as_expected(self) -> None:
        if self.output is not None:
            return
        self.output = self._denoise()
        error = relative_error(self.output, self.oracle.output(self.lora, self.motion, self.timestep))
        assert error <= TOLERANCE, self.report(f"The output is {error:.2g} off.")
        motion_acts = self.motion.acts(self.timestep)
        if not motion_acts:
            plain = denoise(self.twin.text_encoder, self.twin.unet, self.timestep)
            assert torch.equal(self.output, plain), self.report("Without motion the output is not bit-identical.")
        self.counts["motion"] += motion_acts
        self.counts["no motion"] += not motion_acts
        self.counts["motion and LoRA"] += motion_acts and self.lora.acts
        self.counts["motion and fused LoRA"] += motion_acts and self.lora.is_fused

    @invariant()
    def motion_leaves_weights_and_loras_alone(self) -> None:
        assert self.pipe.get_list_adapters() == self.twin.get_list_adapters(), self.report("Names of LoRAs differ.")
        for component in COMPONENTS:
            mine, theirs = (dict(getattr(pipe, component).named_parameters()) for pipe in (self.pipe, self.twin))
            assert list(mine) == list(theirs), self.report("Names of parameters differ.")
            for name, parameter in mine.items():
                assert parameter.requires_grad == theirs[name].requires_grad, self.report(f"{name}.requires_grad")
                assert torch.equal(parameter, theirs[name]), self.report(f"Values of {name} differ.")

    @invariant()
    def names_are_as_expected(self) -> None:
        loaded = {"unet": list(self.motion.loaded)} if self.motion.loaded else {}
        assert self.pipe.get_list_motion_embeddings() == loaded, self.report("Other embeddings are loaded.")
        assert self.pipe.get_active_motion_embeddings() == self.motion.active, self.report("Others are active.")
        if not loaded:  # then nothing of the package may be left on the model
            modules, theirs = (list(pipe.unet.named_modules()) for pipe in (self.pipe, self.twin))
            assert [name for name, _ in modules] == [name for name, _ in theirs], self.report("Modules are left.")
            assert not any(module._forward_pre_hooks for _, module in modules), self.report("Hooks are left.")

    def teardown(self) -> None:
        if self.left_behind is not None:
            pipe, output, timestep = self.left_behind
            again = denoise(pipe.text_encoder, pipe.unet, timestep)
            assert torch.equal(again, output), self.report("The pipeline that was copied changed with its copy.")

    def lora_call(self, name: str, *args: Any, **kwargs: Any) -> None:
        self._note(name, args, kwargs)
        for pipe in (self.pipe, self.twin):
            getattr(pipe, name)(*copy.deepcopy(args), **copy.deepcopy(kwargs))

    def motion_call(self, name: str, *args: Any, **kwargs: Any) -> None:
        self._note(name, args, kwargs)
        getattr(self.pipe, name)(*args, **kwargs)

    def failing_lora_call(self, name: str, *args: Any, **kwargs: Any) -> None:
        with pytest.raises((ValueError, RuntimeError)):  # diffusers' own choice
            getattr(self.twin, name)(*args, **kwargs)
        self.failing_call((ValueError, RuntimeError), name, *args, **kwargs)

    def failing_call(self, error: Any, name: str, *args: Any, **kwargs: Any) -> None:
        before = self.output
        self._note(name, args, kwargs)
        self.calls[-1] += "  # fails"
        with pytest.raises(error):
            getattr(self.pipe, name)(*args, **kwargs)
        self.output = self._denoise()
        assert torch.equal(self.output, before), self.report("A call that failed changed the output.")
        self.counts["failed call"] += 1

    def report(self, what: str) -> str:
        """The sequence, and whether diffusers itself goes the oracle's way as far as LoRAs alone are concerned."""
        plain = denoise(self.twin.text_encoder, self.twin.unet, self.timestep)
        error = relative_error(plain, self.oracle.output(self.lora, MotionRecord(), self.timestep))
        calls = "\n  ".join(self.calls)
        return f"{what}\nThe same LoRA calls without motion are {error:.2g} off. Timestep {self.timestep}.\n  {calls}"

    def _denoise(self) -> Tensor:
        return denoise(self.pipe.text_encoder, self.pipe.unet, self.timestep)

    def _note(self, name: str, args: tuple, kwargs: dict) -> None:
        labels = self.materials.labels
        shown = [labels.get(id(arg), repr(arg)[:80]) for arg in args]
        shown += [f"{key}={value!r}" for key, value in kwargs.items()]
        self.calls.append(f"{name}({', '.join(shown)})")
        self.output = None
