"""LoRA calls, in every order in which diffusers itself does what its documentation says.

Left out, by preconditions, are orders in which diffusers 0.42.1 with PEFT 0.21 goes wrong without any motion: changing
adapters while they are fused (unfusing then subtracts another ΔW than was added), and fusing while they are disabled
(the next forward pass undoes it without a word). Nor is one dictionary of weights given for several LoRAs, of which
the first would use it up.
"""

import tempfile
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE as LORA_WEIGHT_NAME
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor

from tests.composition.machine import COMPONENTS, CompositionMachine
from tests.composition.materials import LORAS, SEEDS


LORA_NAMES = ("style", "pose", "detail")  # the first is a motion's name as well

weights = st.sampled_from((0.5, -0.75, 0.0, 1.5))
by_component = st.fixed_dictionaries({}, optional=dict.fromkeys(COMPONENTS, weights))

kinds, seeds = st.sampled_from(list(LORAS)), st.sampled_from(SEEDS)
components, lora_scales = st.sampled_from((COMPONENTS, ["unet"])), st.sampled_from((1.0, 0.5))
if_fusing_is_sane = precondition(
    lambda self: self.lora.loaded and not self.lora.is_fused and not self.lora.is_disabled
)
unless_fused = precondition(lambda self: not self.lora.is_fused)
if_loaded = precondition(lambda self: self.lora.loaded)


