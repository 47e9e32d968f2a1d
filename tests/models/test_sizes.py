"""Embeddings that would be too large, or whose size nobody told, are refused before anything is made."""

import pytest
import torch
from diffusers import WanTransformer3DModel

from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.selection import embedding_shapes, select_layers


@pytest.fixture(scope="module")
def wan():
    """Wan 2.1 of 1.3 billion parameters, without numbers."""
    with torch.device("meta"):
        return WanTransformer3DModel(num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30)


def shapes(wan, **settings):
    config = MotionEmbeddingConfig(num_frames=81, num_latent_frames=21, **settings)
    return embedding_shapes(wan, config, select_layers(wan, config))


def test_one_vector_per_frame_is_small(wan):
    found = shapes(wan, value_grid=(1, 1))
    assert len(found) == 30
    assert {(shape.grid, shape.num_frames, shape.channels) for shape in found.values()} == {((1, 1), 21, 1536)}


def test_one_for_each_position_is_refused(wan):
    size = {"latent_height": 60, "latent_width": 104}
    with pytest.raises(ValueError, match=r"1511 million numbers, 5\.6 GiB; at most 268 million .* \(1, 1\)"):
        shapes(wan, value_grid="full", **size)
    assert next(iter(shapes(wan, value_grid=(4, 4), **size).values())).grid == (4, 4)


def test_a_model_without_a_size_needs_to_be_told(wan):
    with pytest.raises(ValueError, match=r"latent_height and latent_width are needed for value_grid=\(4, 4\)"):
        shapes(wan, value_grid=(4, 4))


def test_a_grid_of_values_is_nothing_to_an_embedding_without_them(wan):
    found = shapes(wan, value_grid="full", parts=("qk",), latent_height=60, latent_width=104)
    assert [shape.tensor_shapes() for shape in found.values()] == [{"qk": (21, 1536)}] * 30
    assert shapes(wan, value_grid=(4, 4), parts=("qk",)) == found  # where nobody told the size
