"""Every video model of diffusers is supported or named as unsupported, and every supported one has a specimen here."""

import dataclasses
import inspect
import re

import diffusers
import pytest

from diffusers_motion_embed.architectures import ARCHITECTURES, UNSUPPORTED, find_architecture
from tests.models.zoo import EVERY_KIND, ZOO, make_model
from tests.versions import found


SUPPORTED = [architecture.model_class for architecture in ARCHITECTURES]

# Models with a `transformer` or `unet` of this name in a pipeline that returns frames, and that make no frames.
OTHERS = {
    "UNet2DConditionModel",  # AnimateDiff's pipelines make a UNetMotionModel of it
    "LTXLatentUpsamplerModel",
    "LTX2LatentUpsamplerModel",
}


def video_denoisers():
    """Names of the model classes that diffusers' pipelines with frames in their output take as denoisers."""
    found = {}
    for name in dir(diffusers):
        pipeline = getattr(diffusers, name, None)
        if not (inspect.isclass(pipeline) and issubclass(pipeline, diffusers.DiffusionPipeline)):
            continue
        if not returns_frames(pipeline):
            continue
        for argument, parameter in inspect.signature(pipeline.__init__).parameters.items():
            if re.match(r"transformer|unet", argument):
                for model in re.findall(r"\w*(?:Transformer|UNet|Model)\w*", str(parameter.annotation)):
                    if inspect.isclass(getattr(diffusers, model, None)):
                        found.setdefault(model, set()).add(name)
    return found


def returns_frames(pipeline):
    module = inspect.getmodule(pipeline)
    outputs = [value for value in vars(module).values() if dataclasses.is_dataclass(value)]
    return any("frames" in {field.name for field in dataclasses.fields(output)} for output in outputs)


def test_every_video_model_of_diffusers_is_named():
    denoisers = video_denoisers()
    assert {"WanTransformer3DModel", "UNet3DConditionModel", "CogVideoXTransformer3DModel"} <= set(denoisers)
    assert len(denoisers) > 20
    unknown = {name: by for name, by in denoisers.items() if name not in {*SUPPORTED, *UNSUPPORTED, *OTHERS}}
    assert not unknown, "Give these an entry in architectures.ARCHITECTURES, or a reason in UNSUPPORTED."


@pytest.mark.parametrize("name", [*SUPPORTED, *UNSUPPORTED])
def test_every_name_of_the_table_is_a_class_of_diffusers(name):
    assert issubclass(found(f"diffusers.{name}", first="0.40"), diffusers.ModelMixin)


def test_no_class_is_both_supported_and_not():
    assert not set(SUPPORTED) & set(UNSUPPORTED)
    assert set(SUPPORTED) == set(EVERY_KIND)


@pytest.mark.parametrize("name", ZOO)
def test_the_table_finds_the_layers_that_mix_frames(name):
    model = make_model(name)
    architecture = find_architecture(model)
    assert architecture.model_class == name
    assert sorted(architecture.attention_paths(model)) == sorted(ZOO[name].layers)


@pytest.mark.parametrize("name", ZOO)
def test_the_timestep_is_where_the_table_says(name):
    architecture = next(entry for entry in ARCHITECTURES if entry.model_class == name)
    arguments = list(inspect.signature(getattr(diffusers, name).forward).parameters)[1:]
    assert arguments[architecture.timestep_position] == "timestep"
