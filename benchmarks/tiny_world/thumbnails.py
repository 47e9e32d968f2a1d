"""The latent space of tiny-t2v and tiny-animatediff: a latent is a thumbnail of the frame.

`latents.py` has that of tiny-wan, and of the models that are trained next.
"""

import torch
import torch.nn.functional as F

from benchmarks.tiny_world.scene import Scene


THUMBNAIL_SIZE = 16  # pixels, both sides
PATCH_SIZE = 2  # thumbnail pixels of one latent, both sides
THUMBNAIL_CHANNELS = 3 * PATCH_SIZE**2
SCALING_FACTOR = 1.8  # gives the scaled latents a standard deviation of about 1


def thumbnail_latents(frames: torch.Tensor) -> torch.Tensor:
    """The unscaled latents of frames: averages over 4x4 pixels, and 2x2 of these as the channels of one latent.

    Args:
        frames: (frames, 3, size, size), float from -1 to 1.

    Returns:
        Latents, (frames, 12, 8, 8), from -1 to 1.
    """
    return F.pixel_unshuffle(F.adaptive_avg_pool2d(frames, THUMBNAIL_SIZE), PATCH_SIZE)


def scene_thumbnails(scene: Scene, frame: slice = slice(None)) -> torch.Tensor:
    """The scaled latents of the chosen frames, all by default, (frames, 12, 8, 8)."""
    pixels = torch.from_numpy(scene.render(frame)).permute(0, 3, 1, 2) * 2 - 1
    return thumbnail_latents(pixels) * SCALING_FACTOR
