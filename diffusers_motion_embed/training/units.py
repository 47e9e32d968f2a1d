"""Units in which the parts of an embedding are learned, so that learning rates mean the same for every model.

A part that is added to a layer's input is learned in units of that input: its root mean square on the reference. A
model that computes the same with inputs of another size then learns the same. A position part is learned in tokens,
and its time in a fraction of frames. What is stored is in the model's own units, so loading needs to know nothing of
this.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from diffusers_motion_embed.architectures import patch_size
from diffusers_motion_embed.storage.embedding import EmbeddingTensors


# Which parts are added to the inputs of projections.
PARTS_OF_PROJECTIONS = {
    "to_q": ("qk",),
    "to_query": ("qk",),
    "to_v": ("v",),
    "to_value": ("v",),
    "to_qkv": ("qk", "v"),
    "to_kv": ("v",),
}

# Of frames, in which time is learned: in whole ones, fast motions soon have it run as the model had it.
TIME_UNIT = 0.3

# Path -> part -> one number, or one for each channel.
Units = dict[str, dict[str, Tensor]]


@torch.no_grad()
def measure_units(
    model: ModelMixin, tensors: EmbeddingTensors, latent_size: tuple[int, int], forward: Callable[[], None]
) -> Units:
    """The units of an embedding's tensors. What is not added to a projection's input keeps the model's own.

    Args:
        model: Carries the embedding, which does not move anything yet.
        tensors: The embedding.
        latent_size: Height and width of the clips, in latent pixels.
        forward: Runs the model on noisy samples of the reference.
    """
    squares: dict[tuple[str, str], list[Tensor]] = {}

    def note(path: str, parts: tuple[str, ...]) -> Callable[[nn.Module, tuple], None]:
        def hook(module: nn.Module, args: tuple) -> None:
            for part in parts:
                squares.setdefault((path, part), []).append(args[0].float().square().mean())

        return hook

    modules = dict(model.named_modules())
    with contextlib.ExitStack() as hooks:
        for path in tensors.keys() & modules.keys():
            for name, projection in modules[path].named_children():
                if name in PARTS_OF_PROJECTIONS:
                    hook = note(path, PARTS_OF_PROJECTIONS[name])
                    hooks.callback(projection.register_forward_pre_hook(hook).remove)
        forward()
    tokens = [size // patch for size, patch in zip(latent_size, patch_size(model)[1:], strict=True)]

    def unit(path: str, part: str, tensor: Tensor) -> Tensor:
        if part == "p":
            return tensor.new_tensor([*(1 / size for size in tokens), TIME_UNIT])
        if (path, part) not in squares:
            return tensor.new_ones(())
        size = torch.stack(squares[path, part]).mean().sqrt()
        return torch.where(size > 0, size, 1.0)

    return {
        path: {part: unit(path, part, tensor) for part, tensor in parts.items()} for path, parts in tensors.items()
    }


@contextlib.contextmanager
def in_units(tensors: Iterable[Tensor], units: Iterable[Tensor]) -> Iterator[None]:
    """Express tensors and their gradients in units for a while, then the tensors in the model's own again."""
    pairs = list(zip(tensors, units, strict=True))
    with torch.no_grad():
        for tensor, unit in pairs:
            tensor.div_(unit)
            if tensor.grad is not None:
                tensor.grad.mul_(unit)
    yield
    with torch.no_grad():
        for tensor, unit in pairs:
            tensor.mul_(unit)
