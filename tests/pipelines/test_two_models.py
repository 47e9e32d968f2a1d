"""Wan 2.2's two models, for high and for low noise: each has an embedding of its own."""

import warnings

import pytest
import torch

import diffusers_motion_embed as dme
from diffusers_motion_embed import loaders
from diffusers_motion_embed.adapter.registry import embedding_tensors, registry_of
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.storage.files import read_embedding, to_state_dict
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from tests.helpers import assert_unchanged, make_config, snapshot
from tests.pipelines.conftest import FAMILIES, make_pipe


BOUNDARY = 0.875
SMALL = {"max_train_steps": 2, "train_batch_size": 8, "gradient_accumulation_steps": 1, "learning_rate": 0.01}
FAMILY = FAMILIES["Wan2.2"]
GRID = {"value_grid": (1, 1)}


@pytest.fixture
def pipe():
    return make_pipe(FAMILY)


def train(pipe, component=None, timing=None, **options):
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
        embedding_config=MotionEmbeddingConfig(component=component, timing=timing),
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
    assert len(timesteps[component]) == 8 + 16  # measuring units on the samples of the first step, two steps
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


@pytest.mark.parametrize("timing", [(0.0, 1.0), (0.1, 0.9)])
@pytest.mark.parametrize("component", ["transformer", "transformer_2"])
def test_a_given_timing_is_cut_to_the_levels_of_the_model(pipe, component, timing):
    train(pipe, component, timestep_sampling="uniform", timing=timing)
    low, high = (0.0, 1 - BOUNDARY) if component == "transformer" else (1 - BOUNDARY, 1.0)
    found = registry_of(getattr(pipe, component)).loaded["default"].config.timing
    assert found == pytest.approx((max(low, timing[0]), min(high, timing[1])), abs=0.0011)


def test_a_timing_of_the_other_model_alone_is_refused(pipe):
    with pytest.raises(ValueError, match=r"timing=.0.5, 1.0. has no noise level in common with .* transformer,"):
        train(pipe, "transformer", timing=(0.5, 1.0))
    assert pipe.get_list_motion_embeddings() == {}


@pytest.mark.parametrize("component", ["transformer", "transformer_2"])
def test_a_file_goes_to_the_model_that_it_names(pipe, component, tmp_path):
    plain = FAMILY.generate(pipe, num_inference_steps=4)
    train(pipe, component, timestep_sampling="uniform")
    trained = embedding_tensors(getattr(pipe, component), "default")
    moved = FAMILY.generate(pipe, num_inference_steps=4)
    assert not torch.equal(moved, plain)

    by_pipeline = pipe.save_motion_embedding(tmp_path / component)
    by_model = dme.save_motion_embedding(getattr(pipe, component), tmp_path / f"{component} by model")
    for folder in (by_pipeline, by_model):
        again = make_pipe(FAMILY)
        assert again.load_motion_embedding(folder, "again").component == component
        assert again.get_list_motion_embeddings() == {component: ["again"]}
    loaded = embedding_tensors(getattr(again, component), "again")
    assert all(torch.equal(tensor, trained[path][part]) for path in loaded for part, tensor in loaded[path].items())
    assert torch.equal(FAMILY.generate(again, num_inference_steps=4), moved)


LOADED_BY = {
    "file, by name": lambda pipe, file, tensors: pipe.load_motion_embedding(file, component="transformer_2"),
    "tensors, by name": lambda pipe, file, tensors: pipe.load_motion_embedding(tensors, component="transformer_2"),
    "file, on the model": lambda pipe, file, tensors: dme.load_motion_embedding(pipe.transformer_2, file),
    "tensors, on the model": lambda pipe, file, tensors: dme.load_motion_embedding(pipe.transformer_2, tensors),
}


@pytest.mark.parametrize("load", LOADED_BY.values(), ids=LOADED_BY)
def test_what_was_loaded_on_the_second_model_comes_back_to_it(pipe, embedding_folder, embedding_dict, tmp_path, load):
    file = embedding_folder(pipe.transformer, **GRID, component="transformer")
    assert load(pipe, file, embedding_dict(pipe.transformer, **GRID)).component == "transformer_2"
    assert list(pipe.get_list_motion_embeddings()) == ["transformer_2"]
    moved = FAMILY.generate(pipe, num_inference_steps=4)
    for name, holder in {"pipeline": pipe, "model": pipe.transformer_2}.items():
        again = make_pipe(FAMILY)
        report = again.load_motion_embedding(dme.save_motion_embedding(holder, tmp_path / name))
        assert report.component == "transformer_2"
        assert torch.equal(FAMILY.generate(again, num_inference_steps=4), moved)


def test_a_model_from_a_folder_knows_its_name(pipe, embedding_folder, tmp_path):
    pipe.transformer_2.save_pretrained(tmp_path / "base" / "transformer_2")
    model = type(pipe.transformer_2).from_pretrained(tmp_path / "base" / "transformer_2")
    assert dme.load_motion_embedding(model, embedding_folder(model, **GRID)).component == "transformer_2"


