"""What every pipeline gives its model survives a file."""

import torch

from diffusers_motion_embed.architectures.conditioning import capture_conditioning
from diffusers_motion_embed.training.features import read_features, write_features


def assert_same(first, second):
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        assert_same(list(first.values()), list(second.values()))
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second)
        for entries in zip(first, second, strict=True):
            assert_same(*entries)
    else:
        assert first == second


def test_what_a_pipeline_gives_its_model_survives_a_file(family, pipe, model, tmp_path):
    captured = capture_conditioning(pipe, family.component, family.frames(), "a red circle", family.settings)
    path = tmp_path / "features.safetensors"
    write_features(path, {"prompt": "a red circle"}, [captured])
    (found,) = read_features(path, {"prompt": "a red circle"}, model, torch.device("cpu"))
    assert_same(vars(captured), vars(found))
