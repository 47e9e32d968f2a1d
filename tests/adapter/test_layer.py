"""The layer against q = Wq(x + s·qk), k = Wk(x + s·qk), v = Wv(x + s·D(v)), written out on plain tensors."""

import copy
import pickle

import pytest
import torch
from diffusers.models.attention_processor import Attention, AttnProcessor

from diffusers_motion_embed.adapter.attachment import attach, detach
from diffusers_motion_embed.adapter.layer import LayerEmbedding, MotionEmbeddingLayer
from diffusers_motion_embed.adapter.state import EmbeddingState
from diffusers_motion_embed.architectures.layouts import Layout, VideoSize
from tests.helpers import make_config


BATCH, HEIGHT, WIDTH, FRAMES, CHANNELS = 2, 2, 3, 4, 8


class Temporal(torch.nn.Module):
    """Pictures in, attention over frames in rows, as in diffusers' temporal transformers."""

    def __init__(self):
        super().__init__()
        self.attention = Attention(CHANNELS, heads=2, dim_head=4, processor=AttnProcessor())

    def forward(self, hidden_states):
        rows = hidden_states.unflatten(0, (-1, FRAMES)).permute(0, 3, 4, 1, 2).flatten(0, 2)
        return self.attention(rows)


def state(debias="identity"):
    return EmbeddingState(make_config(num_frames=FRAMES, debias=debias))


@pytest.fixture
def temporal():
    return Temporal()


@pytest.fixture
def pictures():
    return torch.randn(BATCH * FRAMES, CHANNELS, HEIGHT, WIDTH)


def parts():
    return {"qk": torch.randn(FRAMES, CHANNELS), "v": torch.randn(HEIGHT, WIDTH, FRAMES, CHANNELS)}


@pytest.fixture
def layer(temporal):
    layer = MotionEmbeddingLayer(Layout("rows", "nchw"))
    layer.embeddings["one"] = LayerEmbedding(parts(), state())
    attach(temporal.attention, temporal, layer)
    return layer


def expected(attention, pictures, embeddings):
    """Attention over frames of every position by loops and softmax, sharing no code with package or diffusers."""
    outputs = []
    for clip in range(BATCH):
        for y in range(HEIGHT):
            for x in range(WIDTH):
                rows = torch.stack([pictures[clip * FRAMES + frame, :, y, x] for frame in range(FRAMES)])
                query_key, value = rows.clone(), rows.clone()
                for embedding in embeddings:
                    query_key += embedding.scales["qk"] * embedding.tensors["qk"]
                    place = embedding.tensors["v"][y, x]
                    if embedding.state.config.debias == "difference":
                        place = torch.stack([place[0]] + [place[i] - place[i - 1] for i in range(1, FRAMES)])
                    value += embedding.scales["v"] * place
                q, k, v = (
                    module.weight @ signal.T + (0 if module.bias is None else module.bias[:, None])
                    for module, signal in (
                        (attention.to_q, query_key),
                        (attention.to_k, query_key),
                        (attention.to_v, value),
                    )
                )
                heads = []
                for head in range(2):
                    part = slice(head * 4, head * 4 + 4)
                    weights = torch.softmax(q[part].T @ k[part] / 2, dim=-1)
                    heads.append(weights @ v[part].T)
                outputs.append(attention.to_out[0](torch.cat(heads, -1)))
    return torch.stack(outputs)


@pytest.mark.parametrize("debias", ["identity", "difference"])
def test_embeddings_enter_the_three_projections(temporal, layer, pictures, debias):
    embedding = layer.embeddings["one"]
    embedding.state = state(debias)
    embedding.scales["qk"].fill_(0.7)
    embedding.scales["v"].fill_(-1.3)
    torch.testing.assert_close(
        temporal(pictures), expected(temporal.attention, pictures, [embedding]), atol=1e-5, rtol=0
    )


def test_embeddings_add_up(temporal, layer, pictures):
    layer.embeddings["two"] = LayerEmbedding(parts(), state("difference"))
    embeddings = list(layer.embeddings.values())
    torch.testing.assert_close(
        temporal(pictures), expected(temporal.attention, pictures, embeddings), atol=1e-5, rtol=0
    )


def test_free_placement_leaves_the_value_part_out(temporal, layer, pictures):
    embedding = layer.embeddings["one"]
    embedding.state = state("free_placement")
    without_value = LayerEmbedding(embedding.tensors | {"v": torch.zeros_like(embedding.tensors["v"])}, state())
    torch.testing.assert_close(
        temporal(pictures), expected(temporal.attention, pictures, [without_value]), atol=1e-5, rtol=0
    )


def test_detaching_leaves_nothing(temporal, pictures):
    plain = temporal(pictures)
    layer = MotionEmbeddingLayer(Layout("rows", "nchw"))
    layer.embeddings["one"] = LayerEmbedding({"qk": torch.randn(FRAMES, CHANNELS)}, state())
    attach(temporal.attention, temporal, layer)
    assert not torch.equal(temporal(pictures), plain)
    detach(temporal, layer)
    assert torch.equal(temporal(pictures), plain)
    assert not any(module._forward_pre_hooks for module in temporal.modules())
    assert "motion_embedding" not in dict(temporal.attention.named_children())


