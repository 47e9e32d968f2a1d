"""Steps of the optimizer: what adds up, what follows which rate, what learns from what."""

import functools

import numpy as np
import pytest
import torch
from diffusers import UNet3DConditionModel
from safetensors.torch import load_file

import diffusers_motion_embed as dme
from diffusers_motion_embed.adapter.registry import embedding_tensors, registry_of
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from diffusers_motion_embed.training.losses import LOSSES
from tests.helpers import NUM_FRAMES, assert_unchanged, generate, make_config, snapshot


def clip(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (NUM_FRAMES, 16, 16, 3), dtype=np.uint8)


def train(pipe, frames=None, prompt="a red circle", callback=None, embedding=None, **options):
    """The trained tensors by layer and part."""
    arguments = {key: options.pop(key) for key in ("spatial_lora_directory",) if key in options}
    train_motion_embedding(
        pipe,
        clip() if frames is None else frames,
        prompt,
        TrainingConfig(**{"max_train_steps": 3, "gradient_accumulation_steps": 1, **options}),
        embedding_config=make_config(**(embedding or {})),
        adapter_name="trained",
        callback=callback,
        progress_bar=False,
        **arguments,
    )
    tensors = embedding_tensors(pipe.unet, "trained")
    pipe.unload_motion_embedding()
    return {(path, part): tensor for path, parts in tensors.items() for part, tensor in parts.items()}


def assert_close(first, second, tolerance=1e-5):
    assert first.keys() == second.keys()
    for key in first:
        torch.testing.assert_close(first[key], second[key], atol=tolerance, rtol=1e-4)


def largest_difference(first, second):
    return max((first[key] - second[key]).abs().max().item() for key in first)


def test_accumulated_passes_are_one_large_batch(text_to_video):
    # A plain gradient would be the same to rounding; Adam divides by its size, which lets tiny ones differ.
    options = {"max_train_steps": 2, "learning_rate": 0.01}
    whole = train(text_to_video, train_batch_size=4, **options)
    parts = train(text_to_video, train_batch_size=2, gradient_accumulation_steps=2, **options)
    assert_close(whole, parts, tolerance=2e-4)
    assert largest_difference(whole, train(text_to_video, train_batch_size=2, **options)) > 1e-3


def test_what_all_frames_share_is_left_out_of_the_query_key_part(text_to_video):
    options = {"learning_rate": 0.1, "weight_decay": 0}
    centered = train(text_to_video, center_qk=True, **options)
    for (_, part), tensor in centered.items():
        mean = tensor.mean(dim=-2).abs().max()
        assert mean < 1e-6 if part == "qk" else mean > 1e-3
        assert tensor.abs().max() > 0.05

    # Neither does it count in the gradients, by whose size Adam divides.
    once, plain = (train(text_to_video, max_train_steps=1, center_qk=on, **options) for on in (True, False))
    only_after = {key: value - value.mean(-2, keepdim=True) for key, value in plain.items() if key[1] == "qk"}
    assert largest_difference(only_after, once) > 0.05
    assert all(torch.equal(once[key], plain[key]) for key in plain if key[1] == "v")


def test_parts_follow_their_own_rates(text_to_video):
    # Adam's first step is as long as the rate, whatever the gradient.
    for name, tensor in train(
        text_to_video, max_train_steps=1, learning_rate=0.5, qk_learning_rate=0.02, v_learning_rate=0.3, weight_decay=0
    ).items():
        rate = {"qk": 0.02, "v": 0.3}[name[1]]
        assert tensor.abs().max().item() == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("constant_with_warmup", [0.5, 1, 1, 1]),
        ("linear", [0.5, 1, 0.5, 0]),
        ("cosine", [0.5, 1, 0.5, 0]),
    ],
)
def test_rates_follow_the_schedule(text_to_video, scheduler, expected):
    rates = []
    options = {"lr_scheduler": scheduler, "lr_warmup_steps": 2, "max_train_steps": 4, "learning_rate": 0.1}
    train(text_to_video, callback=lambda progress: rates.append(progress.logs()["learning_rate"]), **options)
    assert rates == pytest.approx([0.1 * share for share in expected], abs=1e-9)


def test_long_gradients_are_shortened(text_to_video):
    # So short that AdamW's first step, lr · g / (|g| + 1e-8), is lr · g / 1e-8: as long as the gradient says.
    settings = {"max_train_steps": 1, "learning_rate": 0.5, "weight_decay": 0.0, "max_grad_norm": 1e-10}
    tensors = train(text_to_video, **settings)
    length = torch.cat([tensor.flatten() for tensor in tensors.values()]).norm().item()
    assert length == pytest.approx(0.5 * 1e-10 / 1e-8, rel=0.02)


