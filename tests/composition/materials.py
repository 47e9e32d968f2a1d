"""LoRAs and motion embeddings to load: random, seeded, and strong enough that none can be missed.

Each comes twice, as what the pipeline is given and as the oracle's own copy of the numbers, so that a call which
writes into its argument is found out.
"""

import copy
import functools
import tempfile
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from tests.composition.lora_record import Lora, LoraWeights
from tests.composition.motion_record import PREFIX, SEPARATOR, Tensors, tensors_of
from tests.composition.oracle import NUM_FRAMES, grid_at, temporal_attentions


SEEDS = (0, 1)
PROJECTIONS = r"transformer_blocks\.\d+\.attn[12]\.(to_q|to_k|to_v|to_out\.0)"
SPATIAL = rf".*\.attentions\.\d+\.{PROJECTIONS}"
TEMPORAL = rf"(.*\.(temp_attentions|motion_modules)\.\d+|transformer_in)\.{PROJECTIONS}"
TEXT = r".*\.(q_proj|v_proj)"


@dataclass(frozen=True)
class LoraVariety:
    """What a LoRA adapts.

    Args:
        targets: Regular expression for paths of the UNet.
        rank: Of all its layers.
        alpha: Written to a file beside the weights; None for bare tensors, which mean alpha = rank.
        use_dora: Whether rows keep a length of their own (DoRA).
        with_text_encoder: Whether it adapts the text encoder too.
    """

    targets: str
    rank: int = 2
    alpha: int | None = None
    use_dora: bool = False
    with_text_encoder: bool = False


LORAS = {
    "spatial": LoraVariety(SPATIAL),
    "temporal": LoraVariety(TEMPORAL, rank=3),
    "both": LoraVariety(f"({SPATIAL}|{TEMPORAL})", rank=4, alpha=2),
    "text": LoraVariety(SPATIAL, with_text_encoder=True),
    "dora": LoraVariety(TEMPORAL, use_dora=True),
}


@dataclass(frozen=True)
class MotionVariety:
    """What a motion embedding holds.

    Args:
        sections: Beginnings of the paths of its layers.
        parts: Its parts.
        grid: Height and width of its value part; None for each layer's own.
    """

    sections: tuple[str, ...] = ("down_blocks", "up_blocks")
    parts: tuple[str, ...] = ("qk", "v")
    grid: tuple[int, int] | None = (2, 2)


MOTIONS = {
    "default": MotionVariety(),
    "everywhere": MotionVariety(("down_blocks", "mid_block", "up_blocks", "transformer_in"), grid=(3, 2)),
    "own grids": MotionVariety(("up_blocks",), grid=None),
    "query-key": MotionVariety(parts=("qk",)),
    "value": MotionVariety(("down_blocks.1", "mid_block"), parts=("v",), grid=(1, 4)),
}


@dataclass(frozen=True)
class LoraMaterial:
    """A LoRA: what `load_lora_weights` is given, and the oracle's copy."""

    given: dict[str, Tensor] | str
    state_dict: dict[str, Tensor]
    lora: Lora


@dataclass(frozen=True)
class MotionMaterial:
    """A motion embedding: what `load_motion_embedding` is given, and the oracle's copy."""

    given: dict[str, Tensor]
    tensors: Tensors


class Materials:
    """Everything that can be loaded on one pipeline. Made when first asked for.

    Args:
        pipe: The pipeline, pristine.

    Attributes:
        labels: What is given, by identity, in words.
    """

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe
        self.folder = tempfile.TemporaryDirectory()  # for the LoRAs that are files
        self.labels: dict[int, str] = {}
        self.lora = functools.cache(self._make_lora)
        self.motion = functools.cache(self._make_motion)

    def _make_lora(self, kind: str, seed: int) -> LoraMaterial:
        variety = LORAS[kind]
        generator = torch.Generator().manual_seed(1000 * list(LORAS).index(kind) + seed)
        layers = {"unet": _lora_of(self.pipe.unet, variety.targets, variety, generator)}
        if variety.with_text_encoder:
            layers["text_encoder"] = _lora_of(self.pipe.text_encoder, TEXT, variety, generator)
        state_dict = {f"{name}.{key}": value for name, part in layers.items() for key, value in part.items()}
        scale = 1.0 if variety.alpha is None else variety.alpha / variety.rank
        lora = {component: _parsed(part, scale) for component, part in layers.items()}
        given = dict(state_dict)
        if variety.alpha is not None:  # only a file has a place for it
            given = f"{self.folder.name}/{kind}-{seed}"
            config = _config(variety.targets, variety).to_dict()
            self.pipe.save_lora_weights(given, layers["unet"], unet_lora_adapter_metadata=config)
        self.labels[id(given)] = f"lora {kind!r} {seed}"
        return LoraMaterial(given, {key: value.clone() for key, value in state_dict.items()}, lora)

    def _make_motion(self, kind: str, seed: int) -> MotionMaterial:
        variety = MOTIONS[kind]
        generator = torch.Generator().manual_seed(2000 * list(MOTIONS).index(kind) + seed)
        given = {}
        for path in temporal_attentions(self.pipe.unet):
            if path.startswith(variety.sections):
                width = self.pipe.unet.get_submodule(path).to_q.in_features
                shapes = {"qk": (NUM_FRAMES, width), "v": (*(variety.grid or grid_at(path)), NUM_FRAMES, width)}
                for part in variety.parts:
                    given[f"{PREFIX}{path}{SEPARATOR}{part}"] = torch.randn(shapes[part], generator=generator)
        self.labels[id(given)] = f"motion {kind!r} {seed}"
        return MotionMaterial(given, tensors_of(given))


def _config(targets: str, variety: LoraVariety) -> LoraConfig:
    alpha = variety.rank if variety.alpha is None else variety.alpha
    return LoraConfig(r=variety.rank, lora_alpha=alpha, target_modules=targets, use_dora=variety.use_dora)


def _lora_of(model: nn.Module, targets: str, variety: LoraVariety, generator: torch.Generator) -> dict[str, Tensor]:
    """A random LoRA of the layers of `model` that `targets` matches, as PEFT stores it."""
    layout = get_peft_model_state_dict(inject_adapter_in_model(_config(targets, variety), copy.deepcopy(model)))
    # Fresh ones do nothing, B being zero; of a DoRA the lengths of the rows are those of the base weight.
    return {
        key: tensor * (1 + torch.rand(tensor.shape, generator=generator))
        if "magnitude" in key
        else 0.3 * torch.randn(tensor.shape, generator=generator)
        for key, tensor in layout.items()
    }


def _parsed(state_dict: dict[str, Tensor], scale: float) -> dict[str, LoraWeights]:
    """The oracle's copy of the LoRA of one model."""
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, tensor in state_dict.items():
        path, _, name = key.partition(".lora_")
        tensors.setdefault(path, {})[name.split(".")[0].split("_")[0]] = tensor.clone()
    return {
        path: LoraWeights(parts["A"], parts["B"], scale, parts.get("magnitude")) for path, parts in tensors.items()
    }
