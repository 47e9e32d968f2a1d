"""Wan 2.2's two models, for high and for low noise: each has an embedding of its own."""

import pytest
import torch

import diffusers_motion_embed as dme
from diffusers_motion_embed.adapter.registry import embedding_tensors, registry_of
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from tests.helpers import assert_unchanged, make_config, snapshot
from tests.pipelines.conftest import FAMILIES, make_pipe


BOUNDARY = 0.875
SMALL = {"max_train_steps": 2, "train_batch_size": 8, "gradient_accumulation_steps": 1, "learning_rate": 0.01}
FAMILY = FAMILIES["Wan2.2"]


@pytest.fixture
def pipe():
    return make_pipe(FAMILY)


def train(pipe, component=None, **options):
    """Train two steps and return the timesteps at which the models were called."""
    timesteps = {"transformer": [], "transformer_2": []}
    handles = [
        getattr(pipe, name).register_forward_hook(
            lambda module, args, kwargs, output, name=name: timesteps[name].extend(kwargs["timestep"].tolist()),
            with_kwargs=True,
        )
        for name in timesteps
    ]
    report = train_motion_embedding(
        pipe,
        FAMILY.frames(),
        "a red circle",
        TrainingConfig(**{**SMALL, **options}),
        embedding_config=MotionEmbeddingConfig(component=component),
        call_arguments=FAMILY.settings,
        progress_bar=False,
    )
    for handle in handles:
        handle.remove()
    return report, timesteps


@pytest.mark.parametrize(
    ("component", "other", "low", "high"),
    [("transformer", "transformer_2", BOUNDARY, 1.0), ("transformer_2", "transformer", 0.7, BOUNDARY)],
)
def test_one_model_is_trained_at_its_own_noise_levels(pipe, component, other, low, high):
    FAMILY.generate(pipe)  # a first call leaves something of diffusers on its models
    before = snapshot(getattr(pipe, other))
    report, timesteps = train(pipe, None if component == "transformer" else component)
    assert report.component == component
    assert_unchanged(getattr(pipe, other), before)
    assert len(timesteps[component]) == 16
    assert timesteps[other] == []
    assert all(1000 * low <= timestep <= 1000 * high for timestep in timesteps[component])
    timing = registry_of(getattr(pipe, component)).loaded["default"].timing
    assert (timing.start, timing.end) == pytest.approx((1 - high, 1 - low + 0.001))


@pytest.mark.parametrize(("component", "sampling"), [("transformer", (0.2, 0.8)), ("transformer_2", (0.9, 1.0))])
def test_noise_levels_of_the_other_model_alone_are_refused(pipe, component, sampling):
    before = snapshot(getattr(pipe, component))
    with pytest.raises(ValueError, match=f"no noise level in common with the pipeline's {component}"):
        train(pipe, component, timestep_sampling=sampling)
    assert_unchanged(getattr(pipe, component), before)


@pytest.mark.parametrize("component", ["transformer", "transformer_2"])
def test_a_file_goes_to_the_model_that_it_names(pipe, component, tmp_path):
    plain = FAMILY.generate(pipe, num_inference_steps=4)
    train(pipe, component, timestep_sampling="uniform")
    trained = embedding_tensors(getattr(pipe, component), "default")
    moved = FAMILY.generate(pipe, num_inference_steps=4)
    assert not torch.equal(moved, plain)

    folder = pipe.save_motion_embedding(tmp_path / component)
    again = make_pipe(FAMILY)
    assert again.load_motion_embedding(folder, "again").component == component
    assert again.get_list_motion_embeddings() == {component: ["again"]}
    loaded = embedding_tensors(getattr(again, component), "again")
    assert all(torch.equal(tensor, trained[path][part]) for path in loaded for part, tensor in loaded[path].items())
    assert torch.equal(FAMILY.generate(again, num_inference_steps=4), moved)


def test_calls_reach_both_models(pipe, embedding_dict):
    clips = {}
    for component in ("transformer", "transformer_2"):
        model, name = getattr(pipe, component), f"of {component}"
        config = make_config(component=component, value_grid=(1, 1))
        pipe.load_motion_embedding(embedding_dict(model, seed=len(clips), value_grid=(1, 1)), name, config=config)
        clips[component] = FAMILY.generate(pipe, num_inference_steps=4)
    both, names = clips["transformer_2"], ["of transformer", "of transformer_2"]
    assert pipe.get_list_motion_embeddings() == {"transformer": names[:1], "transformer_2": names[1:]}
    assert pipe.get_active_motion_embeddings() == names
    assert not torch.equal(both, clips["transformer"])

    def loaded():
        return [only for component in clips for only in registry_of(getattr(pipe, component)).loaded.values()]

    pipe.set_motion_embeddings("of transformer")
    assert torch.equal(FAMILY.generate(pipe, num_inference_steps=4), clips["transformer"])
    pipe.set_motion_embeddings(names, [1.0, 0.5])
    assert [each.scale for each in loaded()] == [1.0, 0.5]
    pipe.set_motion_scale(2.0, "of transformer_2")
    assert [each.scale for each in loaded()] == [1.0, 2.0]
    with pytest.raises(dme.AdapterNameError, match=r"no such.*loaded: .'of transformer', 'of transformer_2'"):
        pipe.set_motion_scale(0.0, "no such")
    with pytest.raises(dme.MotionScaleError):
        pipe.set_motion_embeddings(names[1:], float("nan"))
    assert pipe.get_active_motion_embeddings() == names
    pipe.set_motion_scale(1.0)
    assert torch.equal(FAMILY.generate(pipe, num_inference_steps=4), both)

    pipe.set_motion_timing(0.0, 0.5)
    pipe.set_motion_debias("free_placement")
    pipe.set_motion_frame_policy("hold")
    settings = [(each.config.timing, each.config.debias, each.config.frame_policy) for each in loaded()]
    assert settings == [((0.0, 0.5), "free_placement", "hold")] * 2


def test_saving_finds_the_model_by_the_name(pipe, embedding_dict, tmp_path):
    for component in ("transformer", "transformer_2"):
        config = make_config(component=component, value_grid=(1, 1))
        pipe.load_motion_embedding(
            embedding_dict(getattr(pipe, component), value_grid=(1, 1)), component, config=config
        )
        pipe.load_motion_embedding(embedding_dict(getattr(pipe, component), value_grid=(1, 1)), "same", config=config)
    folder = pipe.save_motion_embedding(tmp_path / "second", "transformer_2")
    assert make_pipe(FAMILY).load_motion_embedding(folder).component == "transformer_2"
    with pytest.raises(dme.AdapterNameError, match=r"there are .'same', 'same'.; give its model"):
        pipe.save_motion_embedding(tmp_path / "same")
    folder = dme.save_motion_embedding(pipe.transformer_2, tmp_path / "same", "same")
    assert make_pipe(FAMILY).load_motion_embedding(folder).component == "transformer_2"