def test_several_clips_are_learned_from_in_turn(text_to_video):
    first, second = clip(0), clip(1)
    both = train(text_to_video, [first, second], ["a red circle", "a blue bar"], max_train_steps=2)
    assert largest_difference(both, train(text_to_video, first, max_train_steps=2)) > 1e-4
    same = train(text_to_video, [first, first], ["a red circle"] * 2, max_train_steps=2)
    assert_close(same, train(text_to_video, first, max_train_steps=2))


@pytest.mark.parametrize(
    ("frames", "prompts", "error", "message"),
    [
        ([clip(), clip()[:, :8]], ["a", "b"], dme.VideoError, "must be of one shape"),
        ([clip(), clip()], ["a"], ValueError, "got 2 clips and 1 prompts"),
        ([], [], dme.VideoError, "frames must be a clip.*got list without pictures"),
        ([], "a", dme.VideoError, "frames must be a clip.*got list without pictures"),
        (clip()[:0], "a", dme.VideoError, r"at least one frame, got uint8 \(0, "),
        (clip(), 5, ValueError, "prompt must be a text, a list .* or None; got 5"),
        ([clip(), clip()], ["a", " "], ValueError, "got ' '"),
    ],
)
def test_clips_and_prompts_must_fit_each_other(text_to_video, frames, prompts, error, message):
    before = snapshot(text_to_video.unet)
    with pytest.raises(error, match=message):
        train(text_to_video, frames, prompts)
    assert_unchanged(text_to_video.unet, before)


@pytest.mark.parametrize("still", [clip()[:1], clip()[[0, 0]], clip()[[0, 0]] // 2 + np.uint8([[[[8]]], [[[0]]]])])
def test_a_clip_in_which_nothing_moves_is_warned_of(text_to_video, still):
    with pytest.warns(UserWarning, match=f"Nothing moves in reference clip 1 of 1, {len(still)} frames"):
        train(text_to_video, still, max_train_steps=1)


@pytest.mark.parametrize(
    ("frames", "options", "error", "message"),
    [
        (clip(), {"spatial_lora_directory": "lora"}, ValueError, "with the loss 'debiased_hybrid' only, not 'base'"),
    ],
)
def test_losses_that_cannot_give_what_is_asked_say_so(text_to_video, frames, options, error, message):
    before = snapshot(text_to_video.unet)
    with pytest.raises(error, match=message):
        train(text_to_video, frames, **options)
    assert_unchanged(text_to_video.unet, before)


@pytest.mark.parametrize("loss", [name for name, entry in LOSSES.items() if entry.least_frames > 1])
@pytest.mark.filterwarnings("ignore:Nothing moves")
def test_losses_that_compare_frames_need_two_in_the_latents(text_to_video, loss):
    before = snapshot(text_to_video.unet)
    with pytest.raises(
        dme.VideoError, match=f"'{loss}' compares frames.*at least 2, and the clip has 1. Give a longer"
    ):
        train(text_to_video, clip()[:1], loss=loss)
    assert_unchanged(text_to_video.unet, before)


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("qk_learning_rate", 0.1, "v"),
        ("center_qk", True, "v"),
        ("v_learning_rate", 0.1, "qk"),
        ("debias_in_training", False, "qk"),
        ("p_learning_rate", 0.1, "qk"),
        ("tracked_start", True, "qk"),
    ],
)
def test_an_option_of_a_part_that_is_not_learned_is_refused(text_to_video, name, value, other):
    before = snapshot(text_to_video.unet)
    with pytest.raises(ValueError, match=f"There is no part '.*' to which {name} would apply: .* parts are {other}"):
        train(text_to_video, embedding={"parts": (other,), "value_grid": None}, **{name: value})
    assert_unchanged(text_to_video.unet, before)


def test_settings_of_an_embedding_that_was_learned_serve_again(text_to_video):
    settings, training = dme.MotionEmbeddingConfig(parts=("qk",)), TrainingConfig(max_train_steps=1)
    for name in ("first", "again"):
        train_motion_embedding(text_to_video, clip(), "a", training, embedding_config=settings, adapter_name=name)
        settings = registry_of(text_to_video.unet).loaded[name].config
        assert settings.value_grid == (4, 4)  # of the class, though there is no value part


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [("value_grid", (2, 2), "qk"), ("debias", "identity", "qk"), ("position_grid", (2, 2), "v")],
)
def test_a_setting_of_a_part_that_is_not_learned_is_refused(text_to_video, name, value, other):
    before = snapshot(text_to_video.unet)
    with pytest.raises(ValueError, match=f"There is no part '.*' to which {name} would apply: .* parts are {other}"):
        train(text_to_video, embedding={"parts": (other,), "value_grid": None, name: value})
    assert_unchanged(text_to_video.unet, before)


