"""All kinds of videos become the same array, and everything else is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffusers_motion_embed import VideoError
from diffusers_motion_embed.metrics import as_clip
from tests.metrics.videos import noise


CLIP = noise((3, 4, 5, 3))
CLIP[0, 0, 0] = (0, 128, 255)


@pytest.mark.parametrize(
    "video",
    [
        pytest.param(CLIP, id="uint8"),
        pytest.param(CLIP[::-1][::-1], id="a-view"),
        pytest.param(CLIP / 255, id="floats"),
        pytest.param((CLIP / 255).astype(np.float32), id="float32"),
        pytest.param(torch.from_numpy(CLIP).permute(0, 3, 1, 2) / 255, id="tensor"),
        pytest.param(torch.from_numpy(CLIP).permute(0, 3, 1, 2), id="tensor-uint8"),
        pytest.param(torch.from_numpy(CLIP), id="tensor-channels-last"),
        pytest.param(torch.from_numpy(CLIP) / 255, id="tensor-channels-last-floats"),
        pytest.param(CLIP.transpose(0, 3, 1, 2), id="array-channels-first"),
        pytest.param([Image.fromarray(frame) for frame in CLIP], id="pictures"),
        pytest.param(list(CLIP), id="arrays"),
        pytest.param(list(CLIP / 255), id="arrays-of-floats"),
    ],
)
def test_one_clip_of_many_kinds(video):
    clip = as_clip(video)
    assert clip.dtype == np.uint8
    assert np.array_equal(clip, CLIP)


def test_torch_can_take_a_reversed_video():
    assert torch.equal(torch.from_numpy(as_clip(CLIP[::-1])).flip(0), torch.from_numpy(CLIP))


def test_half_precision_loses_no_more_than_rounding():
    video = (torch.from_numpy(CLIP).permute(0, 3, 1, 2) / 255).to(torch.bfloat16)
    assert np.abs(as_clip(video).astype(int) - CLIP).max() <= 1


@pytest.mark.parametrize(
    ("video", "message"),
    [
        pytest.param(CLIP[0], "at least two frames", id="one-picture"),
        pytest.param(CLIP[:1], "at least two frames", id="one-frame"),
        pytest.param(CLIP[None], "at least two frames", id="several-videos"),
        pytest.param(CLIP[..., :2], "at least two frames", id="two-channels"),
        pytest.param(CLIP.astype(int), "got int64", id="integers"),
        pytest.param(CLIP.astype(float), "within 0 and 1, got 0 to 255", id="floats-to-255"),
        pytest.param(CLIP / 255 * 2 - 1, "within 0 and 1, got -1 to 1", id="floats-from-minus-1"),
        pytest.param(np.full(CLIP.shape, np.nan), "within 0 and 1, got nan to nan", id="nan"),
        pytest.param(torch.from_numpy(CLIP).long(), "got int64", id="tensor-of-integers"),
        pytest.param(
            torch.from_numpy(CLIP)[0], r"\(frames, 3, height, width\) .*got \(4, 5, 3\)", id="tensor-one-picture"
        ),
        pytest.param([Image.new("RGB", (4, 4)), Image.new("RGB", (4, 5))], "must have one size", id="sizes"),
        pytest.param([], "got list", id="empty"),
        pytest.param(3, "got int", id="no-video"),
        pytest.param("clip.mp4", "got str", id="a-path"),
    ],
)
def test_anything_else_is_refused(video, message):
    with pytest.raises(VideoError, match=message):
        as_clip(video)
