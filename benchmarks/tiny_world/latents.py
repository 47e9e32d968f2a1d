"""The latent space of the tiny world, which is chosen rather than learned: a latent is a thumbnail of the frame.

A denoiser this small learns to draw shapes in thumbnails within an hour on two cores; in latents that an autoencoder
found by itself it learns blobs.
"""

import torch
import torch.nn.functional as F


THUMBNAIL_SIZE = 16  # pixels, both sides
PATCH_SIZE = 2  # thumbnail pixels of one latent, both sides
LATENT_CHANNELS = 3 * PATCH_SIZE**2
SCALING_FACTOR = 1.8  # gives the scaled latents a standard deviation of about 1
NOISE_SHIFT = 3.0  # of noise levels, towards those at which a clip's outlines are decided


def thumbnail_latents(frames: torch.Tensor) -> torch.Tensor:
    """The unscaled latents of frames: averages over 4x4 pixels, and 2x2 of these as the channels of one latent.

    Args:
        frames: (frames, 3, size, size), float from -1 to 1.

    Returns:
        Latents, (frames, 12, 8, 8), from -1 to 1.
    """
    return F.pixel_unshuffle(F.adaptive_avg_pool2d(frames, THUMBNAIL_SIZE), PATCH_SIZE)


def pair_frames(thumbnails: torch.Tensor) -> torch.Tensor:
    """The first frame twice, then pairs of frames, as the channels of one latent each: half as many frames.

    Args:
        thumbnails: (clips, 12, 1 + 2·n, height, width).

    Returns:
        Latents, (clips, 24, 1 + n, height, width): channels of the earlier frame of each pair, then of the later one.
    """
    first_twice = torch.cat([thumbnails[:, :, :1], thumbnails], dim=2)
    return first_twice.unflatten(2, (-1, 2)).movedim(3, 1).flatten(1, 2)
