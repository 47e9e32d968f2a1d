"""Kinds of files and names of files, videos and folders alike."""

import os

import pytest
from PIL import Image

from diffusers_motion_embed import VideoError, VideoNotFoundError, read_reference, read_video
from diffusers_motion_embed.video.files import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from tests.versions import skip_unwritten
from tests.video.made import CORNERS, H264, assert_corners, corners, encode, numbered, numbers_of


MPEG4 = ("-c:v", "mpeg4", "-q:v", 1)
MPEG2 = ("-c:v", "mpeg2video", "-q:v", 1)
VP9 = ("-c:v", "libvpx-vp9", "-crf", 2, "-b:v", 0)
CONTAINERS = {
    "3g2": MPEG4,
    "3gp": MPEG4,
    "asf": ("-c:v", "wmv2", "-q:v", 1),
    "avi": MPEG4,
    "f4v": H264,
    "flv": ("-c:v", "flv", "-q:v", 1),
    "ivf": VP9,
    "m2ts": H264,
    "m2v": (*MPEG2, "-f", "mpeg2video"),
    "m4v": (*MPEG4, "-f", "mp4"),
    "mj2": ("-c:v", "mpeg4", "-q:v", 1, "-f", "mov"),
    "mjpeg": ("-c:v", "mjpeg", "-q:v", 1, "-f", "mjpeg"),
    "mjpg": ("-c:v", "mjpeg", "-q:v", 1, "-f", "mjpeg"),
    "mkv": ("-c:v", "ffv1"),
    "mov": ("-c:v", "prores_ks", "-pix_fmt", "yuv422p10le"),
    "mp4": ("-c:v", "libx265", "-x265-params", "log-level=error:crf=2", "-tag:v", "hvc1"),
    "mpeg": MPEG2,
    "mpg": ("-c:v", "mpeg1video", "-q:v", 1),
    "mts": (*H264, "-f", "mpegts"),
    "mxf": MPEG2,
    "nut": ("-c:v", "ffv1"),
    "ogv": ("-c:v", "libtheora", "-q:v", 10),
    "ogm": ("-c:v", "libtheora", "-q:v", 10, "-f", "ogg"),
    "qt": (*H264, "-f", "mov"),
    "ts": H264,
    "vob": (*MPEG2, "-f", "vob"),
    "webm": ("-c:v", "libsvtav1", "-crf", 2, "-svtav1-params", "lp=1", "-preset", 12),
    "wmv": ("-c:v", "wmv2", "-q:v", 1),
    "y4m": ("-pix_fmt", "yuv444p"),
}
ANIMATED = ["apng", "avif", "avifs", "gif", "webp"]


def write_dv(path):
    encode(path, numbered(6, 576, 720), "-c:v", "dvvideo", "-pix_fmt", "yuv420p", rate=25)


def write_animated(path, count=6):
    images = [Image.fromarray(frame) for frame in numbered(count)]
    suffix = path.suffix[1:]
    skip_unwritten(suffix)
    options = {"webp": {"lossless": True}}.get(suffix, {"format": "AVIF"} if suffix == "avifs" else {})
    images[0].save(path, save_all=True, append_images=images[1:], duration=40, **options)


def test_every_suffix_of_the_list_is_tried_here():
    assert {f".{name}" for name in [*CONTAINERS, *ANIMATED, "dv"]} == VIDEO_SUFFIXES


@pytest.mark.parametrize("suffix", [*CONTAINERS, *ANIMATED, "dv"])
def test_every_kind_of_video(tmp_path, suffix):
    path = tmp_path / f"clip.{suffix}"
    if suffix in CONTAINERS:
        encode(path, numbered(6, 64, 128), *CONTAINERS[suffix], rate=25)
    else:
        write_dv(path) if suffix == "dv" else write_animated(path)
    clip = read_reference(path, 6)
    assert numbers_of(clip.frames) == list(range(6))
    assert clip.fps == pytest.approx(25, rel=0.01)


@pytest.mark.parametrize(
    ("true", "named"), [("mp4", "gif"), ("gif", "mp4"), ("webp", "mp4"), ("mkv", "mp4"), ("webp", "gif")]
)
def test_files_are_opened_by_what_is_in_them(tmp_path, true, named):
    """Sites that call everything a GIF, and chats that rename what they send."""
    path = tmp_path / f"clip.{true}"
    write_animated(path) if true in ANIMATED else encode(path, numbered(6), *H264, rate=25)
    path.rename(tmp_path / f"clip.{named}")
    assert numbers_of(read_video(tmp_path / f"clip.{named}", 6)) == list(range(6))


def test_the_picture_for_programs_that_know_no_apng_is_no_frame(tmp_path):
    images = [Image.fromarray(frame) for frame in numbered(6, first=1)]
    path = tmp_path / "clip.png"
    Image.fromarray(numbered(1)[0]).save(path, save_all=True, append_images=images, default_image=True, duration=40)
    assert numbers_of(read_video(path, 6)) == list(range(1, 7))


def test_pages_of_a_tiff_are_frames_without_times(tmp_path):
    images = [Image.fromarray(frame) for frame in numbered(6)]
    images[0].save(tmp_path / "stack.tif", save_all=True, append_images=images[1:])
    clip = read_reference(tmp_path / "stack.tif", 6)
    assert numbers_of(clip.frames) == list(range(6))
    assert clip.fps is None
    assert read_reference(tmp_path / "stack.tif", 3, fps=6, stride=2).fps == 3


