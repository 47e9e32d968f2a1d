"""Composition with PEFT's other additive adapters, LoHa and LoKr, which `load_lora_weights` does not load.

They come through the model's own `add_adapter`, and share its life cycle with LoRAs. DoRA is in the sequences.
"""

import copy
from dataclasses import dataclass

import pytest
import torch
from peft import LoHaConfig, LoKrConfig
from torch import Tensor

from diffusers_motion_embed import enable_motion_embedding
from tests.composition.lora_record import LoraRecord
from tests.composition.machine import TOLERANCE, relative_error
from tests.composition.machines import MACHINES
from tests.composition.materials import TEMPORAL
from tests.composition.motion_record import MotionRecord
from tests.composition.oracle import denoise


TIMESTEP = 500
CONFIGS = {
    "LoHa": LoHaConfig(r=2, alpha=3, target_modules=TEMPORAL, init_weights=False),
    "LoKr": LoKrConfig(r=2, alpha=3, target_modules=TEMPORAL, init_weights=False, decompose_factor=2),
}


@dataclass
class Delta:
    """An adapter that adds ΔW to the weight."""

    delta: Tensor

    def added_to(self, weight: Tensor, base_weight: Tensor, factor: float) -> Tensor:
        return weight + factor * self.delta


def delta_of(factors: dict[str, Tensor], scale: float) -> Delta:
    """ΔW by the formulas of LoHa, a product of two LoRAs by elements, and of LoKr, a Kronecker product."""
    if "hada_w1_a" in factors:
        delta = (factors["hada_w1_a"] @ factors["hada_w1_b"]) * (factors["hada_w2_a"] @ factors["hada_w2_b"])
    else:
        second = factors["lokr_w2"] if "lokr_w2" in factors else factors["lokr_w2_a"] @ factors["lokr_w2_b"]
        delta = torch.kron(factors["lokr_w1"], second)
    return Delta(scale * delta)


def read_adapter(unet, scale: float) -> dict[str, Delta]:
    """The only adapter of `unet`, by layer. A LoHa is made stronger on the way: as it comes it would hardly show."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, parameter in unet.named_parameters():
        if "hada_" in name or "lokr_" in name:
            parameter.data.mul_(2 if "hada_" in name else 1)
            path, factor, _ = name.rsplit(".", 2)
            layers.setdefault(path, {})[factor] = parameter.detach().clone()
    return {path: delta_of(factors, scale) for path, factors in layers.items()}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("kind", CONFIGS)
def test_life_cycle(machine, kind):
    stage = machine.stage()
    pipe, twin = enable_motion_embedding(copy.deepcopy(stage.pipe)), copy.deepcopy(stage.pipe)
    lora, motion = LoraRecord(), MotionRecord()
    plain = stage.oracle.output(lora, motion, TIMESTEP)

    def check() -> Tensor:
        output = denoise(pipe.text_encoder, pipe.unet, TIMESTEP)
        assert relative_error(output, stage.oracle.output(lora, motion, TIMESTEP)) <= TOLERANCE
        return output

    def load_motion() -> None:
        material = stage.materials.motion("everywhere", 0)
        pipe.load_motion_embedding(material.given, "motion")
        motion.load(material.tensors, "motion", None)

    def call(name: str, *arguments) -> None:
        getattr(pipe.unet, name)(*arguments)
        getattr(twin.unet, name)(*arguments)

    load_motion()
    torch.manual_seed(0)
    pipe.unet.add_adapter(copy.deepcopy(CONFIGS[kind]), "style")
    torch.manual_seed(0)
    twin.unet.add_adapter(copy.deepcopy(CONFIGS[kind]), "style")
    lora.load({"unet": read_adapter(pipe.unet, CONFIGS[kind].alpha / CONFIGS[kind].r)}, "style")
    read_adapter(twin.unet, 1.0)
    check()
    assert relative_error(stage.oracle.output(lora, MotionRecord(), TIMESTEP), plain) > 100 * TOLERANCE

    call("set_adapters", ["style"], [0.5])
    lora.set_adapters(["style"], {"unet": [0.5], "text_encoder": [0.5]})
    check()

    call("fuse_lora")
    lora.fuse(["unet"], 1.0, None)
    check()
    pipe.set_motion_scale(0.5)
    motion.loaded["motion"].scale = 0.5
    check()
    call("unfuse_lora")
    lora.unfuse()
    check()

    pipe.unload_motion_embedding()
    motion.unload()
    assert torch.equal(check(), denoise(twin.text_encoder, twin.unet, TIMESTEP))
    load_motion()  # now after the other
    check()

    call("disable_lora")
    lora.set_disabled(True)
    check()
    call("enable_lora")
    lora.set_disabled(False)
    check()
    call("unload_lora")
    lora.unload()
    check()
    pipe.unload_motion_embedding()
    assert torch.equal(
        denoise(pipe.text_encoder, pipe.unet, TIMESTEP), denoise(twin.text_encoder, twin.unet, TIMESTEP)
    )
