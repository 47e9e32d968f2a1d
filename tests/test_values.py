"""Checks of what callers give."""

from pathlib import Path

import pytest

from diffusers_motion_embed.values import expanded, frames_in_words


def test_a_tilde_is_the_users_folder_wherever_there_is_such_a_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()  # as a shell, it does not look
    for given, found in {
        "~": tmp_path,
        "~/a/b": tmp_path / "a/b",
        "~no-such-person/a": Path("~no-such-person/a"),
        "a/~": Path("a/~"),
        ".": Path(),
    }.items():
        assert expanded(given) == expanded(Path(given)) == found
    with pytest.raises(ValueError, match="must not be an empty text"):
        expanded("")


def test_one_frame_is_one():
    assert [frames_in_words(number) for number in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
