"""Motion calls, those that work and those that must fail without a trace."""

import math
import tempfile
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from diffusers_motion_embed import (
    AdapterNameError,
    EmbeddingFileError,
    IncompatibleEmbeddingError,
    MotionScaleError,
)
from tests.composition.machine import TIMESTEPS, CompositionMachine
from tests.composition.materials import MOTIONS, SEEDS


MOTION_NAMES = ("style", "v1.5", "to_q")  # a LoRA's name, and two that would not do as names of modules
DEBIAS_MODES = ("identity", "difference", "difference_zero_first", "centered", "free_placement")
SPANS = ((0.0, 1.0), (0.0, 0.5), (0.5, 1.0), (0.25, 0.75), (0.75, 1.0), (0.25, 1.0))


def filled(**entries: st.SearchStrategy) -> st.SearchStrategy:
    """Dictionaries with some of these entries, and never with none."""
    return st.fixed_dictionaries({}, optional=entries).filter(bool)


numbers = st.sampled_from((0.5, -0.75, 0.0, 1.5))
scale = numbers | filled(qk=numbers, v=numbers)
scales = scale | filled(
    down=scale | filled(block_0=scale, block_1=st.lists(scale, min_size=1, max_size=1)),
    mid=scale,
    up=scale | filled(block_0=scale, block_1=st.lists(scale, min_size=2, max_size=2)),
)

kinds, seeds = st.sampled_from(list(MOTIONS)), st.sampled_from(SEEDS)
debias_or_default = st.none() | st.sampled_from(DEBIAS_MODES)
if_loaded = precondition(lambda self: self.motion.loaded)


