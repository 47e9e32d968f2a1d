"""Checkpoints of the method's authors: what they compute, written out by hand, and the way back."""

import copy

import pytest
import torch

from diffusers_motion_embed import (
    EmbeddingFileError,
    EmbeddingNotFoundError,
    IncompatibleEmbeddingError,
    load_motion_embedding,
    set_motion_scale,
)
from diffusers_motion_embed.arithmetic import reversed_embedding
from diffusers_motion_embed.commands.convert import main
from diffusers_motion_embed.functional import DEBIAS_MODES
from diffusers_motion_embed.storage.convert import from_authors_checkpoint, to_authors_checkpoint
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import read_embedding, write_embedding
from tests.conftest import make_unet3d


FRAMES, SLOTS, HEIGHT, WIDTH = 5, 32, 64, 128  # pixels; the latents are an eighth of that
BLOCKS = {  # block -> channels and positions of their file
    "down_blocks.1.temp_attentions.0.transformer_blocks.0": (16, 4 * 8),
    "down_blocks.2.temp_attentions.0.transformer_blocks.0": (16, 2 * 4),
    "up_blocks.1.temp_attentions.1.transformer_blocks.0": (16, 2 * 4),
}
GRIDS = {32: (4, 8), 8: (2, 4)}


@pytest.fixture
def model():
    return make_unet3d(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=(*("CrossAttnDownBlock3D",) * 3, "DownBlock3D"),
        up_block_types=("UpBlock3D", *("CrossAttnUpBlock3D",) * 3),
    )


@pytest.fixture
def checkpoint():
    """As their code writes it: 32 slots, of which the first are trained."""
    generator, saved = torch.Generator().manual_seed(3), {}
    for block, (channels, positions) in BLOCKS.items():
        for name, rows in (("pos_embed", 1), ("attn1.vSpatial", positions), ("attn2.vSpatial", positions)):
            tensor = torch.zeros(rows, SLOTS, channels)
            tensor[:, :FRAMES] = torch.randn(rows, FRAMES, channels, generator=generator)
            saved[f"{block}.{name}"] = torch.nn.Parameter(tensor)
    return saved


@pytest.fixture
def saved(checkpoint, tmp_path):
    torch.save(checkpoint, tmp_path / "motion_embed.pt")
    return tmp_path / "motion_embed.pt"


