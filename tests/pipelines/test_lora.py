"""LoRAs and motion embeddings on one pipeline, where diffusers has LoRA calls for it."""

import pytest
import torch

from diffusers_motion_embed.architectures import find_architecture
from tests.pipelines.conftest import FAMILIES, make_pipe


WITHOUT_LORA = {
    "StableVideoDiffusion",
    "I2VGenXL",
    "Latte",
    "HunyuanVideo15",
    "Allegro",
    "EasyAnimate",
    "MotifVideo",
}


def make_lora(model, component):
    """A random LoRA on every projection into which a motion enters, as the file of a pipeline."""
    generator = torch.Generator().manual_seed(3)
    lora = {}
    for path in find_architecture(model).attention_paths(model):
        for name, projection in model.get_submodule(path).named_children():
            if name in ("to_q", "to_k", "to_v", "to_query", "to_key", "to_value"):
                sizes = {"lora_A": (2, projection.in_features), "lora_B": (projection.out_features, 2)}
                for part, size in sizes.items():
                    lora[f"{component}.{path}.{name}.{part}.weight"] = 0.3 * torch.randn(size, generator=generator)
    return lora


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in WITHOUT_LORA])
def test_a_lora_and_a_motion_in_either_order(name, embedding_dict):
    family, outputs = FAMILIES[name], []
    for motion_first in (True, False):
        pipe = make_pipe(family)
        model = getattr(pipe, family.component)
        calls = [
            lambda pipe, model: pipe.load_motion_embedding(embedding_dict(model, value_grid=(1, 1))),
            lambda pipe, model: pipe.load_lora_weights(make_lora(model, family.component)),
        ]
        outputs.append([family.generate(pipe)])
        for call in calls if motion_first else reversed(calls):
            call(pipe, model)
            outputs[-1].append(family.generate(pipe))
    (plain, motion, both), (_, lora, in_other_order) = outputs
    assert not torch.allclose(motion, plain, atol=1e-3)
    assert not torch.allclose(lora, plain, atol=1e-3)
    assert not torch.allclose(both, motion, atol=1e-3)
    assert not torch.allclose(both, lora, atol=1e-3)
    torch.testing.assert_close(both, in_other_order, atol=1e-4, rtol=1e-4)


def test_pipelines_without_lora_calls_are_those():
    without = {name for name, family in FAMILIES.items() if not hasattr(make_pipe(family), "load_lora_weights")}
    assert without == WITHOUT_LORA
