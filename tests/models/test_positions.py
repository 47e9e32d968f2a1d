"""The position part: tokens are rotated as if they stood elsewhere, on every model class with rotary positions."""

import copy
import json
import math
import pickle

import pytest
import torch
from accelerate import cpu_offload
from peft import PeftModel, get_peft_model
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode

from diffusers_motion_embed import (
    DividedClipError,
    IncompatibleEmbeddingError,
    MotionEmbeddingConfig,
    TargetModulesError,
    load_motion_embedding,
    set_motion_embeddings,
    set_motion_region,
    set_motion_scale,
    unload_motion_embedding,
)
from diffusers_motion_embed.adapter.registry import embedding_tensors
from diffusers_motion_embed.adapter.selection import select_layers
from diffusers_motion_embed.reports.selection import scaled_embedding
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import CONFIG_NAME, HEADER_KEY, WEIGHTS_NAME
from diffusers_motion_embed.storage.settings import config_to_dict
from tests.models.zoo import ZOO, Clip, make_model, predict, run
from tests.versions import offload_groups, pefts_own_calls


CLIP = Clip()
CPU = torch.device("cpu")
NAMES = [name for name, specimen in ZOO.items() if not specimen.rows]
GIVEN = ("CogVideoXTransformer3DModel", "ConsisIDTransformer3DModel", "AllegroTransformer3DModel")


