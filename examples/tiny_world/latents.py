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


def thumbnail_latents(frames: torch.Tensor) -> torch.Tensor:
    """The unscaled latents of frames: averages over 4x4 pixels, and 2x2 of these as the channels of one latent.

    Args:
        frames: (frames, 3, size, size), float from -1 to 1.

    Returns:
        Latents, (frames, 12, 8, 8), from -1 to 1.
    """
    return F.pixel_unshuffle(F.adaptive_avg_pool2d(frames, THUMBNAIL_SIZE), PATCH_SIZE)


def shows_object(latents: torch.Tensor) -> torch.Tensor:
    """Which latents show some of the object, which alone is of a saturated colour.

    Args:
        latents: Unscaled, (clips, 12, frames, height, width).

    Returns:
        1 or 0, (clips, 1, frames, height, width).
    """
    colors = latents.unflatten(1, (3, PATCH_SIZE**2))
    chroma = colors.amax(1) - colors.amin(1)
    return (chroma.amax(1, keepdim=True) > 0.5).to(latents.dtype)