def test_attaching_twice_adds_once(temporal, layer, pictures):
    once = temporal(pictures)
    attach(temporal.attention, temporal, layer)
    assert torch.equal(temporal(pictures), once)


@pytest.mark.parametrize("name", ["to_q", "to_k", "to_v"])
def test_a_projection_that_is_wrapped_gets_the_embedding_once(temporal, layer, pictures, name):
    once = temporal(pictures)
    setattr(temporal.attention, name, torch.nn.Sequential(getattr(temporal.attention, name)))
    assert torch.equal(temporal(pictures), once)
    setattr(temporal.attention, name, getattr(temporal.attention, name)[0])
    assert torch.equal(temporal(pictures), once)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_copy_has_embeddings_of_its_own(temporal, layer, pictures, duplicate):
    before = temporal(pictures)
    twin = duplicate(temporal)
    layer.embeddings["one"].tensors["qk"].zero_()
    layer.embeddings["one"].tensors["v"].zero_()
    assert torch.equal(twin(pictures), before)
    assert not torch.equal(temporal(pictures), before)


def test_embeddings_stay_float32_and_out_of_the_state_dict(temporal, layer, pictures):
    temporal.half()
    assert layer.embeddings["one"].tensors["qk"].dtype == torch.float32
    assert not any("motion" in name for name in temporal.state_dict())
    assert not any("motion" in name for name, _ in temporal.named_parameters())
    assert temporal(pictures.half()).dtype == torch.float16


def test_numbers_survive_where_weights_go_to_the_meta_device(temporal, layer, pictures):
    # Sequential offloading sends weights there, and casts and moves follow.
    tensor = layer.embeddings["one"].tensors["v"]
    before = tensor.clone()
    temporal.to("meta").half()
    assert layer.embeddings["one"].tensors["v"] is tensor
    assert torch.equal(tensor, before)


def test_a_move_keeps_the_tensor_that_an_optimizer_holds(temporal, layer):
    tensor = layer.embeddings["one"].tensors["v"].requires_grad_()
    temporal.to("cpu", torch.bfloat16)
    assert layer.embeddings["one"].tensors["v"] is tensor
    assert tensor.is_leaf
    assert tensor.requires_grad


def test_rows_that_were_cut_apart_are_refused(temporal, layer, pictures):
    temporal(pictures)
    with pytest.raises(ValueError, match="7 rows do not divide into clips of 6 positions"):
        temporal.attention(torch.randn(7, FRAMES, CHANNELS))


def test_scales_made_in_inference_mode_can_be_changed_outside():
    with torch.inference_mode():
        embedding = LayerEmbedding({"qk": torch.randn(FRAMES, CHANNELS)}, state())
    embedding.scales["qk"].fill_(0.5)
    assert embedding.scales["qk"] == 0.5


def test_a_scale_of_zero_is_exact_in_half_precision(temporal, layer, pictures):
    temporal.half()
    for scale in layer.embeddings["one"].scales.values():
        scale.zero_()
    layer.embeddings["one"].tensors["qk"].fill_(1e30)  # beyond half precision
    with_motion = temporal(pictures.half())
    detach(temporal, layer)
    assert torch.equal(temporal(pictures.half()), with_motion)


@pytest.mark.parametrize("name", ["to_qkv", "to_kv"])
def test_fused_projections_get_what_the_offsets_become(temporal, layer, pictures, name):
    attention = temporal.attention
    attention.is_cross_attention = name == "to_kv"
    attention.fuse_projections()
    temporal(pictures)  # shows the layer the clip's size
    rows = torch.randn(HEIGHT * WIDTH, FRAMES, CHANNELS)
    apart = [getattr(attention, part)(rows) for part in ("to_q", "to_k", "to_v")]
    expected = torch.cat(apart if name == "to_qkv" else apart[1:], dim=-1)
    torch.testing.assert_close(getattr(attention, name)(rows), expected, atol=1e-5, rtol=1e-5)


def test_query_and_key_share_one_sum_and_nothing_of_it_is_kept(temporal, layer, pictures):
    added = []
    temporal.attention.to_q.register_forward_pre_hook(lambda module, args: added.append(args[0]))
    temporal.attention.to_k.register_forward_pre_hook(lambda module, args: added.append(args[0]))
    temporal(pictures)
    assert added[0] is added[1]
    assert layer._query is None


def test_a_pass_that_was_broken_off_leaves_no_sum_for_the_next(temporal, layer, pictures):
    plain = temporal(pictures)

    def fail(module, args):
        raise RuntimeError

    hook = temporal.attention.to_k.register_forward_pre_hook(fail, prepend=True)
    with pytest.raises(RuntimeError):
        temporal(pictures)
    hook.remove()
    assert torch.equal(temporal(pictures), plain)
    assert layer._query is None


def test_a_key_of_other_things_than_the_query_gets_its_own_sum(layer, temporal):
    query, key = torch.randn(2, HEIGHT * WIDTH, FRAMES, CHANNELS)
    layer.size = VideoSize(FRAMES, HEIGHT, WIDTH)
    attention = temporal.attention
    (of_query,) = layer.add_to_query_or_key(attention.to_q, (query,))
    (of_key,) = layer.add_to_query_or_key(attention.to_k, (key,))
    qk = layer.embeddings["one"].tensors["qk"]
    assert torch.equal(of_query, query + qk)
    assert torch.equal(of_key, key + qk)
