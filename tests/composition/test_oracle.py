"""The comparison with the oracle means something: whatever were left out would show far above the tolerance."""

import pytest

from tests.composition.lora_record import LoraRecord
from tests.composition.machine import TOLERANCE, relative_error
from tests.composition.machines import IS_THOROUGH, MACHINES
from tests.composition.materials import LORAS, MOTIONS
from tests.composition.motion_record import MotionRecord


EVERY = 1 if IS_THOROUGH else 12  # single layers that are tried: all, or one in twelve
TIMESTEP = 500


@pytest.fixture(params=MACHINES)
def stage(request):
    return request.param.stage()


def one_lora(stage, kind) -> LoraRecord:
    record = LoraRecord()
    record.load(stage.materials.lora(kind, 0).lora, "style")
    return record


def one_motion(stage, kind) -> MotionRecord:
    record = MotionRecord()
    record.load({path: dict(parts) for path, parts in stage.materials.motion(kind, 0).tensors.items()}, "style", None)
    return record


@pytest.mark.parametrize("kind", MOTIONS)
def test_a_motion_that_were_left_out_would_show(stage, kind):
    lora = one_lora(stage, "temporal")
    both = stage.oracle.output(lora, one_motion(stage, kind), TIMESTEP)
    assert relative_error(stage.oracle.output(lora, MotionRecord(), TIMESTEP), both) > 100 * TOLERANCE


@pytest.mark.parametrize("kind", LORAS)
def test_a_lora_that_were_left_out_would_show(stage, kind):
    motion = one_motion(stage, "default")
    both = stage.oracle.output(one_lora(stage, kind), motion, TIMESTEP)
    assert relative_error(stage.oracle.output(LoraRecord(), motion, TIMESTEP), both) > 100 * TOLERANCE


@pytest.mark.parametrize("kind", MOTIONS)
def test_a_single_part_of_a_single_layer_would_show(stage, kind):
    whole = stage.oracle.output(LoraRecord(), one_motion(stage, kind), TIMESTEP)
    tensors = stage.materials.motion(kind, 0).tensors
    for path, part in [(path, part) for path, parts in tensors.items() for part in parts][::EVERY]:
        motion = one_motion(stage, kind)
        del motion.loaded["style"].tensors[path][part]
        assert relative_error(stage.oracle.output(LoraRecord(), motion, TIMESTEP), whole) > 10 * TOLERANCE, path


@pytest.mark.parametrize("kind", LORAS)
def test_a_single_layer_of_a_lora_would_show(stage, kind):
    whole = stage.oracle.output(one_lora(stage, kind), MotionRecord(), TIMESTEP)
    layers = [(component, path) for component, paths in stage.materials.lora(kind, 0).lora.items() for path in paths]
    for component, path in layers[::EVERY]:
        lora = one_lora(stage, kind)
        del lora.layers[component][path]
        assert relative_error(stage.oracle.output(lora, MotionRecord(), TIMESTEP), whole) > 10 * TOLERANCE, path
