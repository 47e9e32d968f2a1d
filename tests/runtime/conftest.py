"""A motion for the tests of this folder."""

import pytest


_EMBEDDINGS: dict[tuple, dict] = {}


@pytest.fixture
def motion(embedding_dict):
    """A function from a model to a random embedding on its full grids, strong enough to be seen in two steps.

    Finding the grids takes longer than anything else here, so embeddings are kept.
    """

    def make(model, seed=1, strength=4.0):
        key = (type(model).__name__, repr(sorted(model.config.items(), key=str)), seed)
        if key not in _EMBEDDINGS:
            _EMBEDDINGS[key] = embedding_dict(model, seed=seed, value_grid="full")
        return {name: strength * tensor for name, tensor in _EMBEDDINGS[key].items()}

    return make


@pytest.fixture(params=["motion first", "feature first"])
def motion_first(request):
    return request.param == "motion first"
