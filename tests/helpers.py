"""What several tests use."""

from pathlib import Path

import torch
from diffusers import VideoToVideoSDPipeline
from PIL import Image
from transformers import CLIPTokenizer

from diffusers_motion_embed import MotionEmbeddingConfig


NUM_FRAMES = 4
TINY_T2V = Path(__file__).parents[1] / "examples/tiny-t2v"


def make_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer of 131 tokens: the embedded model's."""
    return CLIPTokenizer.from_pretrained(TINY_T2V / "tokenizer")


def make_config(**settings) -> MotionEmbeddingConfig:
    return MotionEmbeddingConfig(**{"num_frames": NUM_FRAMES, "value_grid": (2, 2), **settings})


def generate(pipe, num_frames=NUM_FRAMES, size=16, prompt="a red circle", seed=0, **arguments) -> torch.Tensor:
    """A clip in two steps, as latents-exact floats."""
    settings = {
        "num_inference_steps": 2,
        "guidance_scale": 3.0,
        "generator": torch.Generator().manual_seed(seed),
        "output_type": "pt",
        **arguments,
    }
    if isinstance(pipe, VideoToVideoSDPipeline):
        shades = torch.linspace(0, 255, num_frames).int().tolist()
        video = [Image.new("RGB", (size, size), (shade, 0, 128)) for shade in shades]
        return pipe(prompt, video=video, **{"strength": 1.0, **settings}).frames
    return pipe(prompt, num_frames=num_frames, height=size, width=size, **settings).frames


def module_names(model) -> list[str]:
    return [name for name, _ in model.named_modules()]


def hook_count(model) -> int:
    return sum(len(module._forward_pre_hooks) for module in model.modules())


def snapshot(model) -> dict:
    """Everything that a failed call must leave as it was."""
    return {
        "modules": module_names(model),
        "hooks": hook_count(model),
        "weights": {name: (tensor.clone(), tensor.requires_grad) for name, tensor in model.named_parameters()},
        "attributes": sorted(vars(model)),
    }


def assert_unchanged(model, before: dict) -> None:
    after = snapshot(model)
    weights, earlier = after.pop("weights"), before["weights"]
    assert {name: value for name, value in before.items() if name != "weights"} == after
    assert weights.keys() == earlier.keys()
    for name, (tensor, requires_grad) in weights.items():
        assert torch.equal(tensor, earlier[name][0])
        assert requires_grad == earlier[name][1]
