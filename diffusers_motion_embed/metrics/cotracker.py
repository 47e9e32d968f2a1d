"""CoTracker as a tracker of the metrics, for those who have it."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class CoTracker:
    """Tracks of a CoTracker model of the user's own, which nothing here loads or downloads.

    Args:
        model: Called as CoTracker's offline predictors are, `model(video, grid_size=...)`, with a video (1, frames, 3,
            height, width) of floats from 0 to 255; it returns positions (1, frames, tracks, 2) and visibility (1,
            frames, tracks), booleans or floats from 0 to 1, with an axis of length one more in some versions.
        grid_size: Points along either axis. 55 is that of the script published with arXiv 2311.17009.
        threshold: Of a visibility that is given as floats.
    """

    model: torch.nn.Module
    grid_size: int = 55
    threshold: float = 0.5
    name: str = "cotracker"

    @torch.no_grad()
    def __call__(self, clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Follow a grid of points through (frames, height, width, 3), uint8; see `Tracker`."""
        device = next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))
        video = torch.from_numpy(clip).permute(0, 3, 1, 2)[None].to(device, torch.float32)
        points, visible = self.model(video, grid_size=self.grid_size)
        visible = visible.reshape(points.shape[:3])[0].T
        if visible.dtype != torch.bool:
            visible = visible > self.threshold
        return points[0].transpose(0, 1).float().cpu().numpy(), visible.cpu().numpy()