class LoraRules(CompositionMachine):
    """One rule for each LoRA call."""

    def __init__(self) -> None:
        super().__init__()
        self.lora_files: dict[str, dict[str, Tensor]] = {}  # what was loaded, by name

    def some_loras(self, data: Any) -> list[str]:
        return data.draw(st.lists(st.sampled_from(self.lora.loaded), min_size=1, unique=True), label="LoRAs")

    @initialize(kind=kinds, seed=seeds, name=st.sampled_from(LORA_NAMES))
    def begin_with_a_lora(self, kind: str, seed: int, name: str) -> None:
        self.add_lora(kind, seed, name)

    @unless_fused
    @precondition(lambda self: len(self.lora.loaded) < len(LORA_NAMES))
    @rule(data=st.data(), kind=kinds, seed=seeds)
    def load_lora_weights(self, data: Any, kind: str, seed: int) -> None:
        free = [name for name in LORA_NAMES if name not in self.lora.loaded]
        self.add_lora(kind, seed, data.draw(st.sampled_from(free), label="name"))

    def add_lora(self, kind: str, seed: int, name: str) -> None:
        material = self.materials.lora(kind, seed)
        self.lora_call("load_lora_weights", material.given, weight_name=LORA_WEIGHT_NAME, adapter_name=name)
        self.lora.load(material.lora, name)
        self.lora_files[name] = material.state_dict

    @unless_fused
    @rule(seed=seeds)
    def load_lora_weights_that_do_not_fit(self, seed: int) -> None:
        """Found out by PEFT when the adapter is in already, so the active ones are others afterwards."""
        material = self.materials.lora("temporal", seed)
        too_wide = {key: F.pad(tensor, (0, "lora_A" in key)) for key, tensor in material.given.items()}
        for pipe in (self.twin, self.pipe):
            try:
                pipe.load_lora_weights(too_wide, adapter_name="unfit")
            except RuntimeError:
                continue
            raise AssertionError("A LoRA that does not fit was loaded.")
        self.calls.append(f"load_lora_weights(lora 'temporal' {seed}, too wide)  # fails")
        self.output = None
        self.lora.load_and_fail(material.lora, "unfit")

    @unless_fused
    @if_loaded
    @rule(data=st.data())
    def set_adapters(self, data: Any) -> None:
        names = self.some_loras(data)
        several = st.lists(weights | by_component, min_size=len(names), max_size=len(names))
        given = data.draw(st.none() | weights | several, label="weights")
        self.lora_call("set_adapters", names, given)
        entries = given if isinstance(given, list) else [given] * len(names)
        factors = {component: [factor_of(entry, component) for entry in entries] for component in COMPONENTS}
        self.lora.set_adapters(names, factors)

    @unless_fused
    @rule(enabled=st.booleans())
    def switch_lora(self, enabled: bool) -> None:
        self.lora_call("enable_lora" if enabled else "disable_lora")
        self.lora.set_disabled(not enabled)

    @if_fusing_is_sane
    @rule(components=components, lora_scale=lora_scales)
    def fuse_lora(self, components: list[str], lora_scale: float) -> None:
        self.lora_call("fuse_lora", components=components, lora_scale=lora_scale)
        self.lora.fuse(components, lora_scale, None)

    @if_fusing_is_sane
    @rule(data=st.data(), components=components, lora_scale=lora_scales)
    def fuse_lora_by_name(self, data: Any, components: list[str], lora_scale: float) -> None:
        names = self.some_loras(data)
        self.lora_call("fuse_lora", components=components, lora_scale=lora_scale, adapter_names=names)
        self.lora.fuse(components, lora_scale, names)

    @precondition(lambda self: self.lora.is_fused)
    @rule()
    def unfuse_lora(self) -> None:
        self.lora_call("unfuse_lora", components=COMPONENTS)
        self.lora.unfuse()

    @unless_fused
    @if_loaded
    @rule()
    def unload_lora_weights(self) -> None:
        self.lora_call("unload_lora_weights")
        self.lora.unload()

    @unless_fused
    @if_loaded
    @rule(data=st.data())
    def delete_adapters(self, data: Any) -> None:
        names = self.some_loras(data)
        self.lora_call("delete_adapters", names)
        self.lora.delete(names)

    @if_loaded
    @rule(data=st.data())
    def set_lora_device(self, data: Any) -> None:
        self.lora_call("set_lora_device", self.some_loras(data), "cpu")

    @if_loaded
    @rule(data=st.data())
    def save_lora_weights(self, data: Any) -> None:
        """Must not know of any motion: the file holds the keys and numbers that were loaded."""
        name = data.draw(st.sampled_from(self.lora.loaded), label="LoRA")
        layers = {
            f"{component}_lora_layers": get_peft_model_state_dict(getattr(self.pipe, component), adapter_name=name)
            for component in COMPONENTS
            if name in self.lora.names[component]
        }
        with tempfile.TemporaryDirectory() as folder:
            self.pipe.save_lora_weights(folder, **layers)
            saved = load_file(f"{folder}/pytorch_lora_weights.safetensors")
        expected = self.lora_files[name]
        assert saved.keys() == expected.keys(), self.report("A saved LoRA has other keys.")
        assert all(torch.equal(saved[key], expected[key]) for key in saved), self.report("A saved LoRA differs.")

    @rule(data=st.data())
    def call_lora_wrongly(self, data: Any) -> None:
        call, *args, kwargs = data.draw(st.sampled_from(self.wrong_lora_calls()), label="call")
        self.failing_lora_call(call, *args, **kwargs)

    def wrong_lora_calls(self) -> list[tuple]:
        """Calls that diffusers refuses before it changes anything."""
        calls = [
            ("set_adapters", "nobody", {}),
            ("load_lora_weights", self.materials.motion("default", 0).given, {"adapter_name": "nobody"}),
            ("fuse_lora", {"components": []}),
            ("fuse_lora", {"components": ["vae"]}),
            ("unfuse_lora", {"components": ["vae"]}),
        ]
        if self.lora.loaded:
            name = self.lora.loaded[0]
            calls += [
                ("set_adapters", name, [1.0, 0.5], {}),
                ("set_adapters", [name, "nobody"], {}),
                ("load_lora_weights", self.materials.lora("both", 1).given, {"adapter_name": name}),
            ]
        return calls


def factor_of(entry: Any, component: str) -> float:
    """What one entry of the weights of `set_adapters` means for a component."""
    factor = entry.get(component) if isinstance(entry, dict) else entry
    return 1.0 if factor is None else factor
