"""Training on every family of pipelines, and what becomes of the pipeline."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig, apply_first_block_cache
from peft import LoraConfig, get_peft_model
from PIL import Image
from torch import nn
from torch.overrides import TorchFunctionMode

import diffusers_motion_embed as dme
from diffusers_motion_embed import MotionEmbeddingError, NotFiniteError, UnsupportedModelError, VideoError
from diffusers_motion_embed.adapter.registry import embedding_tensors, registry_of
from diffusers_motion_embed.training import TrainingConfig, track_motion_embedding, train_motion_embedding
from tests.helpers import assert_unchanged, snapshot
from tests.pipelines.conftest import FAMILIES, make_pipe
from tests.pipelines.transformers import UNTRAINED


PACKAGE = Path(dme.__file__).parent
SMALL = {"max_train_steps": 3, "gradient_accumulation_steps": 1, "learning_rate": 0.01}


class NoFloat64(TorchFunctionMode):
    """Fails where the package itself moves float64 to a device, or makes it there: Apple's devices refuse it."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        places = [*args[1:], *(kwargs or {}).values()] if func is torch.Tensor.to else [(kwargs or {}).get("device")]
        is_moved = any(isinstance(place, torch.device | torch.Tensor | str) for place in places)
        if is_moved and getattr(result, "dtype", None) == torch.float64:
            caller = sys._getframe(1).f_code
            assert PACKAGE not in Path(caller.co_filename).parents, f"float64 by {caller.co_name}"
        return result


def wrapped(model):
    """The model in all that people put around models: a LoRA of PEFT that does nothing yet, a cache, compilation."""
    if hasattr(model, "enable_cache"):
        model.enable_cache(TaylorSeerCacheConfig(cache_identifiers=[r".*\.(attn1?|self_attention)"]))
    return torch.compile(nn.DataParallel(with_idle_lora(model)), backend="eager")


def cache_hooks(model):
    registries = (module._diffusers_hook for module in model.modules() if hasattr(module, "_diffusers_hook"))
    return [name for registry in registries for name in registry.hooks]


def with_idle_lora(model):
    return get_peft_model(model, LoraConfig(target_modules=r".*\.(to_q|to_query)"))


def train(family, pipe, frames=None, prompt="a red circle", call_arguments=None, **options):
    losses = []
    train_motion_embedding(
        pipe,
        family.frames() if frames is None else frames,
        prompt if "prompt" in family.takes else None if isinstance(prompt, str) else [None] * len(prompt),
        TrainingConfig(**{**SMALL, **options}),
        adapter_name="trained",
        call_arguments={**family.settings, **(call_arguments or {})},
        callback=lambda progress: losses.append(progress.logs()["loss"]),
        progress_bar=False,
    )
    return losses


def weights(pipe):
    """Of all models of the pipeline."""
    return {
        f"{component}.{name}": tensor.clone()
        for component, model in pipe.components.items()
        if isinstance(model, nn.Module)
        for name, tensor in model.state_dict().items()
    }


def test_an_embedding_is_learned_and_nothing_else_changes(family, pipe, model, tmp_path):
    plain, before, all_weights = family.generate(pipe), snapshot(model), weights(pipe)
    losses = train(family, pipe)
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    tensors = [tensor for parts in embedding_tensors(model, "trained").values() for tensor in parts.values()]
    assert all(tensor.isfinite().all() and tensor.any() for tensor in tensors)
    moved = family.generate(pipe)
    assert not torch.equal(moved, plain)

    settings = {"timing": (0.1, 0.9), "debias": "identity", "frame_policy": "hold"}
    pipe.set_motion_timing(*settings["timing"])
    pipe.set_motion_debias(settings["debias"])
    pipe.set_motion_frame_policy(settings["frame_policy"])
    as_trained, moved = moved, family.generate(pipe)
    assert not torch.equal(moved, as_trained)
    folder = pipe.save_motion_embedding(tmp_path / "embedding")
    pipe.unload_motion_embedding()
    assert_unchanged(model, before)
    assert all(torch.equal(tensor, all_weights[name]) for name, tensor in weights(pipe).items())
    assert torch.equal(family.generate(pipe), plain)
    pipe.load_motion_embedding(folder, "again")
    assert torch.equal(family.generate(pipe), moved)
    config = registry_of(model).loaded["again"].config
    assert {name: getattr(config, name) for name in settings} == settings
    pipe.set_motion_scale(0.0)
    assert torch.equal(family.generate(pipe), plain)

    pipe.unload_motion_embedding()
    setattr(pipe, family.component, with_idle_lora(model))
    pipe.load_motion_embedding(folder)
    torch.testing.assert_close(family.generate(pipe), moved, atol=1e-4, rtol=1e-3)


