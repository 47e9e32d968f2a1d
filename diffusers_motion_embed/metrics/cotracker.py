"""CoTracker as a tracker for the metrics, for users who have it."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class CoTracker:
    """Tracks from a CoTracker model that the user provides. Nothing here loads or downloads one.

    Args:
        model: Called like CoTracker's offline predictors, `model(video, grid_size=...)`, with a video (1, frames, 3,
            height, width) of floats from 0 to 255. It returns positions (1, frames, tracks, 2) and visibility (1,
            frames, tracks), as booleans or floats from 0 to 1. In some versions, visibility has one more axis of
            length one.
        grid_size: Number of points along either axis. The script published with arXiv 2311.17009 uses 55.
        threshold: Threshold for visibility that is given as floats.
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
