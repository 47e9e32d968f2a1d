"""The models to measure, at toy sizes."""

import pytest
import torch

from benchmarks.cost.models import SUBJECTS, TOY_SIZES, embed, twin
from diffusers_motion_embed import unload_motion_embedding


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.model_class)
def subject(request):
    return request.param.at(TOY_SIZES[request.param])


@torch.no_grad()
def test_a_twin_is_the_same_model_in_the_same_memory(subject):
    model, inputs = subject.build(), subject.inputs()
    other = twin(model)
    for one, same in zip(model.parameters(), other.parameters(), strict=True):
        assert one is same
    plain = model(**inputs, return_dict=False)[0]
    embed(other, subject.size)
    assert torch.equal(model(**inputs, return_dict=False)[0], plain)  # the twin's embedding is its own
    moved = other(**inputs, return_dict=False)[0]
    assert (moved - plain).abs().max() > 1e-4 * plain.abs().max()
    unload_motion_embedding(other)
    assert torch.equal(other(**inputs, return_dict=False)[0], plain)


def test_an_embedding_is_trainable_and_the_model_is_not(subject):
    model = subject.build()
    tensors = embed(model, subject.size)
    assert tensors
    assert all(tensor.requires_grad and tensor.any() for parts in tensors.values() for tensor in parts.values())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_only_the_layers_that_are_named_are_adapted():
    subject = SUBJECTS[0].at(TOY_SIZES[SUBJECTS[0]])
    deep = embed(subject.build(), subject.size, r"(down_blocks\.0|up_blocks\.1)\..*")
    every = embed(subject.build(), subject.size, ".*")
    assert set(deep) < set(every)
    assert {path.split(".")[0] for path in deep} == {"down_blocks", "up_blocks"}