@torch.no_grad()
def run(model):
    generator = torch.Generator().manual_seed(4)
    sample = torch.randn(2, 4, FRAMES, HEIGHT // 8, WIDTH // 8, generator=generator)
    return model(sample, 10, encoder_hidden_states=torch.randn(2, 5, 16, generator=generator)).sample


class Added(torch.nn.Module):
    """A projection whose input gets a tensor of (positions, frames, channels), tiled over the batch."""

    def __init__(self, projection, tensor):
        super().__init__()
        self.projection, self.tensor = projection, tensor

    def forward(self, hidden_states):
        batch = hidden_states.shape[0] // self.tensor.shape[0]
        return self.projection(hidden_states + self.tensor.repeat(batch, 1, 1))


def as_their_code(model, checkpoint, mode, scale):
    """The rules of their code, by hand: mode "train", "object" or "camera"."""
    model = copy.deepcopy(model)
    for block, (_, positions) in BLOCKS.items():
        qk = checkpoint[f"{block}.pos_embed"].detach()[:, :FRAMES].expand(positions, -1, -1)
        for name in ("attn1", "attn2"):
            attention = model.get_submodule(f"{block}.{name}")
            attention.to_q, attention.to_k = (Added(p, scale * qk) for p in (attention.to_q, attention.to_k))
            value = checkpoint[f"{block}.{name}.vSpatial"].detach()[:, :FRAMES]
            if mode == "object":
                value = torch.stack([value[:, 0]] + [value[:, i] - value[:, i - 1] for i in range(1, FRAMES)], dim=1)
            if mode != "camera":
                attention.to_v = Added(attention.to_v, scale * value)
    return run(model)


@pytest.mark.parametrize("scale", [1.0, 0.4])
@pytest.mark.parametrize(
    ("mode", "debias"), [("train", "identity"), ("object", "difference"), ("camera", "free_placement")]
)
def test_a_converted_checkpoint_computes_what_their_code_computes(
    model, checkpoint, saved, tmp_path, mode, debias, scale
):
    embedding = from_authors_checkpoint(saved, num_frames=FRAMES, height=HEIGHT, width=WIDTH)
    write_embedding(tmp_path / "ours", embedding)
    plain, expected = run(model), as_their_code(model, checkpoint, mode, scale)
    load_motion_embedding(model, tmp_path / "ours", debias=debias)
    set_motion_scale(model, scale)
    torch.testing.assert_close(run(model), expected, atol=1e-5, rtol=0)
    assert (expected - plain).abs().max() > 1e-2


def test_the_way_back_gives_their_file(checkpoint, saved, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    size = ("--num_frames", str(FRAMES), "--height", str(HEIGHT), "--width", str(WIDTH))
    main([f"~/{saved.name}", str(tmp_path / "ours"), *size, "--base_model_name_or_path", "someone/base"])
    config, _ = read_embedding(tmp_path / "ours")
    assert (config.num_frames, config.height, config.base_model_name_or_path) == (FRAMES, HEIGHT, "someone/base")
    assert config.debias == "difference"
    main(["~/ours", "~/back.pt", "--to_authors"])
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert back.keys() == checkpoint.keys()
    assert all(torch.equal(back[key], tensor) for key, tensor in checkpoint.items())


@pytest.mark.parametrize("debias", DEBIAS_MODES)
@pytest.mark.parametrize("change", [lambda embedding: embedding, reversed_embedding], ids=["given", "reversed"])
def test_their_code_adds_what_the_embedding_adds_by_its_own_debiasing(model, saved, tmp_path, debias, change):
    config, tensors = from_authors_checkpoint(saved, num_frames=FRAMES, height=HEIGHT, width=WIDTH)
    embedding = change(Embedding(config.changed(debias=debias), tensors))
    plain, theirs = run(model), as_their_code(model, to_authors_checkpoint(embedding), "object", 1.0)
    load_motion_embedding(model, write_embedding(tmp_path / "ours", embedding))
    torch.testing.assert_close(run(model), theirs, atol=1e-5, rtol=0)
    assert (theirs - plain).abs().max() > 1e-2


def test_blocks_may_differ_in_their_parts(model, checkpoint, tmp_path):
    first, second, third = BLOCKS
    for key in (
        f"{first}.attn1.vSpatial",
        f"{first}.attn2.vSpatial",
        f"{second}.pos_embed",
        f"{third}.attn2.vSpatial",
    ):
        del checkpoint[key]
    torch.save(checkpoint, tmp_path / "motion_embed.pt")
    config, tensors = embedding = from_authors_checkpoint(
        tmp_path / "motion_embed.pt", num_frames=FRAMES, height=HEIGHT, width=WIDTH
    )
    assert config.parts == ("qk", "v")
    assert not tensors[f"{first}.attn1"]["v"].any()
    assert not tensors[f"{second}.attn1"]["qk"].any()
    write_embedding(tmp_path / "ours", embedding)
    load_motion_embedding(model, tmp_path / "ours")


@pytest.mark.parametrize(
    ("write", "size", "error", "message"),
    [
        (lambda path, saved: None, {}, EmbeddingNotFoundError, "no file"),
        (lambda path, saved: path.write_bytes(b"junk"), {}, EmbeddingFileError, "cannot be read"),
        (lambda path, saved: torch.save(copy.copy, path), {}, EmbeddingFileError, "cannot be read"),
        (lambda path, saved: torch.save([1, 2], path), {}, EmbeddingFileError, "no dictionary"),
        (lambda path, saved: torch.save({"weight": torch.ones(2)}, path), {}, EmbeddingFileError, "'weight'"),
        (lambda path, saved: torch.save(saved, path), {"width": 64}, EmbeddingFileError, "Is that its size"),
        (lambda path, saved: torch.save(saved, path), {"num_frames": 33}, ValueError, "between 1 and 32"),
        (
            lambda path, saved: torch.save({key: torch.full_like(v, torch.nan) for key, v in saved.items()}, path),
            {},
            EmbeddingFileError,
            "NaN",
        ),
    ],
)
def test_what_is_no_such_checkpoint_is_refused(checkpoint, tmp_path, write, size, error, message):
    write(tmp_path / "motion_embed.pt", checkpoint)
    arguments = {"num_frames": FRAMES, "height": HEIGHT, "width": WIDTH, **size}
    with pytest.raises(error, match=message):
        from_authors_checkpoint(tmp_path / "motion_embed.pt", **arguments)


def test_a_value_part_where_their_code_has_none_is_refused(tmp_path):
    block = "mid_block.temp_attentions.0.transformer_blocks.0"
    torch.save({f"{block}.attn1.vSpatial": torch.zeros(8, SLOTS, 16)}, tmp_path / "motion_embed.pt")
    with pytest.raises(IncompatibleEmbeddingError, match=f"no value parts at {block}"):
        from_authors_checkpoint(tmp_path / "motion_embed.pt", num_frames=FRAMES, height=HEIGHT, width=WIDTH)


def test_what_their_file_cannot_hold_is_refused(saved):
    config, tensors = from_authors_checkpoint(saved, num_frames=FRAMES, height=HEIGHT, width=WIDTH)
    block = next(iter(BLOCKS))
    changed = copy.deepcopy(tensors)
    changed[f"{block}.attn2"]["qk"][0, 0] += 1
    with pytest.raises(IncompatibleEmbeddingError, match="do not share"):
        to_authors_checkpoint(Embedding(config, changed))
    coarse = copy.deepcopy(tensors)
    coarse[f"{block}.attn1"]["v"] = coarse[f"{block}.attn1"]["v"][:2]
    with pytest.raises(IncompatibleEmbeddingError, match=r"needs \(4, 8\)"):
        to_authors_checkpoint(Embedding(config, coarse))
    with_positions = config.changed(parts=("qk", "v", "p"))
    with pytest.raises(IncompatibleEmbeddingError, match="no place for a position part"):
        to_authors_checkpoint(Embedding(with_positions, tensors))
    with pytest.raises(IncompatibleEmbeddingError, match="no place for mid_block"):
        to_authors_checkpoint(Embedding(config, {"mid_block.attn1": {"qk": torch.ones(FRAMES, 16)}}))
