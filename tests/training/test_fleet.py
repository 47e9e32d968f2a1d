"""Lists of videos, before anything is trained."""

import json

import pytest

from diffusers_motion_embed import VideoError
from diffusers_motion_embed.training.fleet import Job, read_jobs


@pytest.fixture
def videos(tmp_path):
    for name in ("b.mp4", "a.gif", "notes.md"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a.txt").write_text(" a ring \n")
    return tmp_path


def listed(folder, *rows):
    path = folder / "list.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_a_folder_gives_its_videos_with_the_captions_beside_them(videos):
    (videos / "b.txt").write_text("a bar")
    assert read_jobs(videos) == [Job("a", videos / "a.gif", "a ring"), Job("b", videos / "b.mp4", "a bar")]


def test_a_list_may_name_prompt_and_embedding(videos):
    path = listed(videos, {"video": "a.gif"}, "", {"video": "b.mp4", "prompt": "a bar", "name": "other"})
    assert read_jobs(path) == [Job("a", videos / "a.gif", "a ring"), Job("other", videos / "b.mp4", "a bar")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["{"], "line 1 is no JSON"),
        ([[1]], 'line 1 must be an object with "video"'),
        ([{"prompt": "a bar"}], 'must be an object with "video"'),
        ([{"video": "a.gif", "speed": "2"}], "expected texts under video, prompt and name"),
        ([{"video": "a.gif", "prompt": 3}], "expected texts under"),
        ([{"video": "a.gif"}, {"video": "b.mp4"}], r"No prompt for .*b\.mp4"),
        ([{"video": "a.gif", "name": "../a"}], "'../a' must be the name of a folder"),
        ([{"video": "a.gif", "name": ".."}], "must be the name of a folder"),
        ([{"video": "a.gif"}, {"video": "a.gif"}], "names a more than once"),
        ([], "holds no videos"),
    ],
)
def test_lists_that_make_no_sense_are_told(videos, rows, message):
    with pytest.raises(VideoError, match=message):
        read_jobs(listed(videos, *rows))


def test_a_source_that_is_not_there_is_told(tmp_path):
    with pytest.raises(VideoError, match="no folder or list of videos"):
        read_jobs(tmp_path / "nowhere")
