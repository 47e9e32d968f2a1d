"""Many embeddings, one for each of a list of reference videos, shared out to processes that work alone."""

import json
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object

from diffusers_motion_embed.errors import MotionEmbeddingError, VideoError
from diffusers_motion_embed.storage.files import read_embedding


logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = {".avi", ".gif", ".mkv", ".mov", ".mp4", ".webm"}


@dataclass(frozen=True)
class Job:
    """One embedding to learn.

    Args:
        name: Of its folder.
        video: A video file, or a folder of images.
        prompt: What the video shows.
    """

    name: str
    video: Path
    prompt: str


def read_caption(video: Path) -> str:
    """The prompt of a video: the text file beside it, `clip.txt` for `clip.mp4`.

    Raises:
        VideoError: If there is none, or nothing in it.
    """
    path = video.with_suffix(".txt")
    text = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
    if not text:
        raise VideoError(f"No prompt for {video}: give one, or write what the video shows to {path}.")
    return text


def read_jobs(source: Path) -> list[Job]:
    """The jobs of a folder or a list.

    Args:
        source: A folder of videos with captions beside them, or a file of JSON lines, {"video": ..., "prompt": ...,
            "name": ...}: paths from the file's folder; without a prompt the caption beside the video is used, without
            a name the video's.

    Raises:
        VideoError: If there is no job, one is of no sense, or two have one name.
    """
    if source.is_dir():
        videos = sorted(path for path in source.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
        jobs = [Job(video.stem, video, read_caption(video)) for video in videos]
    elif source.is_file():
        lines = enumerate(source.read_text(encoding="utf-8").splitlines(), 1)
        jobs = [_parse_job(line, f"{source}, line {number}", source.parent) for number, line in lines if line.strip()]
    else:
        raise VideoError(f"There is no folder or list of videos at {source}.")
    if not jobs:
        raise VideoError(
            f"{source} holds no videos; expected files {', '.join(sorted(VIDEO_SUFFIXES))} or JSON lines."
        )
    names = [job.name for job in jobs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise VideoError(
            f"{source} names {', '.join(repeated)} more than once; give every embedding a name of its own."
        )
    return jobs


def run_jobs(jobs: list[Job], output_dir: Path, train: Callable[[Job, Path], None], state: Any) -> dict[str, str]:
    """Do this process's share of the jobs, and learn how all went.

    What is done already is skipped, and a job that fails does not stop the others.

    Args:
        jobs: All of them.
        output_dir: Folder for the embeddings' folders.
        train: Does a job, whose embedding it writes to the given folder.
        state: Of accelerate, a `PartialState`.

    Returns:
        By name of every process's jobs: "trained", "done before", or what went wrong.
    """
    results = {}
    for job in jobs[state.process_index :: state.num_processes]:
        folder = output_dir / job.name
        if is_done(folder):
            results[job.name] = "done before"
            continue
        try:
            train(job, folder)
            results[job.name] = "trained"
        except Exception as error:  # whatever it is, the others can go on
            logger.error("%s failed:\n%s", job.name, traceback.format_exc())
            results[job.name] = f"{type(error).__name__}: {error}"
    return _gathered(results, state)


def is_done(folder: Path) -> bool:
    """Whether a folder holds a whole embedding."""
    try:
        read_embedding(folder)
    except (MotionEmbeddingError, OSError):
        return False
    return True


def _gathered(results: dict[str, str], state: Any) -> dict[str, str]:
    """The results of all processes."""
    if state.num_processes == 1:
        return results
    return {name: result for share in gather_object([results]) for name, result in share.items()}


def _parse_job(line: str, place: str, folder: Path) -> Job:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise VideoError(f"{place} is no JSON ({error}).") from error
    if not isinstance(row, dict) or not isinstance(row.get("video"), str):
        raise VideoError(f'{place} must be an object with "video" and, if need be, "prompt" and "name"; got {line}')
    unknown = sorted(set(row) - {"video", "prompt", "name"})
    if unknown or not all(isinstance(value, str) for value in row.values()):
        raise VideoError(f"{place}: expected texts under video, prompt and name; got {line}")
    video = folder / row["video"]
    name = row.get("name", video.stem)
    if not name or name in {".", ".."} or Path(name).name != name:
        raise VideoError(f"{place}: {name!r} must be the name of a folder.")
    return Job(name, video, row.get("prompt") or read_caption(video))
