"""Muon, for matrices on processors that multiply float32 faster than bfloat16.

`torch.optim.Muon` does the same, but orthogonalizes in bfloat16: on a processor without such instructions it takes
several seconds a step.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor


# Coefficients of the Newton-Schulz iteration that torch.optim.Muon uses too.
COEFFICIENTS = (3.4445, -4.775, 2.0315)


def orthogonalized(matrices: Tensor, iterations: int = 5) -> Tensor:
    """The nearest matrices whose singular values are about 1, by Newton-Schulz iterations.

    Args:
        matrices: (batch, rows, columns).
        iterations: After five, singular values are between 0.7 and 1.2.
    """
    a, b, c = COEFFICIENTS
    wide = matrices if matrices.shape[1] <= matrices.shape[2] else matrices.mT
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(iterations):
        gram = wide @ wide.mT
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide if wide.shape == matrices.shape else wide.mT


class Muon(torch.optim.Optimizer):
    """Momentum whose updates are orthogonalized, as large in their root mean square as Adam's usually are.

    Args:
        parameters: Matrices; kernels of convolutions count as matrices of one row for each output.
        lr: Learning rate, of the order of Adam's.
        momentum: Share of the old momentum that stays.
        weight_decay: As in AdamW.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters that have gradients."""
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                momenta = [self._momentum(parameter, group["momentum"]).flatten(1) for parameter in parameters]
                size = group["lr"] * 0.2 * max(momenta[0].shape) ** 0.5
                for parameter, update in zip(parameters, orthogonalized(torch.stack(momenta)), strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update.view(shape), alpha=size)

    def _momentum(self, parameter: Tensor, momentum: float) -> Tensor:
        """Nesterov's momentum after this gradient."""
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(state["momentum"], momentum)
