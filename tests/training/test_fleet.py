"""Lists of videos, and what becomes of their jobs."""

import json

import pytest
from accelerate import PartialState
from PIL import Image

from diffusers_motion_embed import CaptionError
from diffusers_motion_embed.storage.files import write_embedding
from diffusers_motion_embed.training.fleet import Job, read_jobs, run_jobs
from tests.conftest import make_text_to_video


@pytest.fixture
def videos(tmp_path):
    for name in ("b.mp4", "a.gif"):
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
        (["{"], "line 1 is not JSON"),
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
    with pytest.raises(CaptionError, match=message):
        read_jobs(listed(videos, *rows))


def test_a_source_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CaptionError, match="no folder or list of videos"):
        read_jobs(tmp_path / "nowhere")


# Folders as people have them


def test_numbers_sort_as_numbers_and_what_is_passed_over_is_said(videos):
    for name in ("10.webm", "9.m4v", "._9.m4v", ".DS_Store", "list.csv", "orphan.txt", "clip.mp4~"):
        (videos / name).write_bytes(b"")
    Image.new("RGB", (8, 8)).save(videos / "preview.webp")
    for name in ("9", "10", "b"):
        (videos / f"{name}.txt").write_text("a bar")
    with pytest.warns(UserWarning, match=r"passed over \._9\.m4v, clip\.mp4~, list\.csv, orphan\.txt, preview\.webp"):
        jobs = read_jobs(videos)
    assert [job.name for job in jobs] == ["9", "10", "a", "b"]


def test_a_folder_of_folders_of_pictures_is_a_list_of_clips(tmp_path):
    for name in ("take.2", "take.10", "empty"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.txt").write_text(f"a clip of {name}")
    for name in ("take.2", "take.10"):
        Image.new("RGB", (8, 8)).save(tmp_path / name / "1.png")
    with pytest.warns(UserWarning, match="passed over empty, empty.txt"):
        jobs = read_jobs(tmp_path)
    assert jobs == [Job(name, tmp_path / name, f"a clip of {name}") for name in ("take.2", "take.10")]


def test_all_captions_that_are_missing_are_named_at_once(videos):
    for caption in videos.glob("*.txt"):
        caption.unlink()
    with pytest.raises(CaptionError) as raised:
        read_jobs(videos)
    assert ["a.gif" in line or "b.mp4" in line for line in str(raised.value).splitlines()] == [True, True]


def test_a_folder_of_pictures_is_one_clip_and_no_list(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    with pytest.raises(CaptionError, match="holds pictures, which are one clip: give it as --reference_video"):
        read_jobs(tmp_path)


# Lists in the encodings and with the characters that editors and exports leave


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lists_of_every_unicode_encoding(videos, encoding, end):
    prompt = "a ring\u2028on \u0085 snow \U0001f600"
    text = end.join(json.dumps({"video": name, "prompt": prompt}, ensure_ascii=False) for name in ("a.gif", "b.mp4"))
    mark = "\ufeff" if encoding.endswith("bom") else ""
    (videos / "list.jsonl").write_bytes((mark + text + end).encode(encoding.removesuffix("-bom")))
    assert read_jobs(videos / "list.jsonl") == [
        Job("a", videos / "a.gif", prompt),
        Job("b", videos / "b.mp4", prompt),
    ]


def test_the_line_of_a_fault_is_named(videos):
    path = listed(videos, {"video": "a.gif"}, "", "{'video': 'b.mp4'}")
    with pytest.raises(CaptionError, match=r"list\.jsonl, line 3 is not JSON"):
        read_jobs(path)
    path = listed(videos, {"video": "a.gif"}, {"video": "b.mp4", "prompt": "\u200b "})
    with pytest.raises(CaptionError, match=r"list\.jsonl, line 2: No prompt for .*b\.mp4"):
        read_jobs(path)


def test_a_home_folder_in_a_list(videos, monkeypatch):
    monkeypatch.setenv("HOME", str(videos))
    (videos / "lists").mkdir()
    path = listed(videos / "lists", {"video": "~/a.gif"})
    assert read_jobs(path) == [Job("a", videos / "a.gif", "a ring")]


def test_a_job_that_failed_after_its_embedding_was_written_is_done_again(tmp_path, make_embedding):
    embedding, runs = make_embedding(make_text_to_video().unet), []

    def train(job, folder):
        write_embedding(folder, embedding)
        runs.append(job.name)
        if len(runs) == 1:
            raise RuntimeError("no memory for the validation video")
        (folder / "report.html").touch()

    jobs = [Job("one", tmp_path / "one.mp4", "a ring")]
    results = [run_jobs(jobs, tmp_path, train, PartialState(), ["report.html"])["one"] for _ in range(3)]
    assert results == ["RuntimeError: no memory for the validation video", "trained", "done before"]
    assert run_jobs(jobs, tmp_path, train, PartialState()) == {"one": "done before"}
