"""The calls one for one beside those of LoRAs, on the same pipeline: odd calls do the same for both families."""

import contextlib
import subprocess
import sys
import warnings

import pytest
import torch
from diffusers import VideoToVideoSDPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

import diffusers_motion_embed as dme
from diffusers_motion_embed import (
    AdapterNameError,
    IncompatibleEmbeddingError,
    MotionScaleError,
    enable_motion_embedding,
)
from diffusers_motion_embed.adapter.registry import registry_of
from tests.conftest import make_text_to_video
from tests.helpers import assert_unchanged, generate, make_config, snapshot
from tests.models.zoo import make_model, run


@pytest.fixture
def lora_dict():
    """A function from a pipeline to a random LoRA for its UNet, as `load_lora_weights` takes it."""

    def make(pipe, seed=0):
        torch.manual_seed(seed)
        pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False), "made")
        state_dict = {
            f"unet.{key}": value for key, value in get_peft_model_state_dict(pipe.unet, adapter_name="made").items()
        }
        pipe.unload_lora_weights()
        return state_dict

    return make


class LoraCalls:
    """LoRA's calls under neutral names."""

    def __init__(self, pipe, weights):
        self.pipe, self.weights = pipe, weights

    def load(self, name=None):
        self.pipe.load_lora_weights(dict(self.weights), adapter_name=name)

    def set(self, names):
        self.pipe.set_adapters(names)

    def delete(self, names):
        self.pipe.delete_adapters(names)

    def unload(self):
        self.pipe.unload_lora_weights()

    def active(self):
        return self.pipe.get_active_adapters()

    def listed(self):
        return self.pipe.get_list_adapters()

    def disable(self):
        self.pipe.disable_lora()

    def enable(self):
        self.pipe.enable_lora()


class MotionCalls(LoraCalls):
    """Motion's calls under the same names."""

    def load(self, name=None):
        self.pipe.load_motion_embedding(self.weights, name)

    def set(self, names):
        self.pipe.set_motion_embeddings(names)

    def delete(self, names):
        self.pipe.delete_motion_embedding(names)

    def unload(self):
        self.pipe.unload_motion_embedding()

    def active(self):
        return self.pipe.get_active_motion_embeddings()

    def listed(self):
        return self.pipe.get_list_motion_embeddings()

    def disable(self):
        self.pipe.disable_motion_embedding_layers()

    def enable(self):
        self.pipe.enable_motion_embedding_layers()


@pytest.fixture(params=["text_to_video", "animatediff"])
def enabled_pipe(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["lora", "motion"])
def calls(request, enabled_pipe, lora_dict, embedding_dict):
    if request.param == "lora":
        return LoraCalls(enabled_pipe, lora_dict(enabled_pipe))
    return MotionCalls(enabled_pipe, embedding_dict(enabled_pipe.unet))


def test_a_second_load_is_alone_active(calls):
    calls.load("first")
    calls.load("second")
    assert calls.active() == ["second"]
    assert calls.listed() == {"unet": ["first", "second"]}


def test_names_are_given_in_turn(calls):
    calls.load()
    calls.load()
    assert calls.listed() == {"unet": ["default_0", "default_1"]}


def test_a_name_in_use_and_an_unknown_name_are_value_errors(calls):
    calls.load("first")
    with pytest.raises(ValueError, match="first"):
        calls.load("first")
    with pytest.raises(ValueError, match="third"):
        calls.set(["first", "third"])
    assert calls.active() == ["first"]


def test_deleting_the_unknown_and_unloading_twice_are_no_errors(calls):
    calls.load("first")
    calls.delete(["unknown"])
    assert calls.active() == ["first"]
    calls.unload()
    calls.unload()
    assert calls.listed() == {}


def test_deleting_the_active_one_activates_another(calls):
    for name in ("first", "second", "third"):
        calls.load(name)
    calls.delete("third")
    assert calls.active() == ["first"]
    calls.delete(["first", "second"])
    assert calls.active() == []


def test_disabling_keeps_what_was_set(calls):
    plain = generate(calls.pipe)
    calls.load("first")
    moved = generate(calls.pipe)
    calls.disable()
    assert torch.equal(generate(calls.pipe), plain)
    assert not torch.equal(moved, plain)
    calls.enable()
    assert torch.equal(generate(calls.pipe), moved)


