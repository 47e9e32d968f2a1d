"""Write a twin of a tiny model, which computes the same with inputs of its frame-mixing attentions of another size.

    python -m benchmarks.tiny_world.twins --pretrained_model_name_or_path examples/tiny-t2v --factors 8 \
        --output_dir outputs/tiny-t2v-8

What is learned of a motion must not depend on these sizes, so whatever is measured on a model must come out the same
on its twins.
"""

import argparse
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch import nn

from benchmarks.tiny_world.pipelines import TINY_T2V, load_tiny_pipeline
from diffusers_motion_embed.architectures import find_architecture


@torch.no_grad()
def enlarge_inputs(model: nn.Module, factors: Sequence[float]) -> dict[str, float]:
    """Multiply the inputs of a model's frame-mixing attentions, and divide the weights that take them.

    Args:
        model: A denoiser of a tiny model's class.
        factors: One for each block, in turn. Wan takes one alone, since its blocks share what sets them.

    Returns:
        The factor of each layer, by path.
    """
    paths = find_architecture(model).attention_paths(model)
    blocks = dict.fromkeys(path.rpartition(".")[0] for path in paths)
    factor_of = dict(zip(blocks, cycle(factors), strict=False))
    if isinstance(model, WanTransformer3DModel):
        if len(factors) > 1:
            raise ValueError(f"Wan's blocks share what sets their inputs: give one factor, not {len(factors)}.")
        _enlarge_modulation(model, factors[0])
    else:
        for block, factor in factor_of.items():
            _enlarge_norms(model.get_submodule(block), factor)
    layers = {path: factor_of[path.rpartition(".")[0]] for path in paths}
    for path, factor in layers.items():
        for projection in ("to_q", "to_k", "to_v"):
            model.get_submodule(f"{path}.{projection}").weight /= factor
    return layers


def _enlarge_norms(block: nn.Module, factor: float) -> None:
    """The layers' inputs are outputs of norms, to which AnimateDiff adds sinusoids."""
    for norm in (block.norm1, block.norm2):
        norm.weight *= factor
        norm.bias *= factor
    if block.pos_embed is not None:
        block.pos_embed.pe *= factor


def _enlarge_modulation(model: WanTransformer3DModel, factor: float) -> None:
    """The layer's input is norm · (1 + scale) + shift; both add a layer's table to what the noise level gives."""
    project, width = model.condition_embedder.time_proj, model.scale_shift_table.shape[-1]
    for parameter in (project.weight, project.bias):
        parameter[: 2 * width] *= factor
    for block in model.blocks:
        shift, scale = block.scale_shift_table[0, :2]
        shift *= factor
        scale.copy_(factor * (1 + scale) - 1)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--pretrained_model_name_or_path", type=Path, default=TINY_T2V)
    add("--factors", type=float, nargs="+", required=True, help="One for each block, in turn.")
    add("--output_dir", type=Path, required=True)
    options = parser.parse_args(arguments)
    pipe: Any = load_tiny_pipeline(options.pretrained_model_name_or_path)
    enlarge_inputs(getattr(pipe, "unet", None) or pipe.transformer, options.factors)
    pipe.save_pretrained(options.output_dir)


if __name__ == "__main__":
    main()