def size_of(name):
    """Frames, height and width of the clip in tokens."""
    sizes = zip((CLIP.frames, CLIP.height, CLIP.width), ZOO[name].patch, strict=True)
    return tuple(size // patch for size, patch in sizes)


def field(name, *displacements):
    """A position part of one position, from rows and columns of every frame, in tokens."""
    return torch.tensor(displacements) / torch.tensor(size_of(name)[1:])


def load(model, tensor, name="motion", **settings):
    tensor = tensor.reshape(*[1] * (4 - tensor.ndim), *tensor.shape)
    key = f"base_model.model.{ZOO[type(model).__name__].positions}.motion_embedding_p"
    return load_motion_embedding(model, {key: tensor}, name, **settings)


def rotations(table, name):
    """The table that attention gets as complex numbers, (frames, height, width, ...)."""
    if name == "AllegroTransformer3DModel":
        pairs, places = table
        axes = [torch.complex(*pair)[place[0]] for pair, place in zip(pairs, places, strict=True)]
        table = torch.cat(axes, dim=-1)
    elif name == "Kandinsky5Transformer3DModel":
        assert torch.equal(table[..., 0, 0], table[..., 1, 1])
        assert torch.equal(table[..., 0, 1], -table[..., 1, 0])
        table = torch.complex(table[0, ..., 0, 0], table[0, ..., 1, 0])
    elif name == "AnyFlowTransformer3DModel":
        assert table["query"] is table["key"] or torch.equal(table["query"], table["key"])
        table = table["query"][0, 0]
    else:
        table = torch.complex(*table)
        axis = table.shape.index(math.prod(size_of(name)))
        table = table.movedim(axis, 0)
    return table.reshape(*size_of(name), -1)


def watch(model):
    """A list of the tables of positions that attention gets, as far as the hooks that are there let them through."""
    tables, name = [], type(model).__name__
    if name in GIVEN:
        model.register_forward_pre_hook(
            lambda module, args, kwargs: tables.append(kwargs["image_rotary_emb"]), with_kwargs=True
        )
    else:
        module = model.get_submodule(ZOO[name].positions)
        module.register_forward_hook(lambda module, args, output: tables.append(output))
    return tables


def table_of(model, tensor):
    """The table that attention gets with a position part."""
    load(model, tensor)
    tables = watch(model)
    run(model)
    return rotations(tables[-1], type(model).__name__)


def assert_close(table, other, name):
    """LTX has angles of thousands of turns, which it rounds to thousandths."""
    torch.testing.assert_close(table, other, atol=2e-2 if "LTX" in name else 1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_tokens_stand_where_the_field_says(name):
    plain = table_of(make_model(name), torch.zeros(CLIP.frames, 2))
    whole = table_of(make_model(name), field(name, (0, 0), (1, 0), (0, -2), (-1, 1)))
    half = table_of(make_model(name), field(name, (0, 0), (0.5, 0), (0, -1), (-0.5, 0.5)))
    assert torch.equal(whole[0], plain[0])
    assert_close(whole[1, :-1], plain[1, 1:], name)  # each as if it were the one below
    assert_close(whole[2, :, 2:], plain[2, :, :-2], name)
    assert_close(whole[3, 1:, :-1], plain[3, :-1, 1:], name)
    # In LTX, two columns are a whole turn.
    assert (whole[1::2] - plain[1::2]).abs().amax((1, 2, 3)).min() > 0.1
    assert_close(half * half, plain * whole, name)  # twice half the way
    assert (half[1] / plain[1]).real.min() > -1e-4  # and not half the way round the other side


@pytest.mark.parametrize("name", NAMES)
def test_tokens_stand_at_the_time_that_the_field_says(name):
    frames = torch.tensor([0.0, 1.0, -1.0, 0.0])
    path = torch.nn.functional.pad(frames[:, None], (2, 0))
    plain = table_of(make_model(name), torch.zeros(CLIP.frames, 3))
    whole, half = (table_of(make_model(name), times * path) for times in (1, 0.5))
    assert torch.equal(whole[[0, 3]], plain[[0, 3]])
    assert_close(whole[1:3], plain[1:3].flip(0), name)  # each as if it were the other
    assert (whole[1] - plain[1]).abs().amax((-1, -2)).min() > 0.1
    assert_close(half * half, plain * whole, name)


@pytest.mark.parametrize("policy", ["resample", "loop", "hold"])
def test_time_is_stretched_with_the_path(policy):
    """Half the pace of time is half the pace in a clip of twice the length too, where the path is stretched."""
    longer = Clip(frames=8)
    half = torch.arange(CLIP.frames) / -2  # as if each frame were at half its time
    expected = {
        "resample": torch.arange(longer.frames) / -2,
        "loop": half.repeat(2),
        "hold": torch.cat([half, half[-1:].expand(CLIP.frames)]),
    }[policy]
    tables = []
    for times, settings in ((half, {"frame_policy": policy}), (expected, {})):
        model = make_model("WanTransformer3DModel")
        path = torch.nn.functional.pad(times[:, None], (2, 0))
        load(model, path, config=MotionEmbeddingConfig(num_frames=len(path), parts=("p",), **settings))
        noted = watch(model)
        run(model, longer)
        tables.append(torch.complex(*noted[-1]))
    torch.testing.assert_close(*tables)


@pytest.mark.parametrize("name", NAMES)
def test_a_finer_field_moves_every_place_by_its_own(name):
    frames, height, width = size_of(name)
    places_moved = torch.zeros(height, width, frames, 2)
    places_moved[0, 1, 2, 1] = 1 / width
    plain = table_of(make_model(name), torch.zeros(CLIP.frames, 2))
    moved = table_of(make_model(name), places_moved)
    assert_close(moved[2, 0, 1], plain[2, 0, 2], name)
    moved[2, 0, 1] = plain[2, 0, 1]
    assert torch.equal(moved, plain)


@pytest.mark.parametrize("name", NAMES)
def test_outside_of_a_region_nothing_moves(name):
    plain, whole = (table_of(make_model(name), 0.3 * torch.ones(CLIP.frames, 2) * times) for times in (0, 1))
    model = make_model(name)
    load(model, 0.3 * torch.ones(CLIP.frames, 2))
    mask = torch.zeros(CLIP.frames, CLIP.height, CLIP.width)
    mask[2:, : CLIP.height // 2] = 1  # the upper half of the later frames
    set_motion_region(model, mask.numpy())
    tables = watch(model)
    run(model)
    moved, half = rotations(tables[-1], name), size_of(name)[1] // 2
    torch.testing.assert_close(moved[2:, :half], whole[2:, :half], atol=1e-6, rtol=0)
    assert torch.equal(moved[2:, half:], plain[2:, half:])
    assert torch.equal(moved[:2], plain[:2])
    set_motion_region(model, None)
    run(model)
    assert torch.equal(rotations(tables[-1], name), whole)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.ones(1, 3, 4, 4), r"got shape \(1, 3, 4, 4\)"),
        (torch.ones(0, 4), r"got shape \(0, 4\)"),
        (torch.full((4, 4), 255, dtype=torch.uint8), "from 0 to 1, got 255 to 255. Divide"),
        ([[0.5, float("nan")]], "from 0 to 1, and some are NaN"),
        (torch.ones(64, 64, 3), "A picture in colour has to be made one of brightness"),
    ],
)
def test_regions_that_make_no_sense_are_refused(mask, message):
    model = make_model("WanTransformer3DModel")
    load(model, torch.ones(CLIP.frames, 2))
    moved = run(model)
    with pytest.raises(ValueError, match=message):
        set_motion_region(model, mask)
    assert torch.equal(run(model), moved)