def test_lora_calls_fail_on_the_plain_text_to_video_pipeline_and_work_once_enabled():
    # In a process of its own: enabling repairs the class for good.
    script = (
        "import os; os.environ['HF_HUB_OFFLINE'] = '1'\n"
        "from tests.conftest import make_text_to_video\n"
        "from diffusers_motion_embed import enable_motion_embedding\n"
        "pipe = make_text_to_video()\n"
        "try:\n    pipe.unload_lora_weights()\nexcept AttributeError:\n    print('plain fails')\n"
        "enable_motion_embedding(pipe).unload_lora_weights()\n"
        "print('enabled works')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["plain fails", "enabled works"]


def test_block_scales_reach_blocks_without_spatial_attention(animatediff, embedding_dict):
    pipe = animatediff
    state_dict = embedding_dict(pipe.unet)
    assert not hasattr(pipe.unet.down_blocks[1], "attentions") or not pipe.unet.down_blocks[1].attentions
    pipe.load_motion_embedding(state_dict)
    pipe.set_motion_scale({"down": 0.5, "up": {"block_0": 0.0}})
    scaled = generate(pipe)
    pipe.unload_motion_embedding()
    factors = {"down_blocks": 0.5, "up_blocks.0": 0.0}
    by_hand = {
        key: next((factor for name, factor in factors.items() if f".{name}." in key), 1.0) * tensor
        for key, tensor in state_dict.items()
    }
    assert sum("down_blocks.1" in key for key in by_hand) > 0
    pipe.load_motion_embedding(by_hand)
    torch.testing.assert_close(generate(pipe), scaled, atol=1e-5, rtol=0)


def test_a_scale_is_all_there_is_to_say(enabled_pipe, embedding_dict):
    pipe = enabled_pipe
    pipe.load_motion_embedding(embedding_dict(pipe.unet), "motion")
    moved = generate(pipe)
    pipe.set_motion_scale({"down": 0.25, "up": {"v": 0.5}})
    pipe.set_motion_scale({"mid": 1.0})
    assert torch.equal(generate(pipe), moved)


def test_a_call_for_a_part_that_no_embedding_has_says_so(enabled_pipe, embedding_dict):
    pipe = enabled_pipe
    whole = embedding_dict(pipe.unet)
    pipe.load_motion_embedding({key: tensor for key, tensor in whole.items() if key.endswith("_qk")}, "attention")
    calls = [
        lambda: pipe.set_motion_scale({"v": 0.5}),
        lambda: pipe.set_motion_scale({"up": {"v": 0.5}}),
        lambda: pipe.set_motion_embeddings("attention", {"v": 0.5}),
        lambda: pipe.set_motion_debias("centered"),
    ]
    for call in calls:
        with pytest.warns(UserWarning, match='has the part "v"'):
            call()
    with pytest.warns(UserWarning, match='has no part "v", so debiasing it changes nothing'):
        pipe.load_motion_embedding(
            {key: tensor for key, tensor in whole.items() if key.endswith("_qk")}, "other", debias="centered"
        )
    pipe.set_motion_embeddings("attention")
    with pytest.warns(UserWarning, match='has the part "p"'):
        pipe.set_motion_scale({"qk": 0.5, "p": 1.0})
    pipe.load_motion_embedding(whole, "whole")
    pipe.set_motion_embeddings(["attention", "whole"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.set_motion_scale({"v": 0.5})
        pipe.set_motion_debias("centered")
        pipe.set_motion_embeddings(["attention", "whole"], [1.0, {"v": 0.5}])


def test_a_scale_of_values_that_are_left_out_says_so(enabled_pipe, embedding_dict):
    pipe = enabled_pipe
    pipe.load_motion_embedding(embedding_dict(pipe.unet), "left out", debias="free_placement")
    for scale in ({"v": 0.5}, {"up": {"v": 0.5}}):
        with pytest.warns(UserWarning, match='"free_placement" leaves the part "v" out, so its scale changes nothing'):
            pipe.set_motion_scale(scale)
        with pytest.warns(UserWarning, match='leaves the part "v" out'):
            pipe.set_motion_embeddings("left out", scale)
    pipe.load_motion_embedding(embedding_dict(pipe.unet), "whole")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.set_motion_embeddings(["left out", "whole"])
        pipe.set_motion_scale({"v": 0.5})
        pipe.set_motion_debias("free_placement")
        pipe.set_motion_scale(0.5)


def test_a_call_that_no_motion_is_there_for_says_so(enabled_pipe, embedding_dict):
    pipe = enabled_pipe
    pipe.load_motion_embedding(embedding_dict(pipe.unet), "motion")
    pipe.set_motion_embeddings([])
    calls = [
        lambda: pipe.set_motion_scale(0.5),
        lambda: pipe.set_motion_timing(0.0, 0.5),
        lambda: pipe.set_motion_debias("centered"),
        lambda: pipe.set_motion_frame_policy("loop"),
        lambda: pipe.set_motion_region(torch.ones(4, 4)),
    ]
    for call in calls:
        with pytest.warns(UserWarning, match="No motion embedding is active, so this changes nothing. Name one"):
            call()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.set_motion_scale(0.5, "motion")


def test_a_scale_of_blocks_without_motion_says_so(enabled_pipe, embedding_dict):
    pipe = enabled_pipe
    whole = embedding_dict(pipe.unet)
    pipe.load_motion_embedding({key: tensor for key, tensor in whole.items() if ".up_blocks.1." in key}, "up")
    for scale, block in (
        ({"mid": 0.5}, "mid"),
        ({"down": {"block_0": 0.5}}, "down"),
        ({"up": {"block_0": 0.5}}, "block_0"),
    ):
        with pytest.warns(UserWarning, match=f"No motion embedding here has layers in '{block}'"):
            pipe.set_motion_scale(scale)
        with pytest.warns(UserWarning, match=f"has layers in '{block}'"):
            pipe.set_motion_embeddings("up", scale)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pipe.set_motion_scale({"up": {"block_1": 0.5}})


def test_a_failing_scale_changes_nothing(enabled_pipe, embedding_dict):
    pipe = enabled_pipe
    for name in ("first", "second"):
        pipe.load_motion_embedding(embedding_dict(pipe.unet), name)
    moved = generate(pipe)
    with pytest.raises(MotionScaleError, match="sideways"):
        pipe.set_motion_embeddings(["first", "second"], [0.5, {"sideways": 1.0}])
    assert pipe.get_active_motion_embeddings() == ["second"]
    assert torch.equal(generate(pipe), moved)


def test_hotswapping_is_loading_in_place(enabled_pipe, embedding_dict):
    pipe = enabled_pipe
    first, second = (embedding_dict(pipe.unet, seed=seed) for seed in (1, 2))
    pipe.load_motion_embedding(second, "second")
    pipe.set_motion_scale(0.5)
    expected = generate(pipe)
    pipe.unload_motion_embedding()
    pipe.load_motion_embedding(first, "motion")
    pipe.set_motion_scale(0.5)
    before = generate(pipe)
    structure = snapshot(pipe.unet)
    pipe.load_motion_embedding(second, "motion", hotswap=True)
    assert_unchanged(pipe.unet, structure)
    assert pipe.get_active_motion_embeddings() == ["motion"]
    assert torch.equal(generate(pipe), expected)
    assert not torch.equal(before, expected)


@pytest.mark.parametrize(
    ("name", "settings", "error", "message"),
    [
        (None, {}, AdapterNameError, "none is named None"),
        ("other", {}, AdapterNameError, "none is named 'other'"),
        ("motion", {"num_frames": 5}, IncompatibleEmbeddingError, "same layers, parts and shapes"),
        ("motion", {"value_grid": (1, 1)}, IncompatibleEmbeddingError, "same layers, parts and shapes"),
        ("motion", {"parts": ["v"]}, IncompatibleEmbeddingError, "qk"),
        ("motion", {"target_modules": "up_blocks.*"}, IncompatibleEmbeddingError, "down_blocks"),
    ],
)
def test_a_hotswap_that_does_not_fit_changes_nothing(enabled_pipe, embedding_dict, name, settings, error, message):
    pipe = enabled_pipe
    pipe.load_motion_embedding(embedding_dict(pipe.unet), "motion")
    moved, structure = generate(pipe), snapshot(pipe.unet)
    with pytest.raises(error, match=message):
        pipe.load_motion_embedding(embedding_dict(pipe.unet, seed=2, **settings), name, hotswap=True)
    assert_unchanged(pipe.unet, structure)
    assert torch.equal(generate(pipe), moved)


def test_timing_through_the_whole_schedule_is_none(enabled_pipe, embedding_dict):
    pipe = enabled_pipe
    plain = generate(pipe)
    pipe.load_motion_embedding(embedding_dict(pipe.unet))
    moved = generate(pipe)
    pipe.set_motion_timing(0.0, 0.75)
    early = generate(pipe)  # of two steps, at 0.5 and 1.0
    pipe.set_motion_timing(0.75, 1.0)
    late = generate(pipe)
    assert not any(torch.equal(clip, other) for clip in (early, late) for other in (plain, moved))
    assert not torch.equal(early, late)
    pipe.set_motion_timing(0.0, 1e-4)  # before the first step
    assert torch.equal(generate(pipe), plain)
    pipe.set_motion_timing()
    assert torch.equal(generate(pipe), moved)
    with pytest.raises(ValueError, match="shares"):
        pipe.set_motion_timing(0.5, 0.5)
    assert torch.equal(generate(pipe), moved)


def test_an_embedding_whose_time_never_comes_is_told(embedding_dict):
    pipe = enable_motion_embedding(make_text_to_video(VideoToVideoSDPipeline))
    pipe.load_motion_embedding(embedding_dict(pipe.unet), "early")
    pipe.set_motion_timing(0.0, 0.4)
    with pytest.warns(UserWarning, match="'early' acts at noise levels that this call did not reach"):
        generate(pipe, strength=0.5, num_inference_steps=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        generate(pipe, strength=1.0, num_inference_steps=4)
        pipe.disable_motion_embedding_layers()
        generate(pipe, strength=0.5, num_inference_steps=4)


def test_a_timing_where_noise_levels_are_unknown_says_so(embedding_folder):
    model = make_model("CosmosTransformer3DModel")
    plain = run(model)
    early = embedding_folder(model, value_grid=(1, 1), timing=(0.0, 0.3))
    with pytest.warns(UserWarning, match=r"CosmosTransformer3DModel.*whatever its timing, \(0\.0, 0\.3\)") as caught:
        dme.load_motion_embedding(model, early, "early")
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=r"acts at all noise levels there, .* \(0\.0, 0\.001\)") as caught:
        dme.set_motion_timing(model, 0.0, 0.001)
    assert caught[0].filename == __file__
    registry = registry_of(model)
    registry.forget_action()
    assert registry.idle() == ["early"]
    assert not torch.equal(run(model), plain)
    assert registry.idle() == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dme.set_motion_timing(model)
        dme.load_motion_embedding(model, early, "early", hotswap=True)
        dme.load_motion_embedding(model, embedding_folder(model, "always", value_grid=(1, 1)))


def test_unloading_takes_the_hook_of_the_timing_along(enabled_pipe, embedding_dict):
    pipe = enabled_pipe
    before = snapshot(pipe.unet)
    pipe.load_motion_embedding(embedding_dict(pipe.unet))
    pipe.set_motion_timing(0.2, 0.8)
    pipe.unload_motion_embedding()
    assert_unchanged(pipe.unet, before)


# Interrupted in the middle

CALLS_BY_THE_WAY = range(0, 40, 8)


def interrupt_after(monkeypatch, number):
    """Ctrl-C at a place that loading and unloading pass many times."""
    real, left = torch.compiler.reset, iter(range(number))

    def reset():
        if next(left, None) is None:
            monkeypatch.setattr(torch.compiler, "reset", real)
            raise KeyboardInterrupt
        real()

    monkeypatch.setattr(torch.compiler, "reset", reset)


@pytest.mark.parametrize("number", CALLS_BY_THE_WAY)
def test_an_interrupted_unload_can_be_repeated(pipe, embedding_dict, monkeypatch, number):
    before, plain = snapshot(pipe.unet), generate(pipe)
    pipe.load_motion_embedding(embedding_dict(pipe.unet), config=make_config())
    interrupt_after(monkeypatch, number)
    with contextlib.suppress(KeyboardInterrupt):
        pipe.unload_motion_embedding()
    pipe.unload_motion_embedding()
    assert pipe.get_list_motion_embeddings() == {}
    assert_unchanged(pipe.unet, before)
    assert torch.equal(generate(pipe), plain)


@pytest.mark.parametrize("number", CALLS_BY_THE_WAY)
def test_an_interrupted_load_leaves_the_others_as_they_were(pipe, embedding_dict, monkeypatch, number):
    pipe.load_motion_embedding(embedding_dict(pipe.unet, seed=1), "a", config=make_config())
    pipe.load_motion_embedding(embedding_dict(pipe.unet, seed=2), "b", config=make_config())
    pipe.set_motion_embeddings(["a", "b"], [0.5, 0.25])
    moved = generate(pipe)
    interrupt_after(monkeypatch, number)
    interrupted = False
    try:
        pipe.load_motion_embedding(embedding_dict(pipe.unet, seed=3), "c", config=make_config())
    except KeyboardInterrupt:
        interrupted = True
    if interrupted:
        assert pipe.get_active_motion_embeddings() == ["a", "b"]
        assert torch.equal(generate(pipe), moved)
    else:
        assert pipe.get_active_motion_embeddings() == ["c"]