def test_one_picture_is_one_frame(tmp_path):
    corners().save(tmp_path / "one.jpg", quality=100)
    assert_corners(read_video(tmp_path / "one.jpg", 1)[0], CORNERS)
    with pytest.raises(VideoError, match="only 1 could be read of the 1 that it has"):
        read_video(tmp_path / "one.jpg", 2)


NAMES = [
    "12:30",
    "http:clip",
    "a#b?c",
    "50%d",
    "%03d",
    "two words",
    "é日本😀",
    "~home",
    "clip~1",
    "-dash",
    "a'b\"c",
    "[x]",
    "a|b",
]


@pytest.mark.parametrize("kind", ["mp4", "gif", "folder"])
@pytest.mark.parametrize("name", NAMES)
def test_names_are_taken_as_they_are(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    if kind == "folder":
        path = tmp_path / name
        path.mkdir()
        for number, frame in enumerate(numbered(6)):
            Image.fromarray(frame).save(path / f"{name}{number}.png")
    else:
        path = tmp_path / f"{name}.{kind}"
        encode(path, numbered(6), *H264, rate=25) if kind == "mp4" else write_animated(path)
    for given in (path.name, str(path), path):
        assert numbers_of(read_video(given, 6)) == list(range(6))


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_animated(tmp_path / "clip.gif")
    assert numbers_of(read_video("~/clip.gif", 6)) == list(range(6))
    with pytest.raises(VideoNotFoundError, match="no video at ~no-such-person/clip"):
        read_video("~no-such-person/clip.gif")


# Folders of pictures


def write_numbered(folder, names, **options):
    folder.mkdir(exist_ok=True)
    for name, frame in zip(names, numbered(len(names)), strict=True):
        Image.fromarray(frame).save(folder / name, **options)
    return folder


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([f"{number}.png" for number in range(1, 13)], id="plain"),
        pytest.param([f"frame_{number}.png" for number in range(8, 13)], id="prefix"),
        pytest.param([f"{number:03}.png" for number in range(95, 106)], id="zeros"),
        pytest.param(["take2_9.png", "take2_10.png", "take10_1.png"], id="two-numbers"),
        pytest.param(["1.png", "2.jpg", "3.tif", "4.bmp", "10.webp"], id="kinds"),
        pytest.param(["a.png", "b.PNG", "c.Png"], id="capitals"),
    ],
)
def test_numbers_sort_as_numbers(tmp_path, names):
    folder = write_numbered(tmp_path / "clip", names)
    assert numbers_of(read_video(folder, len(names))) == list(range(len(names)))


@pytest.mark.parametrize("suffix", sorted(PICTURE_SUFFIXES))
def test_every_kind_of_picture(tmp_path, suffix):
    skip_unwritten(suffix)
    form = {".avifs": "AVIF", ".apng": "PNG"}.get(suffix)
    corners().save(tmp_path / f"1{suffix}", **({"format": form} if form else {}), **quality(suffix))
    if suffix in (".pbm",):
        assert read_video(tmp_path, 1).shape == (1, 64, 96, 3)
    else:
        assert_corners(read_video(tmp_path, 1)[0], CORNERS, 8 if suffix == ".gif" else 4)


def quality(suffix):
    return {"quality": 100} if suffix in (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".avifs") else {}


def test_other_and_hidden_files_are_passed_over_and_said(tmp_path):
    folder = write_numbered(tmp_path / "clip", ["1.png", "2.png", "10.png"])
    (folder / "._1.png").write_bytes(b"\0\5\x16\7Mac OS X")
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "notes.md").write_text("")
    (folder / "raw.heic").write_bytes(b"\0")
    (folder / "more").mkdir()
    with pytest.warns(UserWarning, match=r"clip: passed over \._1\.png, more, notes\.md, raw\.heic\."):
        assert numbers_of(read_video(folder, 3)) == [0, 1, 2]


def test_pictures_of_several_sizes_need_a_size(tmp_path):
    for name, size in {"1.png": (96, 64), "2.jpg": (48, 32)}.items():
        corners(*size).save(tmp_path / name)
    with pytest.raises(VideoError, match="differ in size; give height and width"):
        read_video(tmp_path, 2)
    assert read_video(tmp_path, 2, height=32, width=32).shape == (2, 32, 32, 3)


def test_an_animation_among_pictures_gives_one_frame_and_says_so(tmp_path):
    folder = write_numbered(tmp_path / "clip", ["1.png"])
    images = [Image.fromarray(frame) for frame in numbered(3, first=1)]
    images[0].save(folder / "2.gif", save_all=True, append_images=images[1:])
    with pytest.warns(UserWarning, match=r"2\.gif is animated; only its first frame was used"):
        assert numbers_of(read_video(folder, 2)) == [0, 1]


def test_folders_of_other_things_say_what_they_hold(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "clip.mp4").write_bytes(b"")
    with pytest.raises(VideoError, match="holds no pictures but videos: name one of them"):
        read_video(tmp_path / "videos", 1)
    write_numbered(tmp_path / "takes", [])
    write_numbered(tmp_path / "takes" / "one", ["1.png"])
    with pytest.raises(VideoError, match="holds no pictures but folders of pictures: name one of them"):
        read_video(tmp_path / "takes", 1)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks at open files as Linux lists them")
def test_no_file_stays_open(tmp_path):
    video, picture = encode(tmp_path / "clip.mp4", numbered(24), *H264), tmp_path / "clip.gif"
    write_animated(picture)
    before = len(os.listdir("/proc/self/fd"))
    for path in (video, picture) * 3:
        read_video(path, 2)
    assert len(os.listdir("/proc/self/fd")) <= before
