"""An independent computation of what a pipeline with LoRAs and motion embeddings must output.

It shares no code with the package, and none with PEFT: from plain records of what is loaded it writes W + ΔW into the
weights of a pristine copy of the models, and computes every temporal projection as linear(x + m). It proves the claim
of composition: whatever the order of the calls, a motion embedding enters below base weight and LoRA alike,
(W + ΔW)(x + m).
"""

import copy
import re
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.composition.lora_record import LoraRecord
from tests.composition.motion_record import MotionRecord


BATCH, NUM_FRAMES, HEIGHT, WIDTH = 2, 4, 6, 10  # neither square nor a power of two; one level down it is 3 x 5

# The attention layers that mix frames, of UNet3DConditionModel and of UNetMotionModel.
TEMPORAL_ATTENTION = re.compile(r"(.+\.(temp_attentions|motion_modules)\.\d+|transformer_in)\..*\.attn[12]")
PARTS = {"to_q": "qk", "to_k": "qk", "to_v": "v"}


def temporal_attentions(unet: nn.Module) -> list[str]:
    """Paths of all attention layers that mix frames."""
    return [path for path, _ in unet.named_modules() if TEMPORAL_ATTENTION.fullmatch(path)]


def grid_at(path: str) -> tuple[int, int]:
    """Height and width, in positions, of a layer of the tiny models, which have two levels."""
    section, number = path.split(".")[:2]
    level = {"transformer_in": 0, "down_blocks": number, "mid_block": 1, "up_blocks": 1 - int(number == "1")}[section]
    return HEIGHT >> int(level), WIDTH >> int(level)


@torch.no_grad()
def denoise(text_encoder: nn.Module, unet: nn.Module, timestep: int) -> Tensor:
    """One forward pass with fixed inputs, two different clips in a batch, through text encoder and denoiser."""
    generator = torch.Generator().manual_seed(1234)
    sample = torch.randn(BATCH, 4, NUM_FRAMES, HEIGHT, WIDTH, generator=generator)
    tokens = torch.randint(0, text_encoder.config.vocab_size, (BATCH, 5), generator=generator)
    features = text_encoder(tokens)[0]
    if type(unet).__name__ == "UNetMotionModel":
        features = features.repeat_interleave(NUM_FRAMES, dim=0)
    return unet(sample, timestep, encoder_hidden_states=features).sample


class ShiftedLinear(nn.Module):
    """linear(x + m), with m (1 or positions, frames, channels) and x (batch · positions, frames, channels)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.offset: Tensor | None = None

    def forward(self, hidden_states: Tensor) -> Tensor:
        if self.offset is not None:
            hidden_states = hidden_states + self.offset.repeat(len(hidden_states) // len(self.offset), 1, 1)
        return F.linear(hidden_states, self.linear.weight, self.linear.bias)


class Oracle:
    """Pristine copies of a pipeline's text encoder and UNet, rewritten for every question."""

    def __init__(self, pipe: Any) -> None:
        self.models = {"unet": copy.deepcopy(pipe.unet), "text_encoder": copy.deepcopy(pipe.text_encoder)}
        self.linears = {
            (component, path): module
            for component, model in self.models.items()
            for path, module in model.named_modules()
            if isinstance(module, nn.Linear)
        }
        self.base_weights = {key: linear.weight.detach().clone() for key, linear in self.linears.items()}
        self.shifted: dict[tuple[str, str], ShiftedLinear] = {}
        for path in temporal_attentions(self.models["unet"]):
            attention = self.models["unet"].get_submodule(path)
            for projection in PARTS:
                shifted = ShiftedLinear(getattr(attention, projection))
                setattr(attention, projection, shifted)
                self.shifted[path, projection] = shifted

    def output(self, lora: LoraRecord, motion: MotionRecord, timestep: int) -> Tensor:
        """What the pipeline must output, given what is loaded."""
        for (component, path), linear in self.linears.items():
            layer = lora.layers[component].get(path)
            base_weight = self.base_weights[component, path]
            linear.weight.data = base_weight if layer is None else layer.written_into(base_weight)
        for (path, projection), shifted in self.shifted.items():
            shifted.offset = motion.offset(path, PARTS[projection], grid_at(path), timestep)
        return denoise(self.models["text_encoder"], self.models["unet"], timestep)