class MotionRules(CompositionMachine):
    """One rule for each motion call."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[str, str] = {}  # of the loaded embeddings

    def one_or_active(self, data: Any) -> str | None:
        return data.draw(st.none() | st.sampled_from(list(self.motion.loaded)), label="adapter_name")

    @initialize(kind=kinds, seed=seeds, name=st.sampled_from(MOTION_NAMES))
    def begin_with_a_motion(self, kind: str, seed: int, name: str) -> None:
        self.add_motion(kind, seed, name, None)

    @precondition(lambda self: len(self.motion.loaded) < len(MOTION_NAMES))
    @rule(data=st.data(), kind=kinds, seed=seeds, debias=debias_or_default)
    def load_motion_embedding(self, data: Any, kind: str, seed: int, debias: str | None) -> None:
        free = [name for name in MOTION_NAMES if name not in self.motion.loaded]
        self.add_motion(kind, seed, data.draw(st.sampled_from(free), label="name"), debias)

    def add_motion(self, kind: str, seed: int, name: str, debias: str | None) -> None:
        material = self.materials.motion(kind, seed)
        self.motion_call("load_motion_embedding", material.given, name, debias=debias)
        self.motion.load(material.tensors, name, debias)
        self.kinds[name] = kind

    @if_loaded
    @rule(data=st.data(), seed=seeds, debias=debias_or_default)
    def hotswap(self, data: Any, seed: int, debias: str | None) -> None:
        name = data.draw(st.sampled_from(list(self.motion.loaded)), label="name")
        material = self.materials.motion(self.kinds[name], seed)
        self.motion_call("load_motion_embedding", material.given, name, debias=debias, hotswap=True)
        self.motion.hotswap(material.tensors, name, debias)

    @if_loaded
    @rule(data=st.data())
    def set_motion_embeddings(self, data: Any) -> None:
        names = data.draw(st.lists(st.sampled_from(list(self.motion.loaded)), min_size=1, unique=True), label="names")
        several = st.lists(scales, min_size=len(names), max_size=len(names))
        given = data.draw(scales | several, label="scales")
        self.motion_call("set_motion_embeddings", names, given)
        self.motion.set_embeddings(names, given if isinstance(given, list) else [given] * len(names))

    @if_loaded
    @rule(data=st.data(), given=scales)
    def set_motion_scale(self, data: Any, given: Any) -> None:
        name = self.one_or_active(data)
        self.motion_call("set_motion_scale", given, name)
        for motion in self.motion.named_or_active(name):
            motion.scale = given

    @if_loaded
    @rule(data=st.data(), span=st.sampled_from(SPANS), timestep=st.sampled_from(TIMESTEPS))
    def set_motion_timing(self, data: Any, span: tuple[float, float], timestep: int) -> None:
        name = self.one_or_active(data)
        self.motion_call("set_motion_timing", *span, name)
        for motion in self.motion.named_or_active(name):
            motion.start, motion.end = span
        self.timestep = timestep

    @if_loaded
    @rule(data=st.data(), debias=st.sampled_from(DEBIAS_MODES))
    def set_motion_debias(self, data: Any, debias: str) -> None:
        name = self.one_or_active(data)
        self.motion_call("set_motion_debias", debias, name)
        for motion in self.motion.named_or_active(name):
            motion.debias = debias

    @rule(enabled=st.booleans())
    def switch_motion(self, enabled: bool) -> None:
        self.motion_call(f"{'enable' if enabled else 'disable'}_motion_embedding_layers")
        self.motion.set_enabled(enabled)

    @if_loaded
    @rule(names=st.lists(st.sampled_from((*MOTION_NAMES, "nobody")), min_size=1, unique=True))
    def delete_motion_embedding(self, names: list[str]) -> None:
        self.motion_call("delete_motion_embedding", names if len(names) > 1 else names[0])
        self.motion.delete(names)

    @if_loaded
    @rule()
    def unload_motion_embedding(self) -> None:
        self.motion_call("unload_motion_embedding")
        self.motion.unload()

    @rule(data=st.data())
    def call_motion_wrongly(self, data: Any) -> None:
        error, call, *args, kwargs = data.draw(st.sampled_from(self.wrong_motion_calls()), label="call")
        self.failing_call(error, call, *args, **kwargs)

    def wrong_motion_calls(self) -> list[tuple]:
        """An error, the call that must raise it, its arguments."""
        given = self.materials.motion("default", 0).given
        load = "load_motion_embedding"
        calls = [
            (AdapterNameError, "set_motion_embeddings", "nobody", {}),
            (AdapterNameError, "set_motion_scale", 0.5, "nobody", {}),
            (AdapterNameError, "set_motion_timing", 0.0, 0.5, "nobody", {}),
            (AdapterNameError, "set_motion_debias", "identity", "nobody", {}),
            (AdapterNameError, "save_motion_embedding", tempfile.gettempdir(), "nobody", {}),
            (EmbeddingFileError, load, with_nan(given), "new", {}),
            (EmbeddingFileError, load, self.materials.lora("spatial", 0).given, "new", {}),
            (EmbeddingFileError, load, {}, "new", {}),
            (IncompatibleEmbeddingError, load, too_wide(given), "new", {}),
            (IncompatibleEmbeddingError, load, elsewhere(given), "new", {}),
            (AdapterNameError, load, given, "nobody", {"hotswap": True}),
            (ValueError, load, given, "new", {"debias": "nonsense"}),
        ]
        if self.motion.loaded:
            name = next(iter(self.motion.loaded))
            other_kind = next(kind for kind in MOTIONS if kind != self.kinds[name])
            same_kind = self.materials.motion(self.kinds[name], 1).given
            calls += [
                (AdapterNameError, load, given, name, {}),
                (
                    IncompatibleEmbeddingError,
                    load,
                    self.materials.motion(other_kind, 1).given,
                    name,
                    {"hotswap": True},
                ),
                (IncompatibleEmbeddingError, load, without_a_layer(same_kind), name, {"hotswap": True}),
                (EmbeddingFileError, load, with_nan(same_kind), name, {"hotswap": True}),
                (ValueError, load, same_kind, name, {"hotswap": True, "debias": "nonsense"}),
                (AdapterNameError, "set_motion_embeddings", [name, name], {}),
                (AdapterNameError, "set_motion_embeddings", [name, "nobody"], {}),
                (MotionScaleError, "set_motion_embeddings", [name], [1.0, 0.5], {}),
                (MotionScaleError, "set_motion_embeddings", [name], math.nan, {}),
                (MotionScaleError, "set_motion_scale", math.inf, name, {}),
                (MotionScaleError, "set_motion_scale", {"qk": 0.5, "v": math.nan}, name, {}),
                (MotionScaleError, "set_motion_scale", {"up": 0.5, "sideways": 1.0}, name, {}),
                (MotionScaleError, "set_motion_scale", {"up": {"block_0": 0.5, "block_7": 1.0}}, name, {}),
                (MotionScaleError, "set_motion_scale", {"up": {"block_0": [0.5]}}, name, {}),
                (MotionScaleError, "set_motion_scale", "0.5", name, {}),
                (ValueError, "set_motion_timing", 0.75, 0.25, name, {}),
                (ValueError, "set_motion_timing", math.nan, 1.0, name, {}),
                (ValueError, "set_motion_debias", "nonsense", name, {}),
            ]
        return calls


# Embeddings that cannot be loaded.


def with_nan(given: dict) -> dict:
    *others, last = given
    return {**{key: given[key] for key in others}, last: torch.full_like(given[last], math.nan)}


def too_wide(given: dict) -> dict:
    return {key: torch.nn.functional.pad(tensor, (0, 1)) for key, tensor in given.items()}


def elsewhere(given: dict) -> dict:
    return {key.replace("up_blocks.1", "up_blocks.7"): tensor for key, tensor in given.items()}


def without_a_layer(given: dict) -> dict:
    path = next(iter(given)).rpartition(".")[0]
    return {key: tensor for key, tensor in given.items() if not key.startswith(path)}
