"""Which frames are chosen: those on screen at the moments asked for, whatever the file's rate."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from diffusers_motion_embed import VideoError, read_reference, read_video
from diffusers_motion_embed.video import containers, reading, times
from tests.versions import skip_unwritten
from tests.video.made import H264, encode, ffmpeg, numbered, numbers_of


def write_uneven(path, times, *options):
    """A video whose numbered frames come on screen at `times`, in seconds."""
    moments = "+".join(f"eq(N,{number})*{time}" for number, time in enumerate(times))
    filters = (
        "-vf",
        f"settb=1/10000,setpts='({moments})/TB'",
        "-fps_mode",
        "passthrough",
        "-enc_time_base",
        "1/10000",
    )
    return encode(path, numbered(len(times)), *filters, *(options or H264))


def assert_on_screen(clip, times, asked, half):
    """Each frame comes on screen at most half a frame after the asked moment, and no other in between."""
    shown = numbers_of(clip.frames)
    for moment, number in zip(asked, shown, strict=True):
        assert times[number] <= moment + half + 1e-3, (moment, number)
        assert number + 1 == len(times) or times[number + 1] > moment + half - 1e-3, (moment, number)
    assert clip.times == pytest.approx([times[number] for number in shown], abs=2e-3)


RATES = [24, "24000/1001", 25, "30000/1001", 30, 50, 60]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("rate", RATES)
def test_even_sources_are_read_frame_by_frame_and_at_any_rate(tmp_path, rate, suffix):
    path = encode(tmp_path / f"clip.{suffix}", numbered(120), *H264, rate=rate)
    rate = float(Fraction(rate))
    clip = read_reference(path, 120)
    assert numbers_of(clip.frames) == list(range(120))
    assert clip.fps == pytest.approx(rate, rel=1e-3)
    assert clip.warnings == ()
    assert numbers_of(read_video(path, 5, start=70, stride=10)) == [70, 80, 90, 100, 110]
    for fps in (8, 12.5):
        clip = read_reference(path, 12, fps=fps, start_seconds=0.3)
        asked = 0.3 + np.arange(12) / fps
        assert clip.fps == fps
        assert_on_screen(clip, np.arange(120) / rate, asked, 0.5 / rate)
        assert np.abs(np.array(clip.times) - asked).max() <= 0.5 / rate + 1e-3


# A screen recording: ten frames in a third of a second, a pause, three frames, a pause.
RECORDED = [*(number / 30 for number in range(10)), 1.5, 1.6, 1.7, 3.0, 3.5]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm"])
def test_uneven_sources_are_read_evenly(tmp_path, suffix):
    options = ("-c:v", "libvpx-vp9", "-crf", 4, "-b:v", 0) if suffix == "webm" else ()
    path = write_uneven(tmp_path / f"clip.{suffix}", RECORDED, *options)
    with pytest.warns(UserWarning, match=r"clip\.\w+: frames come at uneven times, \d+ to \d+ ms apart; read evenly"):
        read_video(path, 8)
    clip = read_reference(path, 8)
    assert_on_screen(clip, RECORDED, np.arange(8) / clip.fps, 0.5 / clip.fps)
    clip = read_reference(path, 24, fps=8)
    assert not any("uneven" in warning for warning in clip.warnings)  # but noted
    assert any("uneven" in note for note in clip.notes)
    assert_on_screen(clip, RECORDED, np.arange(24) / 8, 0.5 / 8)


def test_a_pause_that_is_not_over_at_the_end_is_told(tmp_path):
    path = write_uneven(tmp_path / "clip.mp4", [*(number / 30 for number in range(10)), 2.0, 2.1])
    assert any("uneven" in note for note in read_reference(path, 12, fps=8).notes)


@pytest.fixture
def two_pictures(tmp_path):
    """The first stays for 0.1 seconds and the second for 3."""
    images = [Image.fromarray(frame) for frame in numbered(2)]
    images[0].save(tmp_path / "two.gif", save_all=True, append_images=images[1:], duration=[100, 3000])
    return tmp_path / "two.gif"


@pytest.mark.parametrize("num_frames", [None, 24, 20], ids=["all", "to-the-end", "a-part"])
def test_a_long_last_picture_is_told_with_its_length(two_pictures, num_frames):
    clip = read_reference(two_pictures, num_frames, fps=8)
    assert clip.notes == ("frames come at uneven times, 100 to 3000 ms apart; read evenly, at 8 per second",)


def test_even_frames_of_an_uneven_source_are_compared_with_its_average(two_pictures):
    clip = read_reference(two_pictures, 2, fps=10)
    assert clip.notes == (
        "frames come at uneven times, 100 ms apart here and 1550 ms on average; read evenly, at 10 per second",
    )


def test_the_summary_says_how_long_a_clip_is(two_pictures):
    summary = read_reference(two_pictures, 36, fps=12).summary()
    assert "  3.00 seconds, with frames that come at second 0.00 to 0.10\n" in summary


ANIMATED_TIMES = [0.0, 0.04, 0.08, 0.6, 0.7, 1.2, 1.24, 1.3]


@pytest.mark.parametrize("suffix", ["gif", "webp", "apng", "avif"])
def test_animated_pictures_are_read_by_their_times(tmp_path, suffix):
    skip_unwritten(suffix)
    images = [Image.fromarray(frame) for frame in numbered(8)]
    lengths = [round(1000 * length) for length in np.diff([*ANIMATED_TIMES, 2.0])]
    options = {"webp": {"lossless": True}, "avif": {"quality": 95}}.get(suffix, {})
    path = tmp_path / f"clip.{suffix}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=lengths, **options)
    clip = read_reference(path, 16, fps=8)
    assert_on_screen(clip, ANIMATED_TIMES, np.arange(16) / 8, 0.5 / 8)
    clip = read_reference(path, 8)
    assert clip.fps == pytest.approx(4)
    assert clip.source_seconds == pytest.approx(2, abs=0.01)
    assert any("uneven" in warning for warning in clip.warnings)


def test_frames_of_a_gif_without_a_time_stay_as_long_as_in_browsers(tmp_path):
    images = [Image.fromarray(frame) for frame in numbered(8)]
    images[0].save(tmp_path / "fast.gif", save_all=True, append_images=images[1:], duration=0)
    assert read_reference(tmp_path / "fast.gif", 8).fps == 10


def test_a_recording_that_does_not_begin_at_zero(tmp_path):
    path = encode(tmp_path / "clip.ts", numbered(48), *H264, "-output_ts_offset", 7.5, rate=24)
    clip = read_reference(path, 48)
    assert numbers_of(clip.frames) == list(range(48))
    assert clip.times[0] == 0
    assert numbers_of(read_video(path, 4, start_seconds=1, fps=8)) == [24, 27, 30, 33]


def test_a_trimmed_clip_begins_where_its_edit_list_says(tmp_path):
    """What phones write when a clip is cut: all frames since the key frame are stored, and some not shown."""
    path = encode(tmp_path / "whole.mp4", numbered(96), *H264, "-g", 96, "-bf", 2, rate=24)
    ffmpeg("-ss", 1, "-i", path, "-c", "copy", tmp_path / "cut.mp4")
    shown = numbers_of(read_video(tmp_path / "cut.mp4", 48, fps=24))
    assert shown == list(range(24, 72))


# Seconds


@pytest.fixture
def clip24(tmp_path):
    return encode(tmp_path / "clip.mp4", numbered(96), *H264, rate=24)


def test_length_and_start_in_seconds(clip24):
    clip = read_reference(clip24, fps=8, start_seconds=1, num_seconds=2)
    assert clip.frames.shape[0] == 16
    assert clip.source_seconds == pytest.approx(4)
    assert numbers_of(clip.frames) == list(range(24, 72, 3))
    assert numbers_of(read_video(clip24, num_seconds=0.5)) == list(range(12))
    spread = read_reference(clip24, 10, num_seconds=2.5)
    assert spread.fps == 4
    assert numbers_of(spread.frames) == list(range(0, 60, 6))


@pytest.mark.parametrize("name", ["mp4", "webm", "ts"])
def test_all_frames_are_read_where_no_number_is_given(long_clips, name):
    path = long_clips(name)
    assert numbers_of(read_video(path, start=500)) == [number % 256 for number in range(500, 720)]
    assert len(read_video(path, None, fps=4)) == 120


def test_all_frames_of_animated_pictures_and_folders(tmp_path):
    images = [Image.fromarray(frame) for frame in numbered(8)]
    images[0].save(tmp_path / "clip.gif", save_all=True, append_images=images[1:], duration=100)
    assert numbers_of(read_video(tmp_path / "clip.gif", stride=2)) == [0, 2, 4, 6]
    for number, image in enumerate(images):
        image.save(tmp_path / f"{number}.png")
    (tmp_path / "clip.gif").unlink()
    assert numbers_of(read_video(tmp_path)) == list(range(8))


def test_the_rate_of_the_clip_counts_the_stride(clip24):
    assert read_reference(clip24, 4, stride=3).fps == pytest.approx(8)
    assert read_reference(clip24, 4, stride=2, fps=8).fps == 4


def test_a_higher_rate_repeats_frames_and_says_so(clip24):
    with pytest.warns(UserWarning, match="there are 24 frames per second, so that some are used more than once"):
        assert numbers_of(read_video(clip24, 4, fps=48)) == [0, 0, 1, 1]
    with pytest.warns(UserWarning, match="some are used more than once"):  # also where it is one frame throughout
        assert numbers_of(read_video(clip24, 4, fps=1000)) == [0, 0, 0, 0]


def test_a_folder_has_the_rate_that_is_given(tmp_path):
    for number, frame in enumerate(numbered(24)):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    clip = read_reference(tmp_path, 24)
    assert (clip.fps, clip.source_seconds) == (None, None)
    clip = read_reference(tmp_path, fps=8, start_seconds=1, num_seconds=2, stride=2)
    assert clip.fps == 4
    assert numbers_of(clip.frames) == list(range(8, 24, 2))
    with pytest.raises(VideoError, match="Pictures have no times: give fps"):
        read_video(tmp_path, 4, start_seconds=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_frames": 4, "start": 1, "start_seconds": 1}, "not both"),
        ({"num_frames": 4, "num_seconds": 1, "fps": 8}, "say the rate already"),
        ({"num_frames": 4, "num_seconds": 1, "stride": 2}, "say the rate already"),
        ({"num_frames": 4, "fps": 0}, "fps must be None or a number of more than 0"),
        ({"num_frames": 4, "fps": "8"}, "fps must be None or a number"),
        ({"num_frames": 4, "fps": float("nan")}, "fps must be None or a number"),
        ({"num_frames": 4, "start_seconds": -1}, "start_seconds must be None or a number of at least 0"),
        ({"num_seconds": 0}, "num_seconds must be None or a number of more than 0"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(clip24, arguments, message):
    with pytest.raises(ValueError, match=message):
        read_video(clip24, **arguments)


def test_seconds_beyond_the_end_are_told(clip24):
    message = r"16 frames, from second 3\.00 to 4\.88, .* only 8 could be read of the 96 that it has"
    with pytest.raises(VideoError, match=message):
        read_video(clip24, 16, fps=8, start_seconds=3)


def test_one_frame_is_told_as_one(clip24):
    assert "clip.mp4: 1 frame of 64 x 32" in read_reference(clip24, 1).summary()
    with pytest.raises(VideoError, match=r"too short: 1 frame, from second 5\.00 to 5\.00, was asked for"):
        read_reference(clip24, 1, start_seconds=5)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        pytest.param({"fps": 10000.0}, "40000 frames at 10000 per second", id="all"),
        pytest.param({"fps": 20000.0, "stride": 2}, "40000 frames at 10000 per second", id="stride"),
        pytest.param({"fps": 10000.0, "num_seconds": 3}, "30000 frames at 10000 per second", id="seconds"),
        pytest.param({"num_seconds": 3000}, "72000 frames at 24 per second", id="rate-of-the-file"),
        pytest.param({"num_frames": 20001}, "20001 frames at 24 per second", id="number"),
    ],
)
def test_more_frames_than_one_clip_can_be_are_refused_before_they_are_read(clip24, arguments, count, monkeypatch):
    monkeypatch.setattr(reading, "frames_on_screen", None)
    with pytest.raises(VideoError, match=rf"clip\.mp4: {count} are too many for one clip, which has 20000 at most"):
        read_reference(clip24, **arguments)


@pytest.fixture
def bare_stream(tmp_path):
    """48 frames in a file that does not say how many there are."""
    return encode(tmp_path / "clip.h264", numbered(48), *H264, rate=24)


@pytest.mark.parametrize("most", [48, 47])
def test_where_the_number_of_frames_is_unknown_they_are_counted(bare_stream, most, monkeypatch):
    monkeypatch.setattr(times, "MOST_FRAMES", most)
    if most == 48:
        assert numbers_of(read_video(bare_stream)) == list(range(48))
    else:
        with pytest.raises(VideoError, match="48 frames at 25 per second are too many"):
            read_video(bare_stream)


# Seeking


SPARSE = ("-c:v", "libx264", "-crf", 12, "-pix_fmt", "yuv420p", "-g", 48)
WRITERS = {
    "mp4": ("mp4", SPARSE),
    "b-frames.mp4": ("mp4", (*SPARSE, "-bf", 3, "-x264opts", "open-gop=1")),
    "mkv": ("mkv", SPARSE),
    "hevc.mp4": ("mp4", ("-c:v", "libx265", "-x265-params", "log-level=error:keyint=48:open-gop=1", "-tag:v", "hvc1")),
    "webm": ("webm", ("-c:v", "libvpx-vp9", "-crf", 12, "-b:v", 0, "-g", 48, "-deadline", "realtime", "-cpu-used", 8)),
    "ts": ("ts", SPARSE),
    "avi": ("avi", ("-c:v", "mpeg4", "-q:v", 2, "-g", 48)),
    "mpg": ("mpg", ("-c:v", "mpeg2video", "-q:v", 2, "-g", 48)),
    "flv": ("flv", SPARSE),
    "intra.mov": ("mov", ("-c:v", "mjpeg", "-q:v", 2)),
}


@pytest.fixture(scope="module")
def long_clips(tmp_path_factory):
    """Paths of long clips by name, written when they are first asked for."""
    folder, paths = tmp_path_factory.mktemp("long"), {}

    def get(name):
        if name not in paths:
            suffix, options = WRITERS[name]
            frames = np.concatenate([numbered(256), numbered(256), numbered(208)])
            paths[name] = encode(folder / f"{name.split('.')[0]}-long.{suffix}", frames, *options, rate=24)
        return paths[name]

    return get


@pytest.mark.parametrize("name", WRITERS)
def test_late_frames_are_the_same_by_seeking(long_clips, name):
    path = long_clips(name)
    for start in (47, 48, 49, 500, 600, 703):
        frames = read_video(path, 17, start=start)
        assert numbers_of(frames) == [number % 256 for number in range(start, start + 17)], start
    assert numbers_of(read_video(path, 3, start=5, stride=330)) == [5, 335 - 256, 665 - 512]


@pytest.mark.parametrize("name", ["mp4", "mkv", "hevc.mp4", "webm"])
def test_only_what_lies_after_the_key_frame_is_decoded(long_clips, name, monkeypatch):
    decoded = []
    plain = containers.deinterlaced

    def counting(frames, notes):
        for frame in plain(frames, notes):
            decoded.append(frame)
            yield frame

    monkeypatch.setattr(containers, "deinterlaced", counting)
    read_video(long_clips(name), 8, start=648)
    assert len(decoded) <= 48 + 8 + 2
