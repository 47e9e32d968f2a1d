"""Every family of pipelines, one tiny random pipeline each."""

import pytest
import torch

from diffusers_motion_embed import enable_motion_embedding
from tests.pipelines import ltx, transformers, unets, wan
from tests.pipelines.components import randomise


FAMILIES = {**unets.FAMILIES, **wan.FAMILIES, **ltx.FAMILIES, **transformers.FAMILIES}


def make_pipe(family):
    """The pipeline, with the motion embedding methods; always the same weights."""
    torch.manual_seed(0)
    pipe = family.make()
    randomise(pipe)
    pipe.set_progress_bar_config(disable=True)
    return enable_motion_embedding(pipe)


@pytest.fixture(params=FAMILIES)
def family(request):
    return FAMILIES[request.param]


@pytest.fixture
def pipe(family):
    return make_pipe(family)


@pytest.fixture
def model(family, pipe):
    return getattr(pipe, family.component)
