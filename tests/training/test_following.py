"""Motion that is read off clips: of an object, of a camera, and of clips that are drawn with known paths."""

import warnings

import cv2
import numpy as np
import pytest
import torch

from diffusers_motion_embed import VideoError
from diffusers_motion_embed.training.following import come_from, follow_camera, follow_motion, latent_path


HEIGHT, WIDTH = 64, 96


def texture(height, width, seed=0):
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def shifted(picture, y, x):
    """The picture moved by rows and columns; what comes in on the other side is what went out."""
    return np.roll(picture, (y, x), (0, 1))


def disc_clip(path, background):
    """A disc with a texture, whose middle follows the path, (frames, 2), rows and columns in pixels."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    frames = []
    for y, x in path:
        inside = (rows - y) ** 2 + (columns - x) ** 2 < 14**2
        disc = shifted(texture(HEIGHT, WIDTH, seed=1), round(y), round(x))
        frames.append(np.where(inside[..., None], disc, background))
    return np.stack(frames)


def zigzag(num_frames=9):
    steps = np.array([(2, 3), (-2, 3)] * num_frames)[: num_frames - 1]
    return np.array([(26, 24), *steps]).cumsum(0)


@pytest.mark.parametrize("background", [np.full(3, 200, np.uint8), texture(HEIGHT, WIDTH)], ids=["plain", "textured"])
def test_an_object_is_followed(background):
    path = zigzag()
    found = follow_motion(disc_clip(path, background), progress_bar=False)
    assert found.dtype == np.float32
    # In 24 pixels: the background is dragged along a little at the edge.
    np.testing.assert_allclose(found * (HEIGHT, WIDTH), path - path[0], atol=1.2)


def test_a_camera_is_followed():
    picture, path = texture(HEIGHT, WIDTH), np.outer(np.arange(9), (1, -2))
    found = follow_motion(np.stack([shifted(picture, *place) for place in path]), progress_bar=False)
    np.testing.assert_allclose(found * (HEIGHT, WIDTH), path, atol=0.2)


def test_something_that_stops_stands_still():
    path = np.concatenate([zigzag(5), [zigzag(5)[-1]] * 4])
    found = follow_motion(disc_clip(path, np.zeros(3, np.uint8)), progress_bar=False)
    assert (found[4:] == found[4]).all()


def test_where_nothing_moves_there_is_nothing_to_follow():
    with pytest.raises(VideoError, match="fewer than 8 points move"):
        follow_motion(np.stack([texture(HEIGHT, WIDTH)] * 3), progress_bar=False)


def camera(y, x, zoom, roll, size):
    """What takes points of the first frame to another: turned clockwise and magnified at its middle, then moved."""
    middle = (np.array(size)[::-1] - 1) / 2
    turn = zoom * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return np.vstack([np.column_stack([turn, middle - turn @ middle + (x, y)]), [0, 0, 1]])


def filmed(picture, path):
    """The picture as a camera sees it that moves, zooms and rolls: (y, x, zoom, roll) in each frame."""
    height, width = picture.shape[:2]
    flags = cv2.INTER_LINEAR
    moved = (camera(*pose, (height, width))[:2] for pose in path)
    return np.stack([cv2.warpAffine(picture, to, (width, height), None, flags, cv2.BORDER_REFLECT) for to in moved])


CAMERAS = {
    "pan": [(n, -2 * n, 1.0, 0.0) for n in range(9)],
    "fast pan": [(0, 14 * n, 1.0, 0.0) for n in range(4)],
    "zoom": [(0, 0, 1.04**n, 0.0) for n in range(9)],
    "roll to and fro": [(0, 0, 1.0, 0.2 * np.sin(n)) for n in range(9)],
    "all": [(n, -n, 0.98**n, 0.03 * n) for n in range(9)],
}


@pytest.mark.parametrize("path", CAMERAS.values(), ids=CAMERAS)
def test_cameras_are_followed(path):
    size, grid = (HEIGHT, WIDTH), (3, 4)
    found = follow_camera(filmed(texture(HEIGHT, WIDTH), path), progress_bar=False)
    meant = np.stack([camera(*pose, size) for pose in path])
    moved = come_from(found, grid, size)
    assert moved.shape == (*grid, len(path), 2)
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved * size, come_from(meant, grid, size) * size, atol=0.7)  # in pixels


def test_an_object_does_not_lead_the_camera():
    clip = disc_clip(zigzag(), texture(HEIGHT, WIDTH))
    panned = np.stack([shifted(frame, 0, number) for number, frame in enumerate(clip)])
    found = follow_camera(panned, progress_bar=False)
    np.testing.assert_allclose(found, [camera(0, n, 1, 0, (HEIGHT, WIDTH)) for n in range(9)], atol=0.5)


@pytest.mark.parametrize("path", [zigzag(), np.full((9, 2), 30)], ids=["object", "nothing"])
def test_a_camera_at_rest_is_not_followed(path):
    with pytest.raises(VideoError, match="camera of the clip does not move"):
        follow_camera(disc_clip(path, texture(HEIGHT, WIDTH)), progress_bar=False)


def test_small_steps_are_not_taken_for_the_next_dot_of_a_pattern():
    rows, columns = np.mgrid[:64, :64]
    dots = np.where((rows % 16 < 8) & (columns % 16 < 8), 255, 0).astype(np.uint8)[..., None].repeat(3, -1)
    clip = np.stack([shifted(dots, number, 2 * number) for number in range(8)])
    found = follow_camera(clip, progress_bar=False)
    np.testing.assert_allclose(found, [camera(n, 2 * n, 1, 0, (64, 64)) for n in range(8)], atol=0.3)


def test_where_things_come_from_is_the_inverse_of_where_they_go():
    cameras = np.stack([camera(3, -5, 1.3, 0.4, (40, 60))])
    moved = come_from(cameras, (4, 6), (40, 60))
    for row in range(4):
        for column in range(6):
            x, y = (column + 0.5) * 10 - 0.5, (row + 0.5) * 10 - 0.5
            back_y, back_x = moved[row, column, 0] * (40, 60)
            np.testing.assert_allclose(cameras[0] @ (x + back_x, y + back_y, 1), (x, y, 1), atol=1e-4)


@pytest.mark.parametrize(
    ("num_latent_frames", "expected"),
    [
        (9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (5, [0, 1.5, 3.5, 5.5, 7.5]),  # the first alone, then pairs
        (3, [0, 2.5, 6.5]),
        (4, [0, 8 / 3, 16 / 3, 8]),  # no whole groups
        (1, [4]),
    ],
)
def test_a_latent_frame_has_the_mean_place_of_its_frames(num_latent_frames, expected):
    path = torch.arange(9.0)[:, None].expand(9, 2)
    found = latent_path(path, num_latent_frames, first_frame_alone=True)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32)[:, None].expand(-1, 2))


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [(8, [1.5, 5.5]), (16, [1.5, 5.5, 9.5, 13.5])],  # both could be a first frame alone and groups of others
)
def test_groups_without_a_first_frame_are_whole_too(num_frames, expected):
    path = torch.arange(float(num_frames))[:, None]
    found = latent_path(path, len(expected), first_frame_alone=False)
    torch.testing.assert_close(found[:, 0], torch.tensor(expected))
    halves = latent_path(path[:8], 4, first_frame_alone=True)[:, 0]  # 7 do not divide by 3
    torch.testing.assert_close(halves, torch.tensor([0.5, 2.5, 4.5, 6.5]))


def test_what_moves_before_a_plain_background_may_be_no_camera():
    clip = disc_clip(zigzag(), np.full(3, 200, np.uint8))
    with pytest.warns(UserWarning, match=r"are in \d+% of the picture.*position grid of 1 x 1"):
        follow_camera(clip, progress_bar=False)


def test_where_a_camera_cannot_be_followed_it_rests_and_that_is_said():
    before, after = (filmed(texture(HEIGHT, WIDTH, seed), CAMERAS["pan"]) for seed in (0, 5))
    cut = np.concatenate([before[:4], np.full((1, HEIGHT, WIDTH, 3), 90, np.uint8), after[:4]])
    with pytest.warns(UserWarning, match="between frames 4 and 5, 5 and 6, as where it is cut"):
        found = follow_camera(cut, progress_bar=False)
    np.testing.assert_array_equal(found[3], found[5])
    assert (found[[2, 3]] != found[[3, 6]]).any((1, 2)).all()


@pytest.mark.parametrize("path", CAMERAS.values(), ids=CAMERAS)
def test_cameras_that_everything_shows_are_not_warned_of(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        follow_camera(filmed(texture(HEIGHT, WIDTH), path), progress_bar=False)
