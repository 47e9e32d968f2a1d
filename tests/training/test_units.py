"""What is learned does not depend on the size of a layer's inputs, and positions are learned in tokens."""

import numpy as np
import pytest
import torch

import diffusers_motion_embed as dme
from diffusers_motion_embed import MotionEmbeddingConfig, unload_motion_embedding
from diffusers_motion_embed.adapter.registry import embedding_tensors
from diffusers_motion_embed.training import RECIPES, TrainingConfig, default_recipe, train_motion_embedding
from diffusers_motion_embed.training.preparation import PACE, slow_path
from diffusers_motion_embed.training.recipes import settings_for
from tests.helpers import NUM_FRAMES
from tests.models.zoo import ZOO, make_model
from tests.pipelines.wan import wan
from tests.versions import is_older


def train(pipe, component, frames, embedding_config, callback=None, **options):
    """The trained tensors by layer and part."""
    options = {"max_train_steps": 3, "gradient_accumulation_steps": 1, **options}
    train_motion_embedding(
        pipe,
        frames,
        "a red circle",
        TrainingConfig(**options),
        embedding_config=embedding_config,
        adapter_name="trained",
        callback=callback,
        progress_bar=False,
    )
    model = getattr(pipe, component)
    tensors = embedding_tensors(model, "trained")
    unload_motion_embedding(model)
    return {(path, part): tensor for path, parts in tensors.items() for part, tensor in parts.items()}


def clip(num_frames=NUM_FRAMES, size=16):
    return np.random.default_rng(0).integers(0, 256, (num_frames, size, size, 3), dtype=np.uint8)


def test_positions_are_learned_in_tokens_and_do_not_decay():
    pipe, sizes = wan(), []
    config = MotionEmbeddingConfig(parts=("p",), position_grid=(2, 2))

    def note(progress):
        sizes.append(progress.logs()["p_size"])
        assert [group["weight_decay"] for group in progress.optimization.optimizer.param_groups] == [0.0]

    # One step of Adam is as long as the rate, whatever the gradient.
    options = {"p_learning_rate": 0.25, "max_train_steps": 1, "lr_scheduler": "constant", "weight_decay": 0.9}
    learned = train(pipe, "transformer", clip(5, 32), config, note, **options)
    assert list(learned) == [("rope", "p")]
    assert learned["rope", "p"].shape == (2, 2, 2, 3)
    learned, times = learned["rope", "p"].split([2, 1], dim=-1)
    expected = 0.25 / 4  # pictures of 32 pixels have 4 tokens along each side
    # Gradients as small as those of the random models of transformers 4 shorten Adam's step.
    atol = 2e-4 if is_older("transformers", "5.0") else 1e-4
    torch.testing.assert_close(learned.abs(), torch.full((2, 2, 2, 2), expected), atol=atol, rtol=0)
    steps = times - torch.tensor([0.25, -0.25])[:, None]  # from half the pace, about the middle of two frames
    torch.testing.assert_close(steps.abs(), torch.full((2, 2, 2, 1), 0.25 * 0.3), atol=4e-4, rtol=0)
    assert sizes == [pytest.approx(torch.cat([learned, times], -1).square().mean().sqrt().item(), rel=1e-5)]


def test_all_parts_learn_together():
    config = MotionEmbeddingConfig(parts=("qk", "v", "p"))
    learned = train(wan(), "transformer", clip(5, 32), config)
    assert {part for _, part in learned} == {"qk", "v", "p"}
    assert all(tensor.any() and not tensor.requires_grad for tensor in learned.values())


def test_a_path_that_is_not_learned_stays_where_it_begins():
    config = MotionEmbeddingConfig(parts=("qk", "v", "p"))
    options = {"p_learning_rate": 0.0, "max_grad_norm": 1.0}
    learned = train(wan(), "transformer", clip(5, 32), config, **options)
    for (_, part), tensor in learned.items():
        if part == "p":
            torch.testing.assert_close(tensor, slow_path(tensor.shape, PACE), rtol=0, atol=0)
        else:
            assert tensor.any()


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        ({"parts": ("p",)}, "Nothing would be learned: p is the only part"),
        ({"parts": ("qk", "p"), "position_grid": (2, 2)}, r"position_grid=\(2, 2\) would move nothing"),
    ],
)
def test_a_path_that_is_not_learned_has_company_and_one_path(embedding, message):
    with pytest.raises(ValueError, match=message):
        train(wan(), "transformer", clip(5, 32), MotionEmbeddingConfig(**embedding), p_learning_rate=0.0)


