"""Composition with LoRA: random sequences of calls of both families do what an independent computation says.

`pytest --hypothesis-profile=all` runs many long sequences, other ones every time; without it a few short ones run,
always the same.
"""

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.composition.machines import IS_THOROUGH, MACHINES


PARTS = 12 if IS_THOROUGH else 1  # tests of their own, so that they spread over processes
SETTINGS = settings(
    max_examples=25 if IS_THOROUGH else 10,
    stateful_step_count=25 if IS_THOROUGH else 12,
    derandomize=not IS_THOROUGH,
    deadline=None,
    print_blob=True,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("part", range(PARTS))
def test_sequences_of_calls(machine, part):
    machine.counts = Counter()
    run_state_machine_as_test(machine, settings=SETTINGS)
    # What matters was compared. A few short sequences may never fuse a LoRA beside a motion.
    rare = ["motion and fused LoRA"] if IS_THOROUGH else []
    for what in ("motion and LoRA", "no motion", "failed call", *rare):
        assert machine.counts[what] >= SETTINGS.max_examples // 10, machine.counts


@pytest.mark.parametrize("machine", MACHINES)
def test_a_lora_that_is_fused_and_unfused_beside_a_motion(machine):
    machine.counts = Counter()
    state = machine()
    state.start(timestep=750)
    state.add_motion("everywhere", 0, "style", "difference")
    state.add_lora("both", 0, "style")
    state.fuse_lora(components=["unet"], lora_scale=0.5)
    state.outputs_are_as_expected()
    assert machine.counts["motion and fused LoRA"] == 1
    state.unfuse_lora()
    state.outputs_are_as_expected()
    state.motion_leaves_weights_and_loras_alone()


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_that_must_fail(machine):
    machine.counts = Counter()
    state = machine()
    state.start(timestep=750)
    state.add_motion("everywhere", 0, "style", "identity")
    state.add_motion("value", 0, "v1.5", None)
    state.add_motion("default", 0, "to_q", None)
    state.motion_call("set_motion_embeddings", ["style", "v1.5"], [-0.75, {"up": {"block_0": 1.5}}])
    state.motion.set_embeddings(["style", "v1.5"], [-0.75, {"up": {"block_0": 1.5}}])
    state.add_lora("both", 0, "style")
    state.add_lora("dora", 0, "pose")
    state.outputs_are_as_expected()
    for error, call, *args, kwargs in state.wrong_motion_calls():
        state.failing_call(error, call, *args, **kwargs)
    for call, *args, kwargs in state.wrong_lora_calls():
        state.failing_lora_call(call, *args, **kwargs)
    state.names_are_as_expected()
    state.motion_leaves_weights_and_loras_alone()
    state.output = None  # so that it is compared with the oracle once more
    state.outputs_are_as_expected()
