"""Every supported model class runs without numbers, on inputs made up from its settings."""

import diffusers
import pytest
import torch
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode

from diffusers_motion_embed.estimate.inputs import Subject, conditioning_of
from diffusers_motion_embed.estimate.weightless import cast_weights
from tests.models.zoo import ZOO


@pytest.mark.parametrize("name", ZOO)
def test_a_model_without_numbers_takes_what_is_made_up_for_it(name):
    with FakeTensorMode(allow_non_fake_inputs=True):
        model = cast_weights(getattr(diffusers, name)(**ZOO[name].settings), torch.bfloat16)
    subject = Subject(model, (4, 4, 8), 3)
    if name == "HunyuanVideo15Transformer3DModel":  # picks text tokens by a mask that it computes
        with pytest.raises((DynamicOutputShapeException, TypeError)):
            model(**conditioning_of(subject).inputs(torch.zeros(1, 4, *subject.shape), torch.ones(1)))
        return
    latents = torch.zeros(1, 4, *subject.shape, dtype=model.dtype)
    conditioning = conditioning_of(subject)
    with torch.no_grad():
        output = model(**conditioning.inputs(latents, torch.ones(1)))
    assert conditioning.prediction(output, latents).shape == latents.shape