def test_a_file_for_a_model_that_is_not_there_says_where_it_went(embedding_folder):
    single = make_pipe(FAMILIES["Wan"])
    folder = embedding_folder(single.transformer, **GRID, component="transformer_2")
    with pytest.warns(UserWarning, match="made for transformer_2, which this WanPipeline .*put on transformer"):
        assert single.load_motion_embedding(folder).component == "transformer"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        single.load_motion_embedding(folder, component="transformer")
        dme.load_motion_embedding(single.transformer, folder)


def test_an_embedding_of_one_model_acts_on_both_at_the_levels_of_each(pipe, embedding_folder):
    """One of Wan 2.1 acts in the noisiest three tenths: in an eighth the first model sees, in the rest the second."""
    folder = embedding_folder(pipe.transformer, **GRID, component="transformer", timing=(0.0, 0.3))
    with pytest.warns(UserWarning, match=r"levels 0.70 to 1.00, and transformer .* sees only 0.88 to 1.00 of them"):
        pipe.load_motion_embedding(folder, "motion")
    steps = {"num_inference_steps": 12}
    first = FAMILY.generate(pipe, **steps)
    pipe.unload_motion_embedding()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pipe.load_motion_embedding(folder, "motion", component="transformer")
        assert torch.equal(FAMILY.generate(pipe, **steps), first)
        report = pipe.load_motion_embedding(folder, "both", component=["transformer", "transformer_2"])
        assert report.components == ("transformer", "transformer_2")
    pipe.set_motion_embeddings("both")
    both = FAMILY.generate(pipe, **steps)
    assert not torch.equal(both, first)

    # By hand: on each model alone, cut to what the model sees.
    pipe.unload_motion_embedding()
    for name, component, timing in (("a", "transformer", (0.0, 0.125)), ("b", "transformer_2", (0.125, 0.3))):
        pipe.load_motion_embedding(folder, name, component=component)
        pipe.set_motion_timing(*timing, name)
    assert torch.equal(FAMILY.generate(pipe, **steps), both)


def test_loading_on_both_is_all_or_nothing(pipe, embedding_folder):
    folder, both = embedding_folder(pipe.transformer, **GRID), ["transformer", "transformer_2"]
    pipe.load_motion_embedding(folder, "taken", component="transformer_2")
    with pytest.raises(dme.AdapterNameError, match="'taken' is loaded already"):
        pipe.load_motion_embedding(folder, "taken", component=both)
    with pytest.raises(dme.AdapterNameError, match="none is named 'taken' on transformer;"):
        pipe.load_motion_embedding(folder, "taken", component=both, hotswap=True)
    assert pipe.get_list_motion_embeddings() == {"transformer_2": ["taken"]}
    pipe.load_motion_embedding(folder, "swapped", component=both)
    other = embedding_folder(pipe.transformer, "other", seed=2, **GRID)
    pipe.load_motion_embedding(other, "swapped", component="transformer", hotswap=True)
    first, second = (embedding_tensors(getattr(pipe, component), "swapped") for component in both)
    assert not any(torch.equal(first[path]["qk"], second[path]["qk"]) for path in first)


@pytest.mark.parametrize("timing", [(0.0, 0.1), (0.2, 1.0)])
def test_an_embedding_on_both_models_may_act_on_one_of_them_alone(pipe, embedding_folder, timing):
    both = ["transformer", "transformer_2"]
    pipe.load_motion_embedding(embedding_folder(pipe.transformer, **GRID, timing=timing), "motion", component=both)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        FAMILY.generate(pipe, num_inference_steps=6)
    pipe.set_motion_timing(0.999, 1.0)
    with pytest.warns(UserWarning, match="'motion' acts at noise levels that this call did not reach") as caught:
        FAMILY.generate(pipe, num_inference_steps=6)
    assert len([each for each in caught if "did not reach" in str(each.message)]) == 1


@pytest.mark.parametrize("hotswap", [False, True])
def test_memory_that_runs_out_on_the_second_model_leaves_the_first_as_it_was(
    pipe, embedding_folder, monkeypatch, hotswap
):
    folder, both = embedding_folder(pipe.transformer, **GRID), ["transformer", "transformer_2"]
    pipe.load_motion_embedding(folder, "before", component=both)
    moved, fit = FAMILY.generate(pipe), loaders._fitted

    def fail(embedding, component, model):
        if component == "transformer_2":
            raise torch.OutOfMemoryError("no more")
        return fit(embedding, component, model)

    monkeypatch.setattr(loaders, "_fitted", fail)
    other = embedding_folder(pipe.transformer, "other", seed=2, **GRID)
    with pytest.raises(torch.OutOfMemoryError):
        pipe.load_motion_embedding(other, "before" if hotswap else "new", component=both, hotswap=hotswap)
    assert pipe.get_list_motion_embeddings() == {component: ["before"] for component in both}
    assert torch.equal(FAMILY.generate(pipe), moved)


