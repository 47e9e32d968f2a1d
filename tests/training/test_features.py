"""Kept features: a run without text encoders, and files that do not fit."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed.training import FeaturesError, TrainingConfig, train_motion_embedding
from diffusers_motion_embed.training.features import VALUES_KEY
from tests.conftest import make_text_to_video
from tests.helpers import NUM_FRAMES, generate, make_config


FRAMES = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, 16, 16, 3), dtype=np.uint8)


def train(pipe, features, prompt="a red circle", **options):
    config = TrainingConfig(**{"max_train_steps": 1, "gradient_accumulation_steps": 1, **options})
    arguments = {"embedding_config": make_config(), "progress_bar": False}
    train_motion_embedding(pipe, FRAMES, prompt, config, features=features, **arguments)


@pytest.mark.parametrize("loss", ["base", "debiased_hybrid"])
def test_a_pipeline_without_text_encoder_learns_the_same_from_kept_features(loss, tmp_path):
    path, learned = tmp_path / "new/features.safetensors", []
    for number in range(2):
        pipe = enable_motion_embedding(make_text_to_video())
        encoder = pipe.text_encoder
        if number:
            pipe.text_encoder = None
        train(pipe, path, loss=loss)
        pipe.text_encoder = encoder
        learned.append(generate(pipe))
    assert torch.equal(*learned)


def test_features_that_do_not_fit_are_refused(text_to_video, tmp_path):
    path = tmp_path / "features.safetensors"
    train(text_to_video, path)
    text_to_video.unload_motion_embedding()
    before = path.read_bytes()
    with pytest.raises(FeaturesError, match=r"prompts \['a red circle'\] there, \['a blue square'\] here"):
        train(text_to_video, path, "a blue square")
    with pytest.raises(FeaturesError, match="single_frames False there, True here"):
        train(text_to_video, path, loss="debiased_hybrid")
    assert path.read_bytes() == before
    path.write_bytes(before[:100])
    with pytest.raises(FeaturesError, match="holds no features"):
        train(text_to_video, path)
    for stored in ("[]", "{}", '{"source": {}, "values": [{}]}', '{"source": {}, "values": [5]}', "no JSON"):
        save_file({}, path, metadata={VALUES_KEY: stored})
        with pytest.raises(FeaturesError, match="holds no features"):
            train(text_to_video, path)
    assert text_to_video.get_list_motion_embeddings() in ({}, [])