def test_two_clips_in_one_pass_are_as_one_by_one(family, pipe, model):
    """And clips are as good in other forms, and so are models that are wrapped, cached and compiled."""
    frames = [family.frames(seed) for seed in (0, 1)]
    prompts = ["a red circle", "a blue square on black"]
    together = train(family, pipe, frames, prompts, max_train_steps=1, train_batch_size=2)
    pipe.unload_motion_embedding()

    setattr(pipe, family.component, wrapped(model))
    before, cache = getattr(pipe, family.component), getattr(model, "_cache_config", None)
    forms = [[Image.fromarray(frame) for frame in frames[0]], torch.from_numpy(frames[1]).permute(0, 3, 1, 2) / 255]
    with NoFloat64():
        apart = train(family, pipe, forms, prompts, max_train_steps=1, gradient_accumulation_steps=2)
    assert together == pytest.approx(apart, rel=1e-4)
    assert pipe.get_active_motion_embeddings() == ["trained"]
    assert getattr(pipe, family.component) is before
    assert getattr(model, "_cache_config", None) is cache
    assert not cache or any("taylorseer" in name for name in cache_hooks(model))


def test_a_clip_and_its_color_negative_in_one_pass_are_as_one_by_one(family, pipe):
    # The negative has an empty prompt, of which a text encoder may make fewer tokens.
    (together,) = train(family, pipe, color_negative=True, max_train_steps=1, train_batch_size=2)
    pipe.unload_motion_embedding()
    (apart,) = train(family, pipe, color_negative=True, max_train_steps=1, gradient_accumulation_steps=2)
    assert together == pytest.approx(apart, rel=1e-4)
    pipe.unload_motion_embedding()
    (alone,) = train(family, pipe, max_train_steps=1, gradient_accumulation_steps=2)
    assert abs(together - alone) > 10 * abs(together - apart)


def test_a_cache_is_on_again_after_training_and_after_an_error():
    family = FAMILIES["Wan"]
    pipe = make_pipe(family)
    pipe.transformer.enable_cache(FirstBlockCacheConfig(threshold=0.0))
    plain, hooks = family.generate(pipe), cache_hooks(pipe.transformer)
    for options in ({"loss": "debiased_hybrid"}, {"learning_rate": 1e30}):
        with pytest.raises(MotionEmbeddingError):
            train(family, pipe, **options)
        assert cache_hooks(pipe.transformer) == hooks
        assert torch.equal(family.generate(pipe), plain)
    train(family, pipe)
    assert cache_hooks(pipe.transformer) == hooks
    assert not torch.equal(family.generate(pipe), plain)


def test_a_cache_that_cannot_be_switched_off_is_refused():
    pipe = make_pipe(FAMILIES["Wan"])
    apply_first_block_cache(pipe.transformer, FirstBlockCacheConfig())
    for call in (lambda: train(FAMILIES["Wan"], pipe), lambda: dme.invert_clip(pipe, FAMILIES["Wan"].frames())):
        with pytest.raises(UnsupportedModelError, match=r"fbc_leader.*model\.enable_cache"):
            call()


@pytest.mark.parametrize("family", UNTRAINED.values(), ids=UNTRAINED)
def test_models_whose_pipelines_count_noise_in_ways_of_their_own_are_refused(family):
    pipe, seen = make_pipe(family), []
    before = snapshot(pipe.transformer)
    for call in (lambda: train(family, pipe), lambda: dme.invert_clip(pipe, family.frames())):
        with pytest.raises(UnsupportedModelError, match=r"count noise each in its own way.*track_motion_embedding"):
            call()
    assert_unchanged(pipe.transformer, before)
    # What would have been given: neither pipeline counts from the schedule's 1000.
    pipe.transformer.register_forward_pre_hook(lambda *call: seen.append(call[2]["timestep"].max()), with_kwargs=True)
    family.generate(pipe)
    assert max(seen) < 5


def without_vae(pipe):
    pipe.vae = None


def with_a_device_map(pipe):
    pipe.transformer.hf_device_map = {"": "cpu", "proj_out": "disk"}  # as diffusers notes it


def with_the_first_frame_among_noisy_ones(pipe):
    pipe.transformer.register_to_config(image_condition_type="token_replace")