def test_a_second_model_that_lost_layers_leaves_the_first_as_it_was(pipe, embedding_folder):
    first, second = (
        embedding_folder(pipe.transformer, f"{number}", target_modules=[f"blocks.{number}.attn1"], **GRID)
        for number in range(2)
    )
    pipe.load_motion_embedding(second, "on the lost block", component="transformer_2")
    pipe.transformer_2.blocks = pipe.transformer_2.blocks[:1]
    before = snapshot(pipe.transformer)
    with pytest.raises(dme.MissingLayersError, match=r"no longer has blocks\.1"):
        pipe.load_motion_embedding(first, "new", component=["transformer", "transformer_2"])
    assert pipe.get_list_motion_embeddings() == {"transformer_2": ["on the lost block"]}
    assert_unchanged(pipe.transformer, before)


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
    for seed, component in enumerate(("transformer", "transformer_2")):
        config = make_config(component=component, value_grid=(1, 1))
        tensors = embedding_dict(getattr(pipe, component), seed=seed, value_grid=(1, 1))
        pipe.load_motion_embedding(tensors, component, config=config)
        pipe.load_motion_embedding(tensors, "same", config=config)
    folder = pipe.save_motion_embedding(tmp_path / "second", "transformer_2")
    assert make_pipe(FAMILY).load_motion_embedding(folder).component == "transformer_2"
    with pytest.raises(dme.AdapterNameError, match=r"there are .'same', 'same'.; give its model"):
        pipe.save_motion_embedding(tmp_path / "same")
    folder = dme.save_motion_embedding(pipe.transformer_2, tmp_path / "same", "same")
    assert make_pipe(FAMILY).load_motion_embedding(folder).component == "transformer_2"


BOTH = ["transformer", "transformer_2"]


def dictionary(make_embedding, pipe, seed):
    embedding = make_embedding(pipe.transformer, seed=seed, **GRID)
    return {"pretrained_model_name_or_path_or_dict": to_state_dict(embedding), "config": embedding.config}


def test_hotswap_replaces_an_embedding_wherever_it_is(pipe, make_embedding):
    first, second = (dictionary(make_embedding, pipe, seed) for seed in (1, 2))
    pipe.load_motion_embedding(**second, adapter_name="a", component=BOTH)
    expected = FAMILY.generate(pipe)
    pipe.unload_motion_embedding()
    pipe.load_motion_embedding(**first, adapter_name="a", component=BOTH)
    assert pipe.load_motion_embedding(**second, adapter_name="a", hotswap=True).components == tuple(BOTH)
    assert torch.equal(FAMILY.generate(pipe), expected)


def test_copies_on_both_models_are_saved_as_one_and_different_ones_are_not(pipe, make_embedding, tmp_path):
    first, second = (dictionary(make_embedding, pipe, seed) for seed in (1, 2))
    pipe.load_motion_embedding(**first, adapter_name="a", component=BOTH)
    moved = FAMILY.generate(pipe)
    pipe.save_motion_embedding(tmp_path / "a", "a")
    pipe.unload_motion_embedding()
    pipe.load_motion_embedding(tmp_path / "a", "a", component=BOTH)
    assert torch.equal(FAMILY.generate(pipe), moved)
    pipe.load_motion_embedding(**second, adapter_name="a", component="transformer_2", hotswap=True)
    with pytest.raises(dme.AdapterNameError, match="give its model instead of the pipeline"):
        pipe.save_motion_embedding(tmp_path / "b", "a")


def test_copies_are_one_whatever_order_their_layers_were_made_in(pipe, make_embedding, tmp_path):
    copies = dictionary(make_embedding, pipe, 1)
    last = sorted(copies["config"].target_modules)[-1]
    other = make_embedding(pipe.transformer_2, target_modules=[last], **GRID)
    pipe.load_motion_embedding(to_state_dict(other), "other", config=other.config, component="transformer_2")
    pipe.load_motion_embedding(**copies, adapter_name="a", component=BOTH)
    assert read_embedding(pipe.save_motion_embedding(tmp_path / "a", "a")).num_layers == len(
        copies["config"].target_modules
    )


def test_the_next_embedding_becomes_active_on_all_models_that_have_it(pipe, make_embedding):
    first, second = (dictionary(make_embedding, pipe, seed) for seed in (1, 2))
    pipe.load_motion_embedding(**first, adapter_name="a", component=BOTH)
    expected = FAMILY.generate(pipe)
    pipe.load_motion_embedding(**second, adapter_name="b", component="transformer")
    pipe.set_motion_embeddings("b")
    pipe.delete_motion_embedding("b")
    assert torch.equal(FAMILY.generate(pipe), expected)
