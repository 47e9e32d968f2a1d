"""Reference videos of known colours, read from real files; and files that are no videos."""

import struct
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


def test_images_of_a_folder_are_read_in_the_order_of_names_and_other_files_passed_over(tmp_path):
    folder = write_folder(tmp_path / "clip", [])
    for name, colour in [("b.PNG", COLOURS[1]), ("a.bmp", COLOURS[0]), ("c.webp", COLOURS[2])]:
        solid(colour).save(folder / name, **({"lossless": True} if name.endswith("webp") else {}))
    (folder / "notes.txt").write_text("no image")
    assert_colours(read_video(str(folder), 3), COLOURS[:3])


def test_grey_and_transparent_images_become_rgb(tmp_path):
    folder = write_folder(tmp_path / "clip", [])
    Image.new("L", (WIDTH, HEIGHT), 90).save(folder / "a.png")
    Image.new("RGBA", (WIDTH, HEIGHT), (10, 20, 30, 255)).save(folder / "b.png")
    assert_colours(read_video(folder, 2), [(90, 90, 90), (10, 20, 30)])


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


# What a camera that was held upright notes beside the pictures


def test_images_are_turned_as_their_camera_was_held(tmp_path, flag):
    with Image.open(flag / "000.png") as image:
        exif = image.getexif()
        exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise
        image.save(flag / "000.png", exif=exif)
    frames = read_video(flag, 1)
    assert frames.shape == (1, 80, 40, 3)
    assert columns(frames.swapaxes(1, 2)) == "rrggggbb"


@pytest.mark.parametrize(
    ("matrix", "size", "expected"),
    [
        pytest.param((1, 0, 0, 1), (40, 80), "rrggggbb", id="upright"),
        pytest.param((-1, 0, 0, -1), (40, 80), "bbggggrr", id="upside-down"),
        pytest.param((0, 1, -1, 0), (80, 40), "rrggggbb", id="clockwise"),
        pytest.param((0, -1, 1, 0), (80, 40), "bbggggrr", id="anticlockwise"),
    ],
)
def test_videos_are_turned_as_their_camera_was_held(tmp_path, flag, matrix, size, expected):
    with Image.open(flag / "000.png") as image:
        path = write_mp4(tmp_path / "flag.mp4", [image.convert("RGB")])
    set_display_matrix(path, *matrix)
    frames = read_video(path, 1)
    assert frames.shape == (1, *size, 3)
    frames = np.where(frames < 128, 0, 255)  # undo what compression changed
    assert columns(frames if size == (40, 80) else frames.swapaxes(1, 2)) == expected


def set_display_matrix(path, a, b, c, d):
    """Patch the nine numbers of the track header that say how players turn the picture."""
    content = bytearray(path.read_bytes())
    position = content.index(b"tkhd") + 44
    one = 1 << 16
    assert struct.unpack_from(">9i", content, position) == (one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", content, position, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


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
        pytest.param({"num_frames": 13}, "too short: 13 frames .* need 13 frames, and only 12", id="frames"),
        pytest.param({"num_frames": 3, "start": 10}, "from frame 10 .* need 13 frames, and only 2", id="start"),
        pytest.param({"num_frames": 4, "stride": 4}, "at stride 4 need 13 frames, and only 3", id="stride"),
        pytest.param({"num_frames": 1, "start": 12}, "from frame 12 .* need 13 frames, and only 0", id="beyond"),
    ],
)
def test_clips_that_are_too_short_are_refused_with_numbers(clip, arguments, message):
    with pytest.raises(VideoError, match=message):
        read_video(clip, **arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "clip.mp4 is empty", id="empty"),
        pytest.param(b"This is no video.\n" * 100, "clip.mp4 is no video that can be read", id="text"),
        pytest.param(bytes(5000), "clip.mp4 is no video that can be read", id="zero-bytes"),
    ],
)
def test_files_that_are_no_videos_are_refused(tmp_path, content, message):
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(VideoError, match=message):
        read_video(path, 1)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        pytest.param(
            lambda content: content[: len(content) // 2], "no video that can be read, or is damaged", id="half"
        ),
        pytest.param(lambda content: content[: content.index(b"trak")], "has no video stream", id="in-the-index"),
    ],
)
def test_a_video_that_was_cut_off_is_refused(tmp_path, rest, message):
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    path = write_mp4(tmp_path / "clip.mp4", [Image.fromarray(noise)] * 12)
    path.write_bytes(rest(path.read_bytes()))
    with pytest.raises(VideoError, match=f"clip.mp4 .*{message}"):
        read_video(path, 1)


def test_the_lost_end_of_a_cut_video_is_missed(tmp_path):
    # With its index in front, such a file still opens, and its first frames are sound.
    path = write_mp4(tmp_path / "clip.mp4", [solid(colour) for colour in COLOURS], movflags="faststart")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(VideoError, match=r"damaged|too short"):
        read_video(path, len(COLOURS))
    assert_colours(read_video(path, 1), COLOURS[:1])


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
    with pytest.raises(VideoError, match=r"holds no images \(.*\.png"):
        read_video(tmp_path, 1)


def patched(content, position, number):
    return content[:position] + struct.pack(">I", number) + content[position + 4 :]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: b"no image", id="text"),
        pytest.param(lambda content: content[:20], id="cut-in-the-header"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut-in-half"),
        pytest.param(lambda content: content[:200] + bytes(200) + content[400:], id="a-hole"),
        pytest.param(lambda content: patched(content, content.index(b"IDAT") - 4, 100), id="pixels-of-wrong-length"),
        pytest.param(lambda content: patched(content, content.index(b"IHDR") + 4, 2**27), id="absurd-width"),
    ],
)
def test_a_broken_image_is_named(tmp_path, damage):
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    folder = write_folder(tmp_path / "clip", [solid(RED), Image.fromarray(noise)])
    broken = folder / "001.png"
    broken.write_bytes(damage(broken.read_bytes()))
    with pytest.raises(VideoError, match=r"001\.png is no image that can be read"):
        read_video(folder, 2)
    assert_colours(read_video(folder, 1), [RED])
