"""The sheet and the animation of what would be learned."""

import numpy as np
import pytest
from PIL import Image

from diffusers_motion_embed import read_reference, read_video
from examples.look_at_reference import main
from tests.video.made import H264, encode, ffmpeg, numbered, numbers_of


def test_the_animation_shows_the_frames_that_would_be_learned(tmp_path, capsys):
    plain = encode(tmp_path / "plain.mp4", numbered(48), "-vf", "setsar=2/1", *H264, rate=24)
    ffmpeg("-display_hflip", "-i", plain, "-c", "copy", tmp_path / "clip.mp4")
    arguments = ["--reference_fps", "8", "--start_seconds", "0.5", "--num_frames", "11", "--output_dir", str(tmp_path)]
    main([str(tmp_path / "clip.mp4"), *arguments])
    learned = read_reference(tmp_path / "clip.mp4", 11, fps=8, start_seconds=0.5)
    shown = read_video(tmp_path / "clip.gif", 11)
    assert shown.shape == learned.frames.shape == (11, 32, 128, 3)
    assert numbers_of(shown[:, :, ::-1]) == numbers_of(learned.frames[:, :, ::-1]) == list(range(12, 45, 3))
    assert read_reference(tmp_path / "clip.gif", 11).fps == pytest.approx(8, rel=0.05)
    sheet = np.asarray(Image.open(tmp_path / "clip.png"))
    assert sheet.shape[:2] == (2 * (18 + 32 + 4) + 4, 8 * (128 + 4) + 4)
    assert numbers_of(sheet[None, 22:54, 4:132][:, :, ::-1]) == [12]
    said = capsys.readouterr().out
    for words in (
        "11 frames of 128 x 32 at 8 per second",
        "shown as 128 x 32, 24 frames per second",
        "pixels made square",
    ):
        assert words in said
    assert "turned or mirrored" in said
    assert f"{tmp_path / 'clip.gif'}" in said


def test_folders_and_large_frames(tmp_path):
    folder = tmp_path / "take.1"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (960, 640), (number * 60,) * 3).save(folder / f"{number}.png")
    main([str(folder), "--num_frames", "3", "--output_dir", str(tmp_path / "out")])
    assert Image.open(tmp_path / "out" / "take.1.gif").size == (320, 213)
    assert Image.open(tmp_path / "out" / "take.1.png").width == 3 * 196 + 4


def test_two_videos_of_one_name_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "a/clip.mp4"), str(tmp_path / "b/clip.gif"), "--output_dir", str(tmp_path)])
    assert "a name of its own" in capsys.readouterr().err


def test_what_cannot_be_read_is_told_and_the_others_are_shown(tmp_path, capsys):
    encode(tmp_path / "good.mp4", numbered(16), *H264)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(SystemExit, match=r"1 of 2 could not be read\."):
        main([str(tmp_path / "bad.mp4"), str(tmp_path / "good.mp4"), "--output_dir", str(tmp_path)])
    assert "bad.mp4 is not a video that can be read" in capsys.readouterr().out
    assert (tmp_path / "good.gif").is_file()