def test_two_motions_share_a_clip():
    """Each in its half, so that neither moves the other's tokens."""
    paths = 0.3 * torch.randn(2, CLIP.frames, 2)
    name, model = "WanTransformer3DModel", make_model("WanTransformer3DModel")
    for label, path in zip(("left", "right"), paths, strict=True):
        load(model, path, label)
    set_motion_embeddings(model, ["left", "right"])
    left = torch.zeros(CLIP.height, CLIP.width)
    left[:, : CLIP.width // 2] = 1
    set_motion_region(model, left, "left")
    set_motion_region(model, 1 - left, "right")
    tables = watch(model)
    run(model)
    both, middle = rotations(tables[-1], name), size_of(name)[2] // 2
    for path, side in zip(paths, (slice(middle), slice(middle, None)), strict=True):
        alone = table_of(make_model(name), path)
        torch.testing.assert_close(both[:, :, side], alone[:, :, side], atol=1e-6, rtol=0)


@pytest.mark.parametrize("way", ["compile", "compile_repeated_blocks"])
def test_a_compiled_model_notices_a_region(way):
    torch.compiler.reset()
    compiled, eager = make_model("WanTransformer3DModel"), make_model("WanTransformer3DModel")
    getattr(compiled, way)(backend="eager", fullgraph=True)
    mask = torch.zeros(4, 4)
    mask[:2] = 1
    for model in (compiled, eager):
        load(model, 0.3 * torch.ones(2, 2, CLIP.frames, 2).cumsum(2))
    whole = run(compiled)
    for region in (mask, 1 - mask, None):
        for model in (compiled, eager):
            set_motion_region(model, region)
        expected = run(eager)
        torch.testing.assert_close(run(compiled), expected, atol=1e-5, rtol=1e-5)
        assert torch.allclose(expected, whole, atol=1e-5) == (region is None)
    torch.compiler.reset()


class NoteAttention(TorchFunctionMode):
    """Notes queries, keys and values of every attention."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.nn.functional.scaled_dot_product_attention:
            given = dict(zip(("query", "key", "value"), args, strict=False)) | (kwargs or {})
            self.calls.append([given[part].clone() for part in ("query", "key", "value")])
        return func(*args, **(kwargs or {}))


def attention_inputs(model):
    """Of the first attention that mixes frames, (batch, heads, tokens, c) each."""
    with NoteAttention() as noted:
        run(model)
    num_tokens = math.prod(size_of(type(model).__name__))
    return next(call for call in noted.calls if call[0].shape[2] == call[1].shape[2] >= num_tokens)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "SanaVideoTransformer3DModel"])
def test_only_queries_and_keys_of_the_videos_tokens_change(name):
    """Sana's attention is linear, and is not computed by torch."""
    model = make_model(name)
    plain = attention_inputs(model)
    load(model, 0.3 + 0.1 * torch.randn(CLIP.frames, 2))
    query, key, value = (now - before for now, before in zip(attention_inputs(model), plain, strict=True))
    assert not value.any()
    text = query.shape[2] - math.prod(size_of(name))
    video = slice(text, None) if ZOO[name].text_first else slice(query.shape[2] - text)
    for change in (query, key):
        assert change[:, :, video].abs().amax((0, 1, 3)).min() > 1e-4  # every token of the video
        change[:, :, video] = 0
        assert not change.any()


# Where text and video attend to each other in one sequence, the video's places matter to the text, which has none.
ALONE = [name for name in NAMES if not any(joint in name for joint in ("CogVideoX", "ConsisID", "Hunyuan", "Mochi"))]
ALONE = [name for name in ALONE if not any(joint in name for joint in ("EasyAnimate", "Motif"))]


@pytest.mark.parametrize("name", ALONE)
def test_moving_the_whole_clip_changes_nothing(name):
    model = make_model(name)
    plain = run(model)
    load(model, torch.tensor([0.3, -0.2]).expand(CLIP.frames, 2))
    tolerance = 2e-3 if name == "Kandinsky5Transformer3DModel" else 1e-5  # it rounds rotated queries to bfloat16
    torch.testing.assert_close(run(model), plain, atol=tolerance, rtol=0)
    load(model, torch.linspace(0, 0.5, CLIP.frames)[:, None] * torch.ones(2), "along")
    assert (run(model) - plain).abs().max() > 10 * tolerance


def test_the_scale_is_the_size_of_the_motion():
    path = 0.2 * torch.randn(CLIP.frames, 2)
    model = make_model("WanTransformer3DModel")
    load(model, path)
    set_motion_scale(model, {"p": 1.5})
    scaled = run(model)
    other = make_model("WanTransformer3DModel")
    load(other, 1.5 * path)
    torch.testing.assert_close(scaled, run(other), atol=1e-6, rtol=0)
    set_motion_scale(model, {"qk": 0.0})
    assert not torch.equal(run(model), scaled)


def times(*frames):
    """A path that moves in time alone."""
    return torch.nn.functional.pad(torch.tensor(frames)[:, None], (2, 0))


SLOW, SLOWER = times(0.0, -0.5, -1.0, -1.5), times(0.0, -0.8, -1.6, -2.4)


@pytest.mark.parametrize(
    ("scales", "expected"),
    [
        ([0.0, 0.0], 0.0 * SLOW),
        ([0.5, 0.0], 0.5 * SLOW),
        ([1.5, 0.0], SLOW),
        ([-1.0, 0.0], SLOW),
        ([-0.5, 0.25], 0.5 * SLOW + 0.25 * SLOWER),
        ([1.0, 1.0], (SLOW + SLOWER) / 2),
        ([3.0, -1.0], (3 * SLOW + SLOWER) / 4),
    ],
)
def test_time_of_several_paths_is_their_mean(scales, expected):
    model = make_model("WanTransformer3DModel")
    for name, path in (("slow", SLOW), ("slower", SLOWER)):
        load(model, path, name)
    set_motion_embeddings(model, ["slow", "slower"], scales)
    tables = watch(model)
    run(model)
    found = rotations(tables[-1], "WanTransformer3DModel")
    torch.testing.assert_close(found, table_of(make_model("WanTransformer3DModel"), expected), atol=1e-6, rtol=0)


def test_each_place_has_the_time_of_the_path_that_acts_there():
    model, name = make_model("WanTransformer3DModel"), "WanTransformer3DModel"
    mask = torch.zeros(CLIP.height, CLIP.width)
    mask[:, : CLIP.width // 2] = 1
    for label, path in (("left", SLOW), ("right", SLOWER)):
        load(model, path, label)
    set_motion_embeddings(model, ["left", "right"])
    set_motion_region(model, mask, "left")
    set_motion_region(model, 1 - mask, "right")
    tables = watch(model)
    run(model)
    both, middle = rotations(tables[-1], name), size_of(name)[2] // 2
    for path, side in ((SLOW, slice(middle)), (SLOWER, slice(middle, None))):
        alone = table_of(make_model(name), path)
        torch.testing.assert_close(both[:, :, side], alone[:, :, side], atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [0.5, 1.3, -1.0])
def test_an_embedding_that_holds_its_scale_does_what_it_did_at_it(scale):
    config = MotionEmbeddingConfig(num_frames=CLIP.frames, parts=("p",), target_modules=["rope"])
    path = (torch.nn.functional.pad(0.2 * torch.randn(CLIP.frames, 2), (0, 1)) + SLOW)[None, None]
    model, other = make_model("WanTransformer3DModel"), make_model("WanTransformer3DModel")
    load(model, path)
    set_motion_scale(model, scale)
    load(other, scaled_embedding(Embedding(config, {"rope": {"p": path}}), scale).tensors["rope"]["p"])
    torch.testing.assert_close(run(other), run(model), atol=1e-6, rtol=0)


@pefts_own_calls
def test_peft_reads_paths_of_the_second_version(tmp_path):
    config = MotionEmbeddingConfig(num_frames=CLIP.frames, parts=("p",), target_modules=["rope"])
    path = 0.2 * torch.randn(1, 1, CLIP.frames, 2)
    text = json.dumps({**config_to_dict(config), "format_version": 2})
    (tmp_path / CONFIG_NAME).write_text(text)
    key = "base_model.model.rope.motion_embedding_p"
    save_file({key: path}, tmp_path / WEIGHTS_NAME, metadata={HEADER_KEY: text})
    model = make_model("WanTransformer3DModel")
    load(model, path)
    moved = run(model)
    again = PeftModel.from_pretrained(make_model("WanTransformer3DModel"), str(tmp_path))
    torch.testing.assert_close(run(again.base_model.model), moved)
    unload_motion_embedding(model)
    assert not torch.equal(run(model), moved)


UNMOVABLE = [*(name for name, specimen in ZOO.items() if specimen.rows), "CogVideoXTransformer3DModel"]


@pytest.mark.parametrize("name", UNMOVABLE)
def test_models_without_rotary_positions_say_why_they_take_none(name):
    changes = {"use_rotary_positional_embeddings": False} if name in GIVEN else {}
    model = make_model(name, **changes)
    reason = r"learned or sinusoids" if name in GIVEN else "every place on its own"
    with pytest.raises(TargetModulesError, match=f"takes no position part: .*{reason}"):
        select_layers(model, MotionEmbeddingConfig(parts=("qk", "p")))
    with pytest.raises(IncompatibleEmbeddingError, match=reason):
        load(model, torch.zeros(CLIP.frames, 2))


def test_layers_for_which_there_is_nothing_are_an_error():
    model = make_model("WanTransformer3DModel")
    assert select_layers(model, MotionEmbeddingConfig(parts=("p",), target_modules=["rope"])) == ["rope"]
    with pytest.raises(TargetModulesError, match=r"names layers, and parts=.* has nothing for them"):
        select_layers(model, MotionEmbeddingConfig(parts=("p",), target_modules=["blocks.0.attn1"]))


@pytest.mark.parametrize("name", GIVEN)
def test_a_table_that_is_not_given_is_an_error(name):
    model = make_model(name)
    load(model, torch.ones(CLIP.frames, 2))
    inputs = ZOO[name].inputs(CLIP)
    del inputs["image_rotary_emb"]
    with pytest.raises(ValueError, match="called without image_rotary_emb= to move"):
        model(**inputs)


def test_a_clip_that_is_cut_apart_is_an_error():
    model = make_model("WanTransformer3DModel")
    model.rope.register_forward_hook(lambda module, args, output: tuple(each[:, ::2] for each in output))
    load(model, torch.ones(CLIP.frames, 2))
    with pytest.raises(DividedClipError, match="positions for 16 tokens, fewer than the 32 of the clip: something,"):
        run(model)


def test_tokens_after_the_clips_stay_where_they_are():
    """LTX-2's conditions are tokens of their own, with places of their own, after those of the clip."""
    name = "LTX2VideoTransformer3DModel"
    model, inputs = make_model(name), ZOO[name].inputs(CLIP)
    coords = model.rope.prepare_video_coords(CLIP.batch, CLIP.frames, CLIP.height, CLIP.width, device="cpu")
    latents, further = inputs["hidden_states"], 5
    inputs |= {
        "hidden_states": torch.cat([latents, latents[:, :further]], 1),
        "video_coords": torch.cat([coords, coords[:, :, :further]], 2),
    }
    load(model, field(name, (0, 0), (0.5, 0), (0, -1), (-0.5, 0.5)))
    alone = watch(model)
    run(model)
    with torch.no_grad():
        model(**inputs)
    plain = model.rope.forward(inputs["video_coords"])
    for own, with_further, still in zip(alone[0], alone[-1], plain, strict=True):
        tokens = own.shape.index(math.prod(size_of(name)))
        torch.testing.assert_close(with_further.narrow(tokens, 0, own.shape[tokens]), own)
        unmoved = (own.shape[tokens], further)
        assert torch.equal(with_further.narrow(tokens, *unmoved), still.narrow(tokens, *unmoved))


# How a model may be treated while it moves positions: it must go on as before.
TREATMENTS = {
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "sequential offload": lambda model, folder: cpu_offload(model, CPU, offload_buffers=True),
    "group offload": lambda model, folder: offload_groups(
        model, offload_type="leaf_level", offload_to_disk_path=str(folder)
    ),
}


@pytest.mark.parametrize("treatment", TREATMENTS)
@pytest.mark.parametrize("name", ["WanTransformer3DModel", "CogVideoXTransformer3DModel"])
def test_a_treated_model_moves_positions(name, treatment, tmp_path):
    model, plain = make_model(name), run(make_model(name))
    load(model, 0.2 * torch.randn(2, 2, CLIP.frames, 2))
    moved = run(model)
    treated = TREATMENTS[treatment](model, tmp_path) or model
    assert torch.equal(run(treated), moved)
    unload_motion_embedding(treated)
    assert torch.equal(run(treated), plain)


def test_a_half_precision_model_rounds_only_its_own_numbers():
    model = make_model("WanTransformer3DModel")
    load(model, 0.2 * torch.randn(CLIP.frames, 2))
    model.to(torch.bfloat16)
    (parts,) = embedding_tensors(model, "motion").values()
    assert parts["p"].dtype == torch.float32
    inputs = {name: value.to(torch.bfloat16) for name, value in ZOO["WanTransformer3DModel"].inputs(CLIP).items()}
    assert model(**inputs).sample.dtype == torch.bfloat16


@pefts_own_calls
@pytest.mark.parametrize("name", ["WanTransformer3DModel", "CogVideoXTransformer3DModel"])
@pytest.mark.parametrize("parts", [("p",), ("qk", "p")], ids="-".join)
def test_pefts_door_learns_saves_and_combines_positions(name, parts, tmp_path):
    config = MotionEmbeddingConfig(num_frames=CLIP.frames, parts=parts, position_grid=(2, 2), value_grid=(1, 1))
    peft_model = get_peft_model(make_model(name).requires_grad_(True), config)
    trained = {key: each for key, each in peft_model.named_parameters() if each.requires_grad}
    assert sum(key.endswith("motion_embedding_p.default") for key in trained) == 1
    assert len(trained) == len(ZOO[name].layers) * (len(parts) - 1) + 1
    predict(peft_model.base_model.model).square().mean().backward()
    for parameter in trained.values():
        assert parameter.grad.any()
        parameter.data = torch.randn(parameter.shape)
    peft_model.save_pretrained(tmp_path)
    expected = run(peft_model.base_model.model)
    peft_model.add_weighted_adapter(["default"], [0.5], "weaker")
    peft_model.set_adapter("weaker")
    weaker = run(peft_model.base_model.model)
    assert not torch.equal(weaker, expected)

    again = PeftModel.from_pretrained(make_model(name), str(tmp_path))
    torch.testing.assert_close(run(again.base_model.model), expected)
    assert again.peft_config["default"].format_version == 3
    other = make_model(name)
    load_motion_embedding(other, tmp_path)
    torch.testing.assert_close(run(other), expected)
    set_motion_scale(other, 0.5)
    torch.testing.assert_close(run(other), weaker)
    plain = run(make_model(name))
    assert torch.equal(run(peft_model.unload()), plain)
