"""Training on every family of pipelines, and what becomes of the pipeline."""

import numpy as np
import pytest
import torch
from torch import nn

from diffusers_motion_embed import VideoError
from diffusers_motion_embed.adapter.registry import embedding_tensors
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from tests.helpers import assert_unchanged, snapshot
from tests.pipelines.conftest import FAMILIES, make_pipe


SMALL = {"max_train_steps": 3, "gradient_accumulation_steps": 1, "learning_rate": 0.01}


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

    folder = pipe.save_motion_embedding(tmp_path / "embedding")
    pipe.unload_motion_embedding()
    assert_unchanged(model, before)
    assert all(torch.equal(tensor, all_weights[name]) for name, tensor in weights(pipe).items())
    assert torch.equal(family.generate(pipe), plain)
    pipe.load_motion_embedding(folder)
    assert torch.equal(family.generate(pipe), moved)
    pipe.set_motion_scale(0.0)
    assert torch.equal(family.generate(pipe), plain)


def test_two_clips_in_one_pass_are_as_one_by_one(family, pipe):
    frames = [family.frames(seed) for seed in (0, 1)]
    prompts = ["a red circle", "a blue square on black"]
    together = train(family, pipe, frames, prompts, max_train_steps=1, train_batch_size=2)
    pipe.unload_motion_embedding()
    apart = train(family, pipe, frames, prompts, max_train_steps=1, gradient_accumulation_steps=2)
    assert together == pytest.approx(apart, rel=1e-4)


def test_a_clip_and_its_color_negative_in_one_pass_are_as_one_by_one(family, pipe):
    # The negative has an empty prompt, of which a text encoder may make fewer tokens.
    together = train(family, pipe, color_negative=True, max_train_steps=1, train_batch_size=2)
    pipe.unload_motion_embedding()
    apart = train(family, pipe, color_negative=True, max_train_steps=1, gradient_accumulation_steps=2)
    assert together == pytest.approx(apart, rel=1e-4)
    pipe.unload_motion_embedding()
    alone = train(family, pipe, max_train_steps=1, gradient_accumulation_steps=2)
    assert together != pytest.approx(alone, rel=1e-4)


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