def test_logs_tell_the_loss_by_noise_level_and_the_size_of_the_parts(text_to_video):
    logs = []
    options = {"max_train_steps": 12, "learning_rate": 0.01, "timestep_sampling": "uniform"}
    tensors = train(text_to_video, callback=lambda progress: logs.append(progress.logs()), **options)
    assert {"loss", "learning_rate", "qk_size", "v_size"} <= logs[0].keys()
    levels = {name for log in logs for name in log if name.startswith("loss_noise")}
    assert levels <= {f"loss_noise_{low:.2f}_{low + 0.25:.2f}" for low in (0, 0.25, 0.5, 0.75)}
    assert len(levels) > 2
    by_level = [value for name, value in logs[0].items() if name.startswith("loss_noise")]
    assert by_level == [pytest.approx(logs[0]["loss"])]  # of one sample
    sizes = [tensor.square().mean() for (_, part), tensor in tensors.items() if part == "v"]
    assert logs[-1]["v_size"] == pytest.approx(torch.stack(sizes).mean().sqrt().item())


def test_the_hybrid_loss_trains_a_lora_on_single_frames_and_drops_it(pipe, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    plain, before = generate(pipe), snapshot(pipe.unet)
    shapes = []
    forward = type(pipe.unet).forward

    @functools.wraps(forward)
    def watched(self, sample, *args, **kwargs):
        if sample.device.type != "meta":  # where layers are counted, not trained
            shapes.append(sample.shape[2])
        return forward(self, sample, *args, **kwargs)

    type(pipe.unet).forward = watched
    try:
        hybrid = train(pipe, loss="debiased_hybrid", spatial_rank=2, spatial_lora_directory="~/lora")
    finally:
        type(pipe.unet).forward = forward
    assert shapes == [NUM_FRAMES, *[NUM_FRAMES, 1] * 3]  # first to measure the inputs of layers
    assert_unchanged(pipe.unet, before)
    assert torch.equal(generate(pipe), plain)
    assert largest_difference(hybrid, train(pipe, loss="debiased_temporal")) > 1e-5

    saved = load_file(tmp_path / "lora" / "pytorch_lora_weights.safetensors")
    assert all(".attentions." in name for name in saved)
    assert all((tensor != 0).any() for name, tensor in saved.items() if "lora_B" in name)
    pipe.load_lora_weights(tmp_path / "lora", weight_name="pytorch_lora_weights.safetensors")
    assert not torch.equal(generate(pipe), plain)


def test_the_hybrid_lora_learns_without_the_embedding(text_to_video, tmp_path):
    loras = []
    for rate in (1e-6, 0.5):
        train(
            text_to_video,
            loss="debiased_hybrid",
            learning_rate=rate,
            spatial_rank=2,
            spatial_lora_directory=tmp_path / str(rate),
        )
        loras.append(load_file(tmp_path / str(rate) / "pytorch_lora_weights.safetensors"))
    for name in loras[0]:
        assert torch.equal(loras[0][name], loras[1][name])


def test_the_hybrid_loss_needs_a_model_without_loras(text_to_video):
    lora = {"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight": torch.randn(2, 8)}
    lora |= {name.replace("lora_A", "lora_B"): torch.randn(8, 2) for name in lora}
    text_to_video.load_lora_weights(lora)
    clip_before = generate(text_to_video)
    with pytest.raises(dme.UnsupportedModelError, match="unload_lora_weights"):
        train(text_to_video, loss="debiased_hybrid")
    assert torch.equal(generate(text_to_video), clip_before)
    text_to_video.unload_lora_weights()
    assert train(text_to_video, loss="debiased_hybrid")


def test_recomputation_gives_the_same_gradients_and_is_undone(pipe):
    before = snapshot(pipe.unet)
    assert_close(train(pipe), train(pipe, gradient_checkpointing=True))
    assert_unchanged(pipe.unet, before)


def test_recomputation_keeps_less(text_to_video):
    """Counts the bytes that autograd keeps, which plain diffusers cannot lower for this model."""
    assert not UNet3DConditionModel._supports_gradient_checkpointing
    kept = {}
    for recompute in (False, True):
        seen = {}

        def pack(tensor, seen=seen):
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            train(text_to_video, max_train_steps=1, gradient_checkpointing=recompute)
        kept[recompute] = sum(seen.values())
    assert kept[True] < kept[False]
