"""Enabling a pipeline: the same object and the same class name, with more methods."""

import inspect
import json
import pickle

import pytest
import torch
from diffusers import AnimateDiffPipeline, DiffusionPipeline, TextToVideoSDPipeline, VideoToVideoSDPipeline

from diffusers_motion_embed import MissingLayersError, MotionEmbeddingLoaderMixin, enable_motion_embedding
from tests.conftest import make_animatediff, make_text_to_video
from tests.helpers import generate, module_names


def test_enabling_keeps_the_object_its_kind_and_its_output():
    pipe = make_text_to_video()
    plain = generate(pipe)
    assert enable_motion_embedding(pipe) is pipe
    assert isinstance(pipe, TextToVideoSDPipeline)
    assert isinstance(pipe, MotionEmbeddingLoaderMixin)
    assert torch.equal(generate(pipe), plain)


def test_enabling_twice_changes_nothing():
    pipe = enable_motion_embedding(make_text_to_video())
    kind = type(pipe)
    assert type(enable_motion_embedding(pipe)) is kind
    assert type(enable_motion_embedding(make_text_to_video())) is kind


def test_the_call_keeps_its_signature():
    plain = inspect.signature(make_text_to_video().__call__)
    assert inspect.signature(enable_motion_embedding(make_text_to_video()).__call__) == plain


def test_an_unknown_argument_is_refused_as_by_diffusers():
    pipe = make_text_to_video()
    for each in (pipe, enable_motion_embedding(make_text_to_video())):
        with pytest.raises(TypeError, match=r"__call__\(\) got an unexpected keyword argument 'foo'"):
            generate(each, foo=1)


def test_a_saved_pipeline_names_the_class_of_diffusers(text_to_video, embedding_folder, tmp_path):
    plain = generate(text_to_video)
    text_to_video.load_motion_embedding(embedding_folder(text_to_video.unet))
    text_to_video.save_pretrained(tmp_path / "pipeline")
    index = json.loads((tmp_path / "pipeline/model_index.json").read_text())
    assert index["_class_name"] == "TextToVideoSDPipeline"
    loaded = DiffusionPipeline.from_pretrained(tmp_path / "pipeline")
    loaded.set_progress_bar_config(disable=True)
    assert type(loaded) is TextToVideoSDPipeline
    assert torch.equal(generate(loaded), plain)


def test_an_enabled_pipeline_can_be_pickled(pipe, embedding_folder):
    pipe.load_motion_embedding(embedding_folder(pipe.unet))
    moved = generate(pipe)
    twin = pickle.loads(pickle.dumps(pipe))
    assert torch.equal(generate(twin), moved)
    twin.unload_motion_embedding()
    assert not torch.equal(generate(twin), moved)


def test_pipelines_that_share_a_model_share_its_motion(text_to_video, embedding_folder):
    text_to_video.load_motion_embedding(embedding_folder(text_to_video.unet), "motion")
    other = enable_motion_embedding(VideoToVideoSDPipeline.from_pipe(text_to_video))
    assert other.get_active_motion_embeddings() == ["motion"]
    other.unload_motion_embedding()
    assert text_to_video.get_list_motion_embeddings() == {}


def test_rebuilt_blocks_get_their_motion_back(animatediff, embedding_folder):
    # FreeNoise replaces every transformer block of the motion modules by one of its own, and back.
    pipe = animatediff
    plain = generate(pipe)
    pipe.load_motion_embedding(embedding_folder(pipe.unet))
    moved = generate(pipe)
    pipe.enable_free_noise(context_length=4, context_stride=2)
    with_free_noise = generate(pipe)
    pipe.disable_free_noise()
    assert torch.equal(generate(pipe), moved)
    pipe.unload_motion_embedding()
    assert torch.equal(generate(pipe), plain)
    pipe.enable_free_noise(context_length=4, context_stride=2)
    assert not torch.allclose(generate(pipe), with_free_noise, atol=1e-3)


def test_split_inference_of_free_noise_is_refused_and_unloading_still_works(animatediff, embedding_folder):
    # It wraps blocks, and cuts the rows that the embedding counts on.
    pipe = animatediff
    pipe.load_motion_embedding(embedding_folder(pipe.unet))
    pipe.enable_free_noise(context_length=4, context_stride=2)
    pipe.enable_free_noise_split_inference()
    with pytest.raises(MissingLayersError, match="enable_free_noise_split_inference"):
        generate(pipe)
    pipe.disable_motion_embedding_layers()
    switched_off = generate(pipe)
    with pytest.raises(MissingLayersError, match="enable_free_noise_split_inference"):
        pipe.enable_motion_embedding_layers()
    pipe.unload_motion_embedding()
    assert pipe.get_list_motion_embeddings() == {}
    assert not any("motion_embedding" in name for name in module_names(pipe.unet))
    assert torch.equal(generate(pipe), switched_off)


def test_an_animatediff_pipeline_stays_one():
    assert isinstance(enable_motion_embedding(make_animatediff()), AnimateDiffPipeline)
