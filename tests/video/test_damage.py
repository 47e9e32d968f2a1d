"""Files that are cut off or overwritten: what could be read is said, without raw error numbers."""

import re
import struct

import av
import numpy as np
import pytest
from PIL import Image

from diffusers_motion_embed import VideoError, read_reference, read_video
from tests.video.made import H264, encode, numbered, numbers_of


@pytest.fixture(scope="module")
def noisy():
    """Frames that no codec makes small, so that damage hits something."""
    frames = numbered(60, 64, 128)
    noise = np.random.default_rng(0).integers(0, 256, (60, 16, 128, 3), dtype=np.uint8)
    frames[:, :16] = noise
    return frames


MJPEG = ("-c:v", "mjpeg", "-q:v", 2)
PRORES = ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le")
HEVC = ("-c:v", "libx265", "-x265-params", "log-level=error", "-tag:v", "hvc1")
VP9 = ("-c:v", "libvpx-vp9", "-crf", 4, "-b:v", 0)
INDEX_IN_FRONT = ("-movflags", "+faststart")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cut.mp4", (*INDEX_IN_FRONT, *H264)),
        ("cut.mkv", H264),
        ("cut.webm", VP9),
        ("cut.avi", MJPEG),
        ("cut.mov", (*INDEX_IN_FRONT, *PRORES)),
    ],
)
def test_a_file_that_was_cut_off(tmp_path, noisy, name, options):
    path = encode(tmp_path / name, noisy, *options, rate=24)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    message = r"only (\d+) could be read\. \d+ of 60 frames are sound; the file is damaged or cut off after 1\.\d s"
    with pytest.raises(VideoError, match=message) as caught:
        read_video(path, 60, fps=24)
    found = int(re.search(message, str(caught.value))[1])
    assert 40 < found < 50
    assert numbers_of(read_video(path, found, fps=24)) == list(range(found))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("h264.mp4", (*INDEX_IN_FRONT, *H264)),
        ("h264.mkv", H264),
        ("hevc.mp4", (*INDEX_IN_FRONT, *HEVC)),
        ("mpeg4.avi", ("-c:v", "mpeg4", "-q:v", 2)),
        ("mpeg2.ts", ("-c:v", "mpeg2video", "-q:v", 2)),
        ("prores.mov", PRORES),
    ],
)
def test_a_file_with_a_hole(tmp_path, noisy, name, options):
    path = encode(tmp_path / name, noisy, *options, rate=24)
    content = path.read_bytes()
    start, length = len(content) * 2 // 3, len(content) // 100
    path.write_bytes(content[:start] + bytes(length) + content[start + length :])
    message = r"(\d+) of (?:60|59) frames are sound; the file is damaged or cut off after 1\.\d s"
    with pytest.raises(VideoError, match=message) as caught:
        read_video(path, 60, fps=24)
    assert "Errno" not in str(caught.value)
    sound = int(re.search(message, str(caught.value))[1])
    assert 30 < sound < 45
    assert numbers_of(read_video(path, sound, fps=24)) == list(range(sound))


def test_damage_that_was_met_is_warned_of(tmp_path, noisy):
    """A frame is read ahead to know how long the last one stays."""
    path = encode(tmp_path / "hole.mp4", noisy, *INDEX_IN_FRONT, *MJPEG, rate=24)
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    content[places[30] : places[30] + 600] = bytes(600)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"the file is damaged or cut off after 1\.2 s"):
        read_video(path, 30)


@pytest.mark.parametrize("suffix", ["gif", "webp", "apng"])
def test_an_animated_picture_that_was_cut_off(tmp_path, noisy, suffix):
    images = [Image.fromarray(frame) for frame in noisy[:12]]
    path = tmp_path / f"clip.{suffix}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=100)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    for num_frames in (12, *((None,) if suffix == "webp" else ())):  # of a WebP, nothing can be read then
        with pytest.raises(VideoError, match=r"could be read|cut off from its beginning") as caught:
            read_video(path, num_frames)
        assert "Errno" not in str(caught.value)
        assert not re.search(r"\d{6}", str(caught.value))


def test_a_recording_that_begins_between_key_frames(tmp_path):
    """Broadcasts: what comes before the first key frame cannot be shown, and is not damage."""
    path = encode(tmp_path / "whole.ts", numbered(48), "-c:v", "mpeg2video", "-q:v", 1, "-g", 12, rate=24)
    content = path.read_bytes()
    path.write_bytes(content[len(content) // 10 // 188 * 188 :])
    clip = read_reference(path, 24)
    first = numbers_of(clip.frames)[0]
    assert numbers_of(clip.frames) == list(range(first, first + 24))


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        pytest.param(lambda content: content[: len(content) // 2], "is damaged from its beginning", id="half"),
        pytest.param(lambda content: content[: content.index(b"trak")], "has no video stream", id="in-the-index"),
        pytest.param(lambda content: b"", "is empty", id="empty"),
        pytest.param(lambda content: b"no video\n" * 100, "is not a video that can be read", id="text"),
        pytest.param(lambda content: bytes(5000), "is not a video that can be read", id="zeros"),
    ],
)
def test_a_video_of_which_nothing_is_left_is_refused(tmp_path, noisy, rest, message):
    path = encode(tmp_path / "clip.mp4", noisy, *H264)
    path.write_bytes(rest(path.read_bytes()))
    with pytest.raises(VideoError, match=rf"clip\.mp4 .*{message}") as caught:
        read_video(path, 1)
    assert "Errno" not in str(caught.value)


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
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "0.png")
    broken = tmp_path / "1.png"
    Image.fromarray(noise).save(broken)
    broken.write_bytes(damage(broken.read_bytes()))
    with pytest.raises(VideoError, match=r"1\.png is not an image that can be read"):
        read_video(tmp_path, 2)
    assert (read_video(tmp_path, 1)[0] == noise).all()