def test_every_class_of_models_has_a_recipe_and_learns_by_it_without_options():
    rotary = {name for name, specimen in ZOO.items() if not specimen.rows}
    assert {name for name in ZOO if default_recipe(make_model(name)) == "rotary"} == rotary
    assert {default_recipe(make_model(name)) for name in ZOO} == {"default", "rotary"}
    assert {default_recipe(make_model(name), "camera") for name in rotary} == {"tracked_camera"}
    assert {default_recipe(make_model(name), "camera") for name in set(ZOO) - rotary} == {"camera"}
    without = make_model("CogVideoXTransformer3DModel", use_rotary_positional_embeddings=False)
    assert (default_recipe(without), default_recipe(without, "camera")) == ("full_attention", "camera")
    with pytest.raises(ValueError, match="motion must be one of object, camera"):
        default_recipe(without, "zoom")

    class EnoughError(Exception):
        pass

    def stop(progress):
        raised.append((progress.optimization.config, progress.config.parts, progress.config.value_grid))
        raise EnoughError

    pipe, raised = wan(), []
    with pytest.raises(EnoughError):
        train_motion_embedding(pipe, clip(5, 32), "a red circle", callback=stop, progress_bar=False)
    assert raised == [(TrainingConfig(**RECIPES["rotary"].training), ("qk", "v", "p"), (3, 3))]


def test_what_differs_from_a_recipe_leaves_the_rest_of_it(animatediff):
    pipe, own = wan(), RECIPES["rotary"]
    training, embedding = settings_for(pipe.transformer, {"max_train_steps": 7}, {"timing": (0.0, 0.3)})
    assert training == TrainingConfig(**{**own.training, "max_train_steps": 7})
    assert (embedding.parts, embedding.timing) == (("qk", "v", "p"), (0.0, 0.3))
    training, embedding = settings_for(pipe.transformer, {"learning_rate": 0.1}, None, "camera")
    assert training == TrainingConfig(**{**RECIPES["tracked_camera"].training, "learning_rate": 0.1})
    assert embedding == MotionEmbeddingConfig(**RECIPES["tracked_camera"].embedding)
    training, embedding = settings_for(pipe.transformer, None, {"parts": ("p",)}, "camera")
    assert (training.center_qk, embedding.parts, embedding.position_grid) == (False, ("p",), (4, 4))
    own = settings_for(animatediff.unet, {}, {})
    assert own == settings_for(animatediff.unet, None, None)


@pytest.mark.parametrize("changed", [{"parts": ("qk",)}, {"position_grid": (1, 1)}])
def test_a_camera_needs_a_grid_on_which_it_can_move(changed):
    with pytest.raises(ValueError, match='motion="camera" moves places on a grid'):
        settings_for(wan().transformer, None, changed, "camera")


@pytest.mark.parametrize(
    ("config", "embedding", "error", "message"),
    [
        ({"steps": 7}, None, TypeError, "steps"),
        (None, {"grid": (1, 1)}, TypeError, "grid"),
        ({"v_learning_rate": 0.1}, {"parts": ("qk",)}, ValueError, "There is no part 'v' to which v_learning_rate"),
        (None, {"parts": ("qk",), "position_grid": (2, 2)}, ValueError, "There is no part 'p' to which position_grid"),
        (None, {"component": "unet"}, dme.UnsupportedModelError, "unet"),
    ],
)
def test_what_does_not_fit_a_recipe_is_refused(config, embedding, error, message):
    pipe = wan()
    with pytest.raises(error, match=message):
        train_motion_embedding(pipe, clip(5, 32), "a ring", config, embedding_config=embedding, progress_bar=False)


def test_a_recipe_without_one_of_its_parts_is_without_the_parts_rate(animatediff):
    whole, _ = settings_for(animatediff.unet, None, None)
    assert whole.v_learning_rate == RECIPES["default"].training["v_learning_rate"]
    rest, embedding = settings_for(animatediff.unet, None, MotionEmbeddingConfig(parts=("qk",)))
    assert (rest.v_learning_rate, embedding.parts) == (None, ("qk",))
