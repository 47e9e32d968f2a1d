"""What is asked for and what is returned: frames, sizes, rates; and what is refused."""

import os
import sys
import wave

import av
import numpy as np
import pytest
from PIL import Image

from diffusers_motion_embed import VideoError, read_video


HEIGHT, WIDTH = 32, 48
COLOURS = [(20 * i, 240 - 20 * i, 128) for i in range(12)]  # every frame differs by 20 from the next


def solid(colour, size=(WIDTH, HEIGHT)):
    return Image.new("RGB", size, colour)


def write_mp4(path, pictures, **options):
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return path


def write_gif(path, pictures):
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100)
    return path


def write_folder(path, pictures):
    path.mkdir()
    for number, picture in enumerate(pictures):
        picture.save(path / f"{number:03}.png")
    return path


WRITERS = {
    "mp4": lambda folder, pictures: write_mp4(folder / "clip.mp4", pictures),
    "gif": lambda folder, pictures: write_gif(folder / "clip.gif", pictures),
    "folder": lambda folder, pictures: write_folder(folder / "clip", pictures),
}


@pytest.fixture(params=WRITERS)
def clip(request, tmp_path):
    return WRITERS[request.param](tmp_path, [solid(colour) for colour in COLOURS])


@pytest.fixture
def mp4(tmp_path):
    return write_mp4(tmp_path / "clip.mp4", [solid(colour) for colour in COLOURS])


def assert_colours(frames, colours):
    """Each frame is of its colour all over, up to what compression changes."""
    assert frames.dtype == np.uint8
    assert frames.shape == (len(colours), HEIGHT, WIDTH, 3)
    assert np.abs(frames.astype(int) - np.array(colours)[:, None, None]).max() <= 8


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param({"num_frames": 12}, COLOURS, id="all"),
        pytest.param({"num_frames": 3}, COLOURS[:3], id="first"),
        pytest.param({"num_frames": 3, "start": 9}, COLOURS[9:], id="last"),
        pytest.param({"num_frames": 4, "stride": 3}, COLOURS[0:10:3], id="stride"),
        pytest.param({"num_frames": 3, "start": 1, "stride": 5}, COLOURS[1:12:5], id="stride-to-the-last"),
        pytest.param({"num_frames": 1, "start": 11, "stride": 100}, COLOURS[11:], id="one-frame"),
    ],
)
def test_the_frames_asked_for_are_read_in_order(clip, arguments, expected):
    assert_colours(read_video(clip, **arguments), expected)


# Scaling and cutting


RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture
def flag(tmp_path):
    """A picture 80 wide and 40 high: a quarter red, half green, a quarter blue, from left to right."""
    picture = solid(GREEN, (80, 40))
    picture.paste(RED, (0, 0, 20, 40))
    picture.paste(BLUE, (60, 0, 80, 40))
    return write_folder(tmp_path / "flag", [picture])


