"""Clips that a pipeline takes, and what its autoencoder makes of them."""

import numpy as np
import pytest
import torch
from diffusers import WanPipeline

from diffusers_motion_embed import VideoError
from diffusers_motion_embed.architectures.encoding import check_clip, encode_frames
from tests.pipelines.components import wan_vae
from tests.pipelines.wan import wan_parts


@pytest.mark.parametrize("frames", [3, 5, 6, 7, 8, 9, 13, 15])
def test_frames_that_a_vae_would_leave_out_are_refused(frames):
    """Wan's VAE takes frames by fours, also where it makes one latent frame of every two."""
    vae = wan_vae(temperal_downsample=[False, True], scale_factor_temporal=2)
    pipe = WanPipeline(**{**wan_parts(), "vae": vae})
    clip = np.zeros((frames, 16, 16, 3), np.uint8)
    if encode_frames(pipe, clip).shape[2] == 1 + (frames - 1) / 2:
        check_clip(pipe, clip, pipe.transformer)
    else:
        fitting = "5" if frames < 5 else "5 or 9" if frames < 9 else "9 or 13" if frames < 13 else "13 or 17"
        with pytest.raises(
            VideoError,
            match=rf"cannot take {frames} frames, .*it encodes 4 frames at a time; use {fitting}\.",
        ):
            check_clip(pipe, clip, pipe.transformer)
    changed = clip.copy()
    changed[-1] = 255
    alike = torch.equal(encode_frames(pipe, changed), encode_frames(pipe, clip))
    assert alike == (frames % 4 != 1)  # the last frame is left out