CANNOT_RUN = {
    without_vae: "it has no vae",
    with_a_device_map: "while its components are spread over devices by a device map",
    with_the_first_frame_among_noisy_ones: "yet: this HunyuanVideoTransformer3DModel gets its first frame",
}
RUNS = {
    "trained": lambda family, pipe: train(family, pipe),
    "tracked": lambda family, pipe: track_motion_embedding(pipe, family.frames(), progress_bar=False),
    "inverted": lambda family, pipe: dme.invert_clip(pipe, family.frames(), progress_bar=False),
}


@pytest.mark.parametrize(("purpose", "run"), RUNS.items(), ids=RUNS)
@pytest.mark.parametrize(("change", "message"), CANNOT_RUN.items(), ids=[each.__name__ for each in CANNOT_RUN])
def test_models_that_cannot_be_run_are_refused_whatever_they_are_run_for(change, message, purpose, run):
    family = FAMILIES["HunyuanVideo"]
    pipe = make_pipe(family)
    change(pipe)
    before = snapshot(pipe.transformer)
    with pytest.raises(UnsupportedModelError, match=f"HunyuanVideoPipeline cannot be {purpose}.*{message}"):
        run(family, pipe)
    assert_unchanged(pipe.transformer, before)


def test_latents_that_overflow_are_found_before_the_first_step():
    family = FAMILIES["WanImageToVideo"]
    pipe = make_pipe(family)
    before = snapshot(pipe.transformer)
    pipe.vae.encoder.conv_in.bias.data[0] = float("inf")
    for call in (lambda: train(family, pipe), lambda: dme.invert_clip(pipe, family.frames())):
        with pytest.raises(NotFiniteError, match=r"AutoencoderKLWan in torch.float32 made infinite.*vae\.to"):
            call()
    assert_unchanged(pipe.transformer, before)


@pytest.mark.parametrize(("name", "limit"), [("AnimateDiff", 32), ("PIA", 32), ("Latte", 4)])
def test_more_frames_than_the_model_has_positions(name, limit):
    family, shape = FAMILIES[name], (limit + 1, 16, 16)
    pipe = make_pipe(family)
    match = f"positions for (at most|just) {limit} frames .* and the clip has {limit + 1}"
    with pytest.raises(VideoError, match=match):
        train(family, pipe, family.frames(shape=shape))
    with pytest.raises(VideoError, match=match):
        pipe(**family.arguments(family.frames(shape=shape)))


def test_clips_of_sizes_that_the_pipeline_cannot_take(family, pipe, model):
    before = snapshot(model)
    for shape in family.wrong_clips:
        with pytest.raises(VideoError, match=r"; use|; for instance"):
            train(family, pipe, family.frames(shape=shape))
    assert_unchanged(model, before)


def test_a_clip_of_another_size_than_the_pipeline_makes_is_refused():
    family = FAMILIES["Wan"]
    pipe = make_pipe(family)
    family.generate(pipe)
    before = snapshot(pipe.transformer)
    with pytest.raises(VideoError, match=r"gives its model 2 x 2 x 4 tokens .*, and the clip has 3 x 2 x 4"):
        train(family, pipe, call_arguments={"num_frames": 5})
    assert_unchanged(pipe.transformer, before)


def test_text_features_may_be_given_in_place_of_a_prompt():
    """As for text encoders that are not in memory; the prompt is recorded, and not encoded."""
    family = FAMILIES["Wan"]
    with_prompt = train(family, make_pipe(family))
    pipe = make_pipe(family)
    features, _ = pipe.encode_prompt("a red circle", do_classifier_free_guidance=False, **family.settings)
    pipe.text_encoder = None
    with_features = train(family, pipe, call_arguments={"prompt_embeds": features})
    assert with_features == pytest.approx(with_prompt, rel=1e-5)
    other = train(family, make_pipe(family), call_arguments={"prompt_embeds": features + 1})
    assert other != pytest.approx(with_prompt, rel=1e-5)


def test_text_features_would_stand_in_for_the_empty_prompt_of_the_negative():
    family = FAMILIES["Wan"]
    pipe = make_pipe(family)
    before = snapshot(pipe.transformer)
    features, _ = pipe.encode_prompt("a red circle", do_classifier_free_guidance=False, **family.settings)
    with pytest.raises(ValueError, match="Leave prompt_embeds out"):
        train(family, pipe, call_arguments={"prompt_embeds": features}, color_negative=True)
    assert_unchanged(pipe.transformer, before)
