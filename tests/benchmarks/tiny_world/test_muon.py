"""Muon against singular values."""

import pytest
import torch

from benchmarks.tiny_world.muon import Muon, orthogonalized


@pytest.mark.parametrize("shape", [(2, 12, 30), (2, 30, 12), (1, 16, 16)])
def test_singular_vectors_stay_and_singular_values_become_about_one(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    values = left.mT @ orthogonalized(matrices) @ right.mT
    off_diagonal = values - torch.diag_embed(values.diagonal(dim1=1, dim2=2))
    assert off_diagonal.abs().max() < 1e-3
    assert values.diagonal(dim1=1, dim2=2).min() > 0.4
    assert values.max() < 1.3


def test_it_finds_the_matrix_of_a_linear_map():
    generator = torch.Generator().manual_seed(0)
    target, inputs = torch.randn(8, 6, generator=generator), torch.randn(64, 6, generator=generator)
    weight = torch.nn.Parameter(torch.zeros(8, 6))
    optimizer = Muon([weight], lr=0.1, weight_decay=0.0)
    for step in range(600):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 600)
        optimizer.zero_grad()
        ((inputs @ (weight - target).T) ** 2).mean().backward()
        optimizer.step()
    assert (weight - target).abs().max() < 0.05


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (40, 4, 3, 3), (6, 4, 3, 3, 3)], ids=["wide", "tall", "3d"])
def test_kernels_are_trained_as_matrices_of_one_row_for_each_output(shape):
    kernel = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    parameters = [torch.nn.Parameter(kernel.clone()), torch.nn.Parameter(kernel.flatten(1).clone())]
    for parameter in parameters:
        parameter.grad = torch.sin(parameter.detach())
        Muon([parameter], lr=0.1).step()
    assert not torch.equal(parameters[0], kernel)
    assert torch.equal(parameters[0].flatten(1), parameters[1])
