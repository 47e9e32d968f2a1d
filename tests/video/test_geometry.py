"""Which way up references are, how wide, and which stream: compared with the FFmpeg program, or with known corners."""

import numpy as np
import pytest
from PIL import Image

from diffusers_motion_embed import VideoError, read_reference, read_video
from tests.video.made import (
    CORNERS,
    H264,
    assert_corners,
    corners,
    difference,
    encode,
    ffmpeg,
    numbered,
    numbers_of,
    rendered,
    still,
)


ORIENTATIONS = [
    pytest.param([*turn, *mirror], id="-".join(["turn", *turn[1:], *(m[9:] for m in mirror)]))
    for turn in ([], *(["-display_rotation", degrees] for degrees in ("90", "180", "270")))
    for mirror in ([], ["-display_hflip"], ["-display_vflip"])
]


@pytest.mark.parametrize("options", ORIENTATIONS)
def test_every_turn_and_mirror_is_shown_as_players_do(tmp_path, options):
    plain = still(tmp_path / "plain.mp4")
    ffmpeg(*options, "-i", plain, "-c", "copy", tmp_path / "turned.mp4")
    frames = read_video(tmp_path / "turned.mp4", 1)
    assert difference(frames, rendered(tmp_path / "turned.mp4")) <= 4


def test_a_turn_by_an_odd_angle_is_warned_of(tmp_path):
    plain = still(tmp_path / "plain.mp4")
    ffmpeg("-display_rotation", "100", "-i", plain, "-c", "copy", tmp_path / "turned.mp4")
    with pytest.warns(UserWarning, match="turn by an odd angle"):
        assert read_video(tmp_path / "turned.mp4", 1).shape == (1, 96, 64, 3)


EXIF_CORNERS = {  # which stored corner stands where, in the order of CORNERS
    1: (0, 1, 2, 3),
    2: (1, 0, 3, 2),
    3: (3, 2, 1, 0),
    4: (2, 3, 0, 1),
    5: (0, 2, 1, 3),
    6: (2, 0, 3, 1),
    7: (3, 1, 2, 0),
    8: (1, 3, 0, 2),
}


@pytest.mark.parametrize("orientation", EXIF_CORNERS)
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_every_exif_orientation_of_pictures(tmp_path, suffix, orientation):
    image = corners()
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"1.{suffix}", exif=exif, **({"quality": 100} if suffix == "jpg" else {}))
    frames = read_video(tmp_path, 1)
    assert frames.shape[1:3] == ((64, 96) if orientation < 5 else (96, 64))
    assert_corners(frames[0], [CORNERS[number] for number in EXIF_CORNERS[orientation]])


@pytest.mark.parametrize(
    ("aspect", "turn", "size"),
    [
        ("2/1", [], (64, 192)),
        ("8/9", [], (64, 85)),
        ("64/45", [], (64, 137)),
        ("2/1", ["-display_rotation", "90"], (192, 64)),
    ],
)
def test_pixels_that_are_not_square_are_made_square(tmp_path, aspect, turn, size):
    still(tmp_path / "stored.mp4", None, "-vf", f"setsar={aspect}", *H264)
    ffmpeg(*turn, "-i", tmp_path / "stored.mp4", "-c", "copy", tmp_path / "clip.mp4")
    clip = read_reference(tmp_path / "clip.mp4", 1)
    assert clip.frames.shape[1:3] == size
    assert any(note.startswith("pixels made square") for note in clip.notes)
    expected = CORNERS if not turn else [CORNERS[number] for number in EXIF_CORNERS[8]]
    assert_corners(clip.frames[0], expected)


def test_a_size_that_is_asked_for_is_cut_from_square_pixels(tmp_path):
    """A disc of an anamorphic file is round in a square of any size."""
    y, x = np.mgrid[:64, :64]
    disc = ((x - 31.5) * 2) ** 2 + (y - 31.5) ** 2 < 28**2  # half as wide as high in stored pixels
    path = still(
        tmp_path / "disc.mp4", Image.fromarray(np.uint8(disc * 255)).convert("RGB"), "-vf", "setsar=2/1", *H264
    )
    for frames in (read_video(path, 1), read_video(path, 1, height=48, width=48)):
        seen = frames[0, :, :, 1] > 127
        assert abs(seen.any(0).sum() - seen.any(1).sum()) <= 1


