"""Clips in every form that people have them in become the same array."""

import numpy as np
import pytest
import torch
from diffusers.utils import load_video
from PIL import Image

from diffusers_motion_embed import VideoError, VideoNotFoundError, read_reference, read_video
from diffusers_motion_embed.frames import as_clips, as_frames


CLIP = np.random.default_rng(0).integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
CLIP[0, 0, 0], CLIP[-1, -1, -1] = 0, 255
PICTURES = [Image.fromarray(picture) for picture in CLIP]
FLOATS = CLIP.astype(np.float32) / 255

FORMS = {
    "array": CLIP,
    "array of channels first": CLIP.transpose(0, 3, 1, 2),
    "tensor": torch.from_numpy(CLIP),
    "floats from 0 to 1": FLOATS,
    "float64": FLOATS.astype(np.float64),
    "floats from -1 to 1": torch.from_numpy(FLOATS * 2 - 1).permute(0, 3, 1, 2),
    "PIL images": PICTURES,
    "a tuple of images with transparency": tuple(picture.convert("RGBA") for picture in PICTURES),
    "list of arrays": list(CLIP),
    "list of tensors": list(torch.from_numpy(FLOATS).permute(0, 3, 1, 2)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_clip(form):
    frames = as_frames(FORMS[form])
    assert (frames.dtype, frames.flags.c_contiguous) == (np.uint8, True)
    assert np.array_equal(frames, CLIP)
    assert [len(each) for each in as_clips(FORMS[form])] == [4]
    assert all(np.array_equal(each, CLIP) for each in as_clips([FORMS[form], FORMS["PIL images"]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_well_as_it_says(dtype):
    frames = as_frames(torch.from_numpy(FLOATS).to(dtype))
    assert np.abs(frames.astype(int) - CLIP).max() <= 1


def test_a_path_is_all_of_its_frames(tmp_path):
    for number, picture in enumerate(PICTURES):
        picture.save(tmp_path / f"{number}.png")
    assert np.array_equal(as_frames(tmp_path), CLIP)
    assert [len(each) for each in as_clips([str(tmp_path), tmp_path])] == [4, 4]
    video = "examples/assets/figure_eight.mp4"
    whole = as_frames(video)
    assert np.array_equal(whole, as_frames(load_video(video)))
    assert np.array_equal(whole[:5], read_video(video, np.int64(5)))
    with pytest.raises(VideoNotFoundError, match="nowhere"):
        as_frames("nowhere.mp4")


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        pytest.param(FLOATS * 255, "floats from 0 to 255, which is neither", id="0-to-255"),
        pytest.param(FLOATS - 0.1, "floats from -0.1 to 0.9, which is neither", id="a-little-below-0"),
        pytest.param(FLOATS * np.nan, "floats from nan to nan", id="nan"),
        pytest.param(CLIP.astype(np.int64), "got int64", id="int64"),
        pytest.param(CLIP[None], r"got uint8 \(1, 4, 6, 8, 3\)\.", id="batch"),
        pytest.param(CLIP[..., :2], r"got uint8 \(4, 6, 8, 2\)", id="two-channels"),
        pytest.param([CLIP[0], CLIP[0, :3]], "of one size and dtype", id="sizes"),
        pytest.param([], "got list without pictures", id="empty"),
        pytest.param([*PICTURES, "a.png"], "got str among the pictures", id="mixed"),
        pytest.param(7, "got int", id="number"),
        pytest.param(CLIP[:0], r"at least one frame, got uint8 \(0, 6, 8, 3\)", id="no-frames"),
        pytest.param(FLOATS[:, :0], r"at least one frame, got float32 \(4, 0, 8, 3\)", id="no-rows"),
    ],
)
def test_what_is_no_clip_or_may_be_two_is_refused(clip, message):
    for read in (as_frames, as_clips):
        with pytest.raises(VideoError, match=message):
            read(clip)


def test_floats_that_may_be_of_either_range_are_warned_of():
    with pytest.warns(UserWarning, match=r"floats from 0\.5 to 1 and are read as 0 to 1.*give frames / 2 \+ 0\.5"):
        frames = as_frames(FLOATS / 2 + 0.5)
    assert frames.min() == 128


def test_what_read_reference_returns_is_a_clip():
    reference = read_reference("examples/assets/arc.mp4", 4)
    assert as_frames(reference) is reference.frames