def columns(frames):
    """Colours at the centres of eight equal columns, as letters."""
    letters = {RED: "r", GREEN: "g", BLUE: "b"}
    row = frames[0, frames.shape[1] // 2]
    step = len(row) // 8
    return "".join(letters[tuple(colour.tolist())] for colour in row[step // 2 :: step])


@pytest.mark.parametrize(
    ("arguments", "size", "expected"),
    [
        pytest.param({}, (40, 80), "rrggggbb", id="own-size"),
        pytest.param({"height": 80, "width": 160}, (80, 160), "rrggggbb", id="larger"),
        pytest.param({"height": 40, "width": 40}, (40, 40), "gggggggg", id="square-shows-the-middle"),
        pytest.param({"height": 80, "width": 120}, (80, 120), "rggggggb", id="larger-and-narrower"),
        pytest.param({"height": 16}, (16, 80), "rrggggbb", id="height-alone-keeps-the-width"),
        pytest.param({"width": 40}, (40, 40), "gggggggg", id="width-alone-keeps-the-height"),
    ],
)
def test_frames_are_scaled_to_cover_and_cut_around_the_centre(flag, arguments, size, expected):
    frames = read_video(flag, 1, **arguments)
    assert frames.shape == (1, *size, 3)
    assert columns(frames) == expected


def test_frames_of_a_video_file_are_scaled_and_cut(tmp_path, flag):
    with Image.open(flag / "000.png") as image:
        path = write_mp4(tmp_path / "flag.mp4", [image.convert("RGB")] * 2)
    frames = read_video(path, 2, height=16, width=16)
    assert frames.shape == (2, 16, 16, 3)
    assert np.abs(frames[:, :, 2:-2].astype(int) - GREEN).max() <= 12


def test_images_of_different_sizes_need_a_size(tmp_path):
    folder = write_folder(tmp_path / "clip", [solid(RED), solid(RED, (HEIGHT, WIDTH))])
    with pytest.raises(VideoError, match="clip differ in size; give height and width"):
        read_video(folder, 2)
    assert_colours(read_video(folder, 2, height=HEIGHT, width=WIDTH), [RED, RED])


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(
            {"num_frames": 0}, "num_frames must be None or a whole number of at least 1, got 0", id="no-frames"
        ),
        pytest.param({"num_frames": 2.0}, "num_frames must be None or a whole number .* got 2.0", id="broken-frames"),
        pytest.param({"num_frames": 1, "stride": 0}, "stride must be a whole number of at least 1", id="no-stride"),
        pytest.param({"num_frames": 1, "start": -1}, "start must be a whole number of at least 0", id="early-start"),
        pytest.param(
            {"num_frames": 1, "height": 0}, "height must be None or a whole number of at least 1", id="no-height"
        ),
        pytest.param(
            {"num_frames": 1, "width": -8}, "width must be None or a whole number of at least 1", id="no-width"
        ),
    ],
)
def test_numbers_that_make_no_sense_are_refused(mp4, arguments, message):
    with pytest.raises(ValueError, match=message):
        read_video(mp4, **arguments)


@pytest.mark.parametrize("name", ["nowhere.mp4", "nowhere/clip.mp4"])
def test_a_missing_path_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"no video at .*{name}"):
        read_video(tmp_path / name, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"num_frames": 13}, "too short: 13 frames, .* and only 12 could be read", id="frames"),
        pytest.param(
            {"num_frames": 3, "start": 10},
            "from (second 1|picture 10).* and only 2 could be read of the 12",
            id="start",
        ),
        pytest.param({"num_frames": 4, "stride": 4}, "to (second 1|picture 12|1).* and only 3 could", id="stride"),
        pytest.param({"num_frames": 1, "start": 12}, "asked for, and only 0 could be read", id="beyond"),
    ],
)
def test_clips_that_are_too_short_are_refused_with_numbers(clip, arguments, message):
    with pytest.raises(VideoError, match=message):
        read_video(clip, **arguments)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "clip.mp4")
    with pytest.raises(VideoError, match=r"clip\.mp4 is neither a file nor a folder"):
        read_video(tmp_path / "clip.mp4", 1)


def test_sound_without_pictures_is_refused(tmp_path):
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    with pytest.raises(VideoError, match=r"sound\.wav has no video stream"):
        read_video(path, 1)


@pytest.mark.parametrize("names", [[], ["notes.txt"]], ids=["empty", "other-files"])
def test_a_folder_without_images_is_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("no image")
    with pytest.raises(VideoError, match=r"holds no pictures \(.*\.png"):
        read_video(tmp_path, 1)


def test_pictures_are_read_without_pyav_and_videos_say_what_is_missing(tmp_path, mp4, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert_colours(read_video(write_gif(tmp_path / "clip.gif", [solid(colour) for colour in COLOURS]), 3), COLOURS[:3])
    with pytest.raises(ImportError, match=r"needs PyAV: pip install \"diffusers_motion_embed\[training\]\""):
        read_video(mp4, 1)
