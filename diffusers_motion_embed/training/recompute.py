"""Recomputing activations in the backward pass instead of keeping them.

`UNet3DConditionModel` refuses diffusers' `enable_gradient_checkpointing()`, so layers are wrapped here for the
duration of a training run. The table of model classes says which ones.
"""

import contextlib
import functools
import re
from collections.abc import Iterator

from torch import nn
from torch.utils.checkpoint import checkpoint


@contextlib.contextmanager
def recomputation(model: nn.Module, paths: str | None) -> Iterator[None]:
    """Recompute some of the model's layers, then restore them.

    Args:
        model: Any model.
        paths: Regular expression for the paths of these layers, such as `Architecture.layers`; None recomputes none.
    """
    layers = [module for path, module in model.named_modules() if paths and re.fullmatch(paths, path)]
    for layer in layers:
        # The model is in evaluation mode, so that nothing in it is random.
        layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # the instance's, so that the class's shows again