@pytest.mark.parametrize("size", [(65, 33), (97, 64), (64, 31)])
def test_odd_sizes(tmp_path, size):
    path = still(
        tmp_path / "odd.webm", corners(*size), "-c:v", "libvpx-vp9", "-crf", 4, "-b:v", 0, "-pix_fmt", "yuv420p"
    )
    frames = read_video(path, 1)
    assert frames.shape == (1, size[1], size[0], 3)
    assert_corners(frames[0], CORNERS)
    assert difference(frames, rendered(path)) <= 4


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("-c:v", "mpeg2video", "-q:v", 1, "-flags", "+ildct+ilme"), id="mpeg2"),
        pytest.param(("-c:v", "libx264", "-crf", 4, "-flags", "+ildct+ilme", "-x264opts", "tff=1"), id="h264"),
    ],
)
def test_fields_are_deinterlaced(tmp_path, options):
    # A white bar runs over black, fast enough for fields to differ.
    frames = np.zeros((24, 64, 96, 3), np.uint8)
    for number in range(24):
        frames[number, :, 3 * number : 3 * number + 16] = 255
    path = encode(tmp_path / "fields.ts", frames, "-vf", "interlace=scan=tff", *options, rate=50)
    clip = read_reference(path, 8)
    assert "deinterlaced" in clip.notes
    combs = np.abs(np.diff(clip.frames[2:, 8:-8].astype(int), axis=1)).max()
    assert combs < 60  # two neighbouring lines of a comb differ by 255
    assert difference(clip.frames, rendered(path, "bwdif=mode=send_frame:deint=interlaced", 8)) <= 4


def test_progressive_frames_are_not_touched(tmp_path):
    path = encode(tmp_path / "plain.mp4", numbered(8), *H264)
    clip = read_reference(path, 8)
    assert clip.notes == ()
    assert difference(clip.frames, rendered(path, count=8)) <= 4


# Which stream


@pytest.fixture
def cover(tmp_path):
    Image.new("RGB", (300, 300), (255, 0, 255)).save(tmp_path / "cover.jpg")
    return tmp_path / "cover.jpg"


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize("is_marked", [True, False])
def test_a_cover_picture_is_not_the_video(tmp_path, cover, suffix, is_marked):
    video = encode(tmp_path / "video.mp4", numbered(8), *H264)
    disposition = ("-disposition:v:0", "attached_pic") if is_marked else ()
    path = tmp_path / f"clip.{suffix}"
    ffmpeg("-i", cover, "-i", video, "-map", 0, "-map", 1, "-c", "copy", *disposition, path)
    assert numbers_of(read_video(path, 8)) == list(range(8))


def test_sound_with_a_cover_is_refused(tmp_path, cover):
    sound = ("-f", "lavfi", "-i", "sine=duration=1")
    path = tmp_path / "song.m4a"
    ffmpeg(*sound, "-i", cover, "-map", 0, "-map", 1, "-c:v", "copy", "-disposition:v:0", "attached_pic", path)
    with pytest.raises(VideoError, match=r"song\.m4a has only a cover picture"):
        read_video(path, 1)


def test_of_two_videos_the_containers_choice_is_read(tmp_path):
    small, large = (encode(tmp_path / f"{w}.mp4", numbered(8, width=w), *H264) for w in (64, 128))
    path = tmp_path / "two.mkv"
    streams = ("-i", small, "-i", large, "-map", 0, "-map", 1, "-c", "copy")
    ffmpeg(*streams, "-disposition:v:0", 0, "-disposition:v:1", 0, path)
    clip = read_reference(path, 8)
    assert clip.frames.shape[2] == 128
    assert any("video stream 1 of 2 used" in note for note in clip.notes)
    ffmpeg(*streams, "-disposition:v:0", "default", "-disposition:v:1", 0, path)
    assert read_video(path, 8).shape[2] == 64
