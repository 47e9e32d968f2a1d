"""Modular pipelines: enabled before they have models, and trained as ordinary pipelines with the same models."""

import functools

import pytest
import torch
from diffusers import (
    AdaptiveProjectedGuidance,
    ClassifierFreeGuidance,
    ClassifierFreeZeroStarGuidance,
    ModularPipeline,
    SmoothedEnergyGuidance,
    TangentialClassifierFreeGuidance,
)

import diffusers_motion_embed as dme
from tests.pipelines.conftest import FAMILIES, make_pipe
from tests.pipelines.test_training import train
from tests.versions import found, since


def loaded_later(name, parts):
    kind = name.lower()
    blocks = found(f"diffusers.modular_pipelines.{kind}.modular_blocks_{kind}.{name}Blocks", first="0.39")
    pipe = dme.enable_motion_embedding(blocks().init_pipeline())
    pipe.update_components(**{name: part for name, part in parts.items() if name in pipe.component_names})
    return pipe


def generate(pipe, family, **arguments):
    frames = family.frames()
    sizes = {"num_frames": len(frames), "height": frames.shape[1], "width": frames.shape[2]}
    settings = {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(0), "output_type": "pt"}
    return pipe(prompt="a red circle", output="videos", **sizes, **settings, **family.settings, **arguments)


@pytest.mark.parametrize("name", ["Wan", "LTX"])
def test_training_and_noise_are_those_of_the_ordinary_pipeline(name, capfd):
    family, ordinary = FAMILIES[name], make_pipe(FAMILIES[name])
    expected = train(family, ordinary)
    ordinary.unload_motion_embedding()
    pipe = loaded_later(name, ordinary.components)
    plain = generate(pipe, family)
    capfd.readouterr()
    assert train(family, pipe) == pytest.approx(expected, rel=1e-5)
    assert "0/2" not in capfd.readouterr().err  # no progress bars of calls that are stopped
    assert not torch.equal(generate(pipe, family), plain)
    arguments = {"num_inference_steps": 2, "call_arguments": family.settings, "progress_bar": False}
    noise = dme.invert_clip(pipe, family.frames(), **arguments)
    torch.testing.assert_close(noise, dme.invert_clip(ordinary, family.frames(), **arguments))
    given = [generate(pipe, family, latents=dme.pipeline_latents(pipe, each)) for each in (noise, noise + 1)]
    assert not torch.equal(*given)


@pytest.mark.parametrize(
    "guider",
    [
        ClassifierFreeGuidance,
        AdaptiveProjectedGuidance,
        ClassifierFreeZeroStarGuidance,
        TangentialClassifierFreeGuidance,
        functools.partial(SmoothedEnergyGuidance, seg_guidance_layers=[1]),
    ],
    ids=["cfg", "apg", "cfg-zero", "tangential", "seg"],
)
def test_guiders_keep_the_motion(guider, embedding_dict):
    family, ordinary = FAMILIES["Wan"], make_pipe(FAMILIES["Wan"])
    pipe = loaded_later("Wan", ordinary.components)
    pipe.update_components(guider=guider())
    motion = embedding_dict(pipe.transformer, value_grid=(1, 1))
    plain = generate(pipe, family)
    pipe.load_motion_embedding(motion)
    moved = generate(pipe, family)
    assert (moved - plain).abs().max() > 1e-2
    fresh = loaded_later("Wan", make_pipe(FAMILIES["Wan"]).components)
    fresh.load_motion_embedding(motion)  # before the guider
    fresh.update_components(guider=guider())
    assert torch.equal(generate(fresh, family), moved)
    pipe.set_motion_scale(0.0)
    assert torch.equal(generate(pipe, family), plain)


@since("diffusers", "0.39", "makes no modular pipeline of the folder of an ordinary one")
def test_a_saved_pipeline_gets_its_models_after_it_was_enabled(tmp_path):
    family, ordinary = FAMILIES["Wan"], make_pipe(FAMILIES["Wan"])
    ordinary.save_pretrained(tmp_path)
    pipe = dme.enable_motion_embedding(ModularPipeline.from_pretrained(str(tmp_path)))
    with pytest.raises(dme.UnsupportedModelError, match=r"no model that takes.*load_components"):
        pipe.get_list_motion_embeddings()
    pipe.load_components(torch_dtype=torch.float32)
    losses = train(family, pipe)
    assert losses == pytest.approx(train(family, ordinary), rel=1e-5)
    assert pipe.get_list_motion_embeddings() == {"transformer": ["trained"]}
