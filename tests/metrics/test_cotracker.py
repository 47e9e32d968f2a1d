"""The adapter for CoTracker, with a small module that is called as CoTracker is."""

import numpy as np
import pytest
import torch
from torch import nn

from diffusers_motion_embed.metrics import CoTracker, motion_fidelity, track
from tests.metrics.videos import NUM_FRAMES, SIZE, pan


class BrightestStep(nn.Module):
    """Moves a grid of points with the best match of whole neighbouring frames; the last row counts as lost.

    Args:
        visibility: What the second output looks like.
    """

    def __init__(self, visibility):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, dtype=torch.float32))
        self.visibility = visibility

    def forward(self, video, grid_size=0):
        assert video.shape == (1, NUM_FRAMES, 3, *SIZE)
        assert video.dtype == torch.float32
        assert video.max() > 200
        steps = [self.step(before, after) for before, after in zip(video[0, :-1], video[0, 1:], strict=True)]
        path = torch.cat([torch.zeros(1, 2), torch.tensor(steps).float().cumsum(0)]) * self.weight
        y, x = torch.meshgrid(*(torch.linspace(0, side - 1, grid_size) for side in SIZE), indexing="ij")
        grid = torch.stack([x, y], -1).reshape(1, 1, -1, 2)
        visible = torch.ones(1, NUM_FRAMES, grid_size**2)
        visible[..., -grid_size:] = 0.2
        return grid + path[None, :, None], self.visibility(visible)

    @staticmethod
    def step(before, after):
        shifts = [(x, y) for x in range(-4, 5) for y in range(-4, 5)]
        return min(shifts, key=lambda shift: (before.roll(shift, (-1, -2)) - after).abs().mean())


FORMS = {
    "booleans": lambda visible: visible > 0.5,
    "floats": lambda visible: visible,
    "one-more-axis": lambda visible: visible[..., None],
}


@pytest.mark.parametrize("form", FORMS)
def test_tracks_have_the_tracks_first(form):
    followed = track(pan(3, -1), CoTracker(BrightestStep(FORMS[form]), grid_size=5))
    assert followed.tracker == "cotracker"
    assert followed.points.shape == (25, NUM_FRAMES, 2)
    assert np.allclose(followed.points[0], np.arange(NUM_FRAMES)[:, None] * [3, -1])
    assert np.allclose(followed.points[1, 0], [(SIZE[1] - 1) / 4, 0])
    assert followed.visible[:20].all()
    assert not followed.visible[20:].any()


def test_its_name_is_in_the_result():
    tracker = CoTracker(BrightestStep(FORMS["booleans"]), grid_size=4)
    found = motion_fidelity(pan(0, 3, look=2), pan(3, 0), tracker)
    assert (found.tracker, found.score, found.num_reference_tracks) == ("cotracker", pytest.approx(0.0), 12)
