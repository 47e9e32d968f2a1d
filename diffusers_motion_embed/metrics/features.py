"""What a frame looks like, as a vector of length one, so that a dot product is a similarity."""

from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from diffusers_motion_embed._compat import pooled
from diffusers_motion_embed.metrics.clips import Video, as_clip


# Lightness goes from 0 to 100; a and b of all sRGB colours lie within these.
LAB_LOWEST = np.array([0, -110, -110], np.float32)
LAB_HIGHEST = np.array([100, 110, 110], np.float32)


class FrameFeatures(Protocol):
    """Anything that describes frames by vectors, with a name that results are reported under."""

    @property
    def name(self) -> str:
        """Name for reports. Scores of different features are not comparable."""
        ...

    def __call__(self, video: Video) -> np.ndarray:
        """Vectors of length one, (frames, channels)."""
        ...


@dataclass(frozen=True)
class ColorHistogram:
    """Square roots of how often each colour (CIELAB) occurs in a frame, wherever it is.

    The dot product of two is the Bhattacharyya coefficient: 1 for the same colours in the same amounts, 0 for none in
    common. Each pixel is shared among the eight nearest bins, so that slightly different colours are slightly unlike.

    Args:
        bins: Number of bins along each of the three axes.
        max_side: In large frames, only every n-th pixel counts, so that about this many remain along each side.
    """

    bins: int = 8
    max_side: int = 128
    name: str = "color_histogram"

    def __call__(self, video: Video) -> np.ndarray:
        """Vectors of length one, (frames, bins³), float64."""
        clip = as_clip(video)
        stride = [max(1, side // self.max_side) for side in clip.shape[1:3]]
        return np.sqrt([self._shares(lab_of(frame[:: stride[0], :: stride[1]])) for frame in clip])

    def _shares(self, lab: np.ndarray) -> np.ndarray:
        places = (lab.reshape(-1, 3) - LAB_LOWEST) / (LAB_HIGHEST - LAB_LOWEST) * (self.bins - 1)
        lower = np.clip(places.astype(int), 0, self.bins - 2)
        rest = np.clip(places - lower, 0, 1)
        shares = (1 - rest, rest)
        counts = np.zeros(self.bins**3)
        for corner in product((0, 1), repeat=3):
            weights = shares[corner[0]][:, 0] * shares[corner[1]][:, 1] * shares[corner[2]][:, 2]
            numbers = (lower + corner) @ [self.bins**2, self.bins, 1]
            counts += np.bincount(numbers, weights, minlength=self.bins**3)
        return counts / len(places)


class ClipFeatures:
    """Features of frames and of prompts by a CLIP model.

    Args:
        model: A `transformers.CLIPModel`.
        processor: Its `transformers.CLIPProcessor`.
        batch_size: Frames that go through the model at once.
    """

    name = "clip"

    def __init__(self, model: Any, processor: Any, batch_size: int = 16):
        self.model = model.eval()
        self.processor = processor
        self.batch_size = batch_size

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str, **arguments: Any) -> "ClipFeatures":
        """Load model and processor of one repository.

        Args:
            pretrained_model_name_or_path: A folder or an id on the Hub, such as "openai/clip-vit-large-patch14".
            **arguments: `revision`, `token`, `cache_dir` and the like, for both.
        """
        from transformers import AutoProcessor, CLIPModel

        return cls(
            CLIPModel.from_pretrained(pretrained_model_name_or_path, **arguments),
            AutoProcessor.from_pretrained(pretrained_model_name_or_path, **arguments),
        )

    @torch.no_grad()
    def __call__(self, video: Video) -> np.ndarray:
        """Features of the frames, (frames, channels)."""
        frames = torch.from_numpy(as_clip(video)).permute(0, 3, 1, 2)
        inputs = [self.processor(images=list(batch), return_tensors="pt") for batch in frames.split(self.batch_size)]
        return np.concatenate([_unit(self.model.get_image_features(**self._placed(batch))) for batch in inputs])

    @torch.no_grad()
    def of_text(self, prompt: str) -> np.ndarray:
        """Features of a prompt, (channels,). Text beyond the model's longest is cut."""
        inputs = self.processor(text=[prompt], truncation=True, return_tensors="pt")
        return _unit(self.model.get_text_features(**self._placed(inputs)))[0]

    def _placed(self, inputs: Any) -> dict[str, torch.Tensor]:
        return {
            name: value.to(self.model.device, self.model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }


def lab_of(frame: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of 8-bit sRGB pixels, (height, width, 3)."""
    return cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _unit(features: Any) -> np.ndarray:
    vectors = pooled(features).cpu().double()
    return (vectors / vectors.norm(dim=-1, keepdim=True)).numpy()
