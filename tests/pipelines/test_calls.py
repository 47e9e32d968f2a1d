"""Calls in which the model sees something else than the clip: other frames before it, or a part of it."""

from dataclasses import replace

import diffusers
import pytest
import torch
from PIL import Image

from diffusers_motion_embed import UnsupportedModelError
from diffusers_motion_embed.storage.files import to_state_dict
from tests.pipelines import ltx
from tests.pipelines.conftest import FAMILIES, make_pipe
from tests.versions import found


PICTURE = Image.new("RGB", (32, 16), "red")
SWITCHED_OFF = {
    "disabled": lambda pipe: pipe.disable_motion_embedding_layers(),
    "scale 0": lambda pipe: pipe.set_motion_scale(0.0),
    "inactive": lambda pipe: pipe.set_motion_embeddings([]),
}


def load(pipe, make_embedding, **settings):
    embedding = make_embedding(pipe.transformer, value_grid=(1, 1), **settings)
    pipe.load_motion_embedding(to_state_dict(embedding), "motion", config=embedding.config)
    return embedding


def vace(pipe):
    return FAMILIES["WanVACE"].generate(pipe, reference_images=[PICTURE])


def long_ltx(pipe):
    return FAMILIES["LTX"].generate(
        pipe,
        num_frames=17,
        height=32,
        width=64,
        temporal_tile_size=16,
        temporal_overlap=8,
        adain_factor=0.0,
    )


def make_long_ltx():
    pipe = ltx._ltx(found("diffusers.LTXI2VLongMultiPromptPipeline", first="0.37"))
    pipe.scheduler = diffusers.LTXEulerAncestralRFScheduler()
    return pipe


# How to make a pipeline and to call it in a way in which a motion cannot act, and the error that says so.
REFUSED = {
    "pictures before the clip": (FAMILIES["WanVACE"].make, vace, ValueError, "reference_images as frames before"),
    "a size of one token": (make_long_ltx, long_ltx, UnsupportedModelError, "does not tell its model num_frames"),
}


@pytest.mark.parametrize("switched_off", SWITCHED_OFF)
@pytest.mark.parametrize("case", REFUSED)
def test_a_motion_that_cannot_act_is_refused_and_one_that_is_off_changes_nothing(case, switched_off, make_embedding):
    make, call, error, message = REFUSED[case]
    pipe = make_pipe(replace(FAMILIES["LTX"], make=make))
    plain = call(pipe)
    load(pipe, make_embedding, parts=("qk", "v", "p"))
    for _ in range(2):
        with pytest.raises(error, match=message):
            call(pipe)
    SWITCHED_OFF[switched_off](pipe)
    assert torch.equal(call(pipe), plain)
    pipe.unload_motion_embedding()
    assert torch.equal(call(pipe), plain)


def make_long_sky_reels():
    pipe = FAMILIES["SkyReelsV2"].make()
    scheduler = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=8.0
    )
    return diffusers.SkyReelsV2DiffusionForcingPipeline(**{**pipe.components, "scheduler": scheduler})


def test_windows_that_a_pipeline_makes_are_told(make_embedding):
    family = FAMILIES["SkyReelsV2"]
    pipe = make_pipe(replace(family, make=make_long_sky_reels))
    settings = {"num_frames": 25, "base_num_frames": 13, "overlap_history": 5, "addnoise_condition": 20}
    load(pipe, make_embedding)
    with pytest.warns(UserWarning, match="makes 25 frames in windows of 13, and the motion begins anew in each"):
        family.generate(pipe, **settings)
    moving = torch.ones(25, 4, 4)
    moving[2:] = 0.0
    pipe.set_motion_region(moving)
    with pytest.raises(ValueError, match="'motion' acts in a region that moves"):
        family.generate(pipe, **settings)


def test_no_window_is_told_of_a_clip_that_is_made_at_once(make_embedding, recwarn):
    family = FAMILIES["SkyReelsV2"]
    pipe = make_pipe(replace(family, make=make_long_sky_reels))
    load(pipe, make_embedding)
    family.generate(pipe, num_frames=13)
    assert not [warning for warning in recwarn if "windows" in str(warning.message)]
