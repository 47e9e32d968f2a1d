"""Exactly the video's tokens of exactly the right layers get exactly their frame's vector, counted token by token."""

import pytest
import torch
from diffusers import attention_backend

from diffusers_motion_embed import load_motion_embedding, set_motion_region
from diffusers_motion_embed.functional import fit_frames, resample_grid
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import to_state_dict
from tests.models.zoo import TEXT, ZOO, Clip, make_model, run


CLIP = Clip()
SIZE = {"latent_height": CLIP.height, "latent_width": CLIP.width}


def watch(model, specimen, record):
    """Note what every projection gets, as far as the hooks that are there let it through."""
    for path in specimen.layers:
        for projection in specimen.projections:

            def note(module, args, key=(path, projection)):
                record[key] = args[0].clone()

            model.get_submodule(f"{path}.{projection}").register_forward_pre_hook(note)


def expected_offset(shape, specimen, path, tensor):
    """What is to be added to an input of this shape, element by element; the tensor is (f, c) or (h, w, f, c)."""
    offset = torch.zeros(shape)
    if tensor.ndim == 2 or tensor.shape[:2] == (1, 1):
        tensor = tensor.reshape(1, 1, *tensor.shape[-2:])

    def vector(frame, y, x):
        return tensor[y % tensor.shape[0], x % tensor.shape[1], frame]

    patch_frames, patch_height, patch_width = specimen.patch
    frames, height, width = CLIP.frames // patch_frames, CLIP.height // patch_height, CLIP.width // patch_width
    if specimen.rows:
        positions = shape[0] // CLIP.batch
        height, width = (height, width) if positions == height * width else (height // 2, width // 2)
        for clip in range(CLIP.batch):
            for y in range(height):
                for x in range(width):
                    for frame in range(frames):
                        offset[(clip * height + y) * width + x, frame] = vector(frame, y, x)
    else:
        first = TEXT if path in specimen.text_first else 0
        for clip in range(CLIP.batch):
            for frame in range(frames):
                for y in range(height):
                    for x in range(width):
                        offset[clip, first + (frame * height + y) * width + x] = vector(frame, y, x)
    return offset


@pytest.mark.parametrize(
    "grid", [pytest.param((1, 1), id="vector-per-frame"), pytest.param("full", id="per-position")]
)
@pytest.mark.parametrize("name", ZOO)
def test_every_token_gets_the_vector_of_its_frame(name, grid, make_embedding):
    model, specimen = make_model(name), ZOO[name]
    config, tensors = embedding = make_embedding(
        model, value_grid=grid, debias="identity", target_modules=list(specimen.layers), **SIZE
    )
    assert sorted(tensors) == sorted(specimen.layers)
    before, after = {}, {}
    watch(model, specimen, before)  # ahead of the embedding's hooks
    load_motion_embedding(model, to_state_dict(embedding), config=config)
    watch(model, specimen, after)
    run(model, CLIP)

    assert len(before) == len(after) == 3 * len(specimen.layers)
    for (path, projection), received in before.items():
        part = "v" if projection == specimen.projections[2] else "qk"
        expected = expected_offset(received.shape, specimen, path, tensors[path][part])
        torch.testing.assert_close(after[path, projection] - received, expected, atol=1e-5, rtol=0)
        assert expected.abs().sum() > 1


def is_on_the_left(shape, specimen, path):
    """Whether each row or token shows the left half of the picture."""
    if specimen.rows:
        width = CLIP.width if shape[0] == CLIP.batch * CLIP.height * CLIP.width else CLIP.width // 2
        return (torch.arange(shape[0]) % width < width / 2)[:, None, None]
    width, first = CLIP.width // specimen.patch[2], TEXT if path in specimen.text_first else 0
    return ((torch.arange(shape[1]) - first) % width < width / 2)[None, :, None]


@pytest.mark.parametrize("name", ZOO)
def test_outside_of_a_region_nothing_is_added(name, make_embedding):
    model, specimen = make_model(name), ZOO[name]
    config, tensors = make_embedding(model, target_modules=list(specimen.layers), value_grid=(2, 2), **SIZE)
    before, whole, masked = {}, {}, {}
    watch(model, specimen, before)
    load_motion_embedding(model, to_state_dict(Embedding(config, tensors)), config=config)
    watch(model, specimen, whole)
    run(model, CLIP)
    mask = torch.zeros(4, 6)
    mask[:, :3] = 1
    set_motion_region(model, mask)
    whole = {key: received - before[key] for key, received in whole.items()}
    watch(model, specimen, masked)
    run(model, CLIP)
    for (path, projection), received in masked.items():
        outside = ~is_on_the_left(received.shape, specimen, path).expand(received.shape)
        added = received - before[path, projection]
        assert not added[outside].any()
        torch.testing.assert_close(added[~outside], whole[path, projection][~outside], atol=1e-5, rtol=0)
        assert added.any()


@pytest.mark.parametrize("name", [name for name in ZOO if not ZOO[name].rows])
def test_text_gets_nothing(name, make_embedding):
    """Where text and video are in one sequence, the text's part of it stays bit for bit."""
    model, specimen = make_model(name), ZOO[name]
    embedding = make_embedding(model, value_grid=(1, 1), target_modules=list(specimen.layers), **SIZE)
    before, after = {}, {}
    watch(model, specimen, before)
    load_motion_embedding(model, to_state_dict(embedding), config=embedding.config)
    watch(model, specimen, after)
    run(model, CLIP)
    num_tokens = (
        (CLIP.frames // specimen.patch[0]) * (CLIP.height // specimen.patch[1]) * (CLIP.width // specimen.patch[2])
    )
    lengths = {path: received.shape[1] for (path, _), received in before.items()}
    joint = [path for path, length in lengths.items() if length > num_tokens]
    assert set(joint) >= set(specimen.text_first)
    for path in joint:
        assert lengths[path] == num_tokens + TEXT
        text = slice(0, TEXT) if path in specimen.text_first else slice(num_tokens, None)
        for projection in specimen.projections:
            assert torch.equal(after[path, projection][:, text], before[path, projection][:, text])


def test_sparse_attention_has_its_tokens_block_by_block(make_embedding):
    """Kandinsky 5's NABLA orders a frame's tokens by blocks of 8 x 8; each still gets the vector of its place."""
    name, clip, path = "Kandinsky5Transformer3DModel", Clip(1, 2, 32, 48), "visual_transformer_blocks.0.self_attention"
    model, specimen = make_model(name), ZOO[name]
    config, tensors = embedding = make_embedding(
        model, value_grid="full", debias="identity", target_modules=[path], latent_height=32, latent_width=48
    )
    before, after = {}, {}
    watch(model, specimen, before)
    load_motion_embedding(model, to_state_dict(embedding), config=config)
    watch(model, specimen, after)
    blocks = {"sta_mask": torch.ones(1, 1, 12, 12, dtype=torch.bool), "add_sta": True, "P": 0.9, "method": "topcdf"}
    with torch.no_grad(), attention_backend("flex"):  # the others know no blocks
        model(**specimen.inputs(clip), sparse_params=blocks | {"to_fractal": True}, return_dict=False)

    vectors = fit_frames(resample_grid(tensors[path]["v"], (16, 24)), clip.frames)
    expected = [
        vectors[8 * block_row + row, 8 * block_column + column, frame]
        for frame in range(clip.frames)
        for block_row in range(2)
        for block_column in range(3)
        for row in range(8)
        for column in range(8)
    ]
    key = path, specimen.projections[2]
    torch.testing.assert_close(after[key] - before[key], torch.stack(expected)[None], atol=1e-5, rtol=0)
