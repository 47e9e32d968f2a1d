"""Visitors' files: apart from each other, bounded, and gone after a while."""

import os
import time

import pytest

from diffusers_motion_embed.storage.files import WEIGHTS_NAME
from examples.app.visitors import MAX_MOTIONS, LibraryError, Visitors, checked, new_key


def add(visitor, name, size=10):
    folder = visitor.new_motion(name)
    folder.mkdir()
    (folder / WEIGHTS_NAME).write_bytes(b"x" * size)
    return folder


def test_visitors_do_not_see_each_other(visitors):
    alice, bob = (visitors.of(new_key()) for _ in range(2))
    add(alice, "dance")
    assert alice.names() == ["dance"]
    assert bob.names() == []
    for name in (
        "dance",
        f"../../{alice.folder.name}/motions/dance",
        str(alice.folder / "motions/dance"),
        "..",
        "",
        None,
    ):
        with pytest.raises(LibraryError):
            bob.motion(name)


@pytest.mark.parametrize("key", [None, "", "../../etc", 7, "x" * 31])
def test_a_key_that_could_be_guessed_is_refused(visitors, key):
    with pytest.raises(LibraryError, match="Load it again"):
        visitors.of(key)


def test_the_same_key_finds_its_motions_again(visitors, key):
    add(visitors.of(key), "dance")
    again = Visitors(visitors.root, keep_seconds=3600, max_bytes=1e9)
    assert again.of(key).names() == ["dance"]


@pytest.mark.parametrize("name", ["../../x", "a/b", "...", "", "a" * 300, "Tänze & <b>mehr</b>"])
def test_names_stay_in_the_folder(visitors, key, name):
    visitor = visitors.of(key)
    first, second = add(visitor, name), add(visitor, name)
    assert first.parent == second.parent == visitor.folder / "motions"
    assert first != second
    assert len(visitor.names()) == 2


def test_a_full_library_says_so(visitors, key):
    visitor = visitors.of(key)
    for _ in range(MAX_MOTIONS):
        add(visitor, "dance")
    with pytest.raises(LibraryError, match=f"holds {MAX_MOTIONS} motions"):
        visitor.new_motion("dance")
    visitor.delete("dance")
    visitor.new_motion("dance")


def test_what_is_old_goes(visitors, key):
    visitor, other = visitors.of(key), visitors.of(new_key())
    upload = visitors.temporary / "upload"
    upload.mkdir()
    for path in (visitor.folder, upload):
        os.utime(path, (0, time.time() - 3 * 3600))
    visitors.sweep()
    assert not visitor.folder.exists()
    assert not upload.exists()
    assert other.folder.exists()


def test_what_is_too_much_goes_the_oldest_first(visitors):
    visitors.max_bytes = 250
    folders = []
    for hours in (3, 2, 1):
        visitor = visitors.of(new_key())
        add(visitor, "dance", size=100)
        os.utime(visitor.folder, (0, time.time() - hours * 60))
        folders.append(visitor.folder)
    visitors.sweep()
    assert [folder.exists() for folder in folders] == [False, True, True]


@pytest.mark.parametrize("value", [0, -1, 1.5, None, float("nan"), float("inf"), 101])
def test_numbers_of_forms_are_checked(value):
    with pytest.raises(ValueError, match="steps"):
        checked("steps", value, 100)
    assert checked("steps", 100.0, 100) == 100
