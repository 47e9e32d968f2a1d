"""Captions in the encodings that editors write, and texts that only seem to say something."""

from pathlib import Path

import pytest

from diffusers_motion_embed import CaptionError
from diffusers_motion_embed.training.captions import read_caption, visible


TEXT = "a red bar \u2014 caf\u00e9, \u65e5\u672c, \U0001f600"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_every_unicode_encoding(tmp_path, encoding):
    (tmp_path / "clip.txt").write_bytes(f"  {TEXT}\r\n".encode(encoding))
    assert read_caption(tmp_path / "clip.mp4") == TEXT


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_both_orders_of_utf_16(tmp_path, mark):
    encoded = TEXT.encode("utf-16-le" if mark == b"\xff\xfe" else "utf-16-be")
    (tmp_path / "clip.txt").write_bytes(mark + encoded)
    assert read_caption(tmp_path / "clip.mp4") == TEXT


@pytest.mark.parametrize(
    "data",
    [
        pytest.param("caf\u00e9".encode("cp1252"), id="cp1252"),
        pytest.param("\u65e5\u672c\u306e\u9ed2".encode("shift-jis"), id="shift-jis"),
        pytest.param("\u043a\u0440\u0430\u0441\u043d\u044b\u0439".encode("cp1251"), id="cp1251"),
        pytest.param("a red bar".encode("utf-16-le"), id="utf-16-without-mark"),
        pytest.param(b"\xff\xfea", id="half-a-character"),
    ],
)
def test_other_encodings_are_refused_with_the_file(tmp_path, data):
    (tmp_path / "clip.txt").write_bytes(data)
    with pytest.raises(CaptionError, match=r"clip\.txt is not UTF-.* save it as UTF-8"):
        read_caption(tmp_path / "clip.mp4")


INVISIBLE = [
    "",
    " \n\t",
    "\ufeff",
    "\u200b\u200d",
    "\u2060",
    "\u00ad",
    "\u3164",
    "\u2800",
    "\u202e\u2066",
    "\u00a0\u3000",
    "\x1f",
]


@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
def test_text_that_shows_nothing_is_no_prompt(tmp_path, text):
    (tmp_path / "clip.txt").write_text(text, encoding="utf-8")
    with pytest.raises(CaptionError, match=r"No prompt for .*clip\.mp4: .*clip\.txt holds no text"):
        read_caption(tmp_path / "clip.mp4")
    assert visible(f"{text}a red bar{text}") == "a red bar"


def test_what_joins_characters_inside_a_text_stays():
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f466"
    assert visible(f"{family} on snow") == f"{family} on snow"


@pytest.mark.parametrize(
    ("video", "caption"),
    [
        ("clip.mp4", "clip.txt"),
        ("take.1.mp4", "take.1.txt"),
        ("clip.GIF", "clip.txt"),
        ("clip.m2ts", "clip.txt"),
        ("v1.5", "v1.5.txt"),
    ],
)
def test_files_have_captions_of_their_names(tmp_path, video, caption):
    (tmp_path / caption).write_text("a red bar")
    assert read_caption(tmp_path / video) == "a red bar"


@pytest.mark.parametrize("name", ["take", "take.1", "take.mp4", "take.1.png"])
def test_folders_have_captions_of_their_whole_names(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / "take.txt").write_text("another's")
    (tmp_path / f"{name}.txt").write_text("its own")
    assert read_caption(tmp_path / name) == "its own"


def test_a_missing_caption_is_told(tmp_path):
    with pytest.raises(CaptionError, match=r"No prompt for .*clip\.mp4: .*clip\.txt does not exist"):
        read_caption(Path(tmp_path) / "clip.mp4")
