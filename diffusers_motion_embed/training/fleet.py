"""Many embeddings, one for each of a list of reference videos, shared among processes that work alone."""

import json
import logging
import traceback
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object

from diffusers_motion_embed.errors import CaptionError, MotionEmbeddingError
from diffusers_motion_embed.storage.files import read_embedding
from diffusers_motion_embed.training.captions import caption_path, read_caption, read_text, visible
from diffusers_motion_embed.values import expanded
from diffusers_motion_embed.video.files import (
    VIDEO_SUFFIXES,
    clip_name,
    hidden_files,
    is_picture,
    is_video,
    list_folder,
    list_pictures,
    passed_over,
)
from diffusers_motion_embed.video.pictures import is_still


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """One embedding to learn.

    Args:
        name: Name of its folder.
        video: A video file, or a folder of images.
        prompt: What the video shows.
    """

    name: str
    video: Path
    prompt: str


def read_jobs(source: Path) -> list[Job]:
    """The jobs of a folder or a list.

    Args:
        source: A folder of videos and of folders of pictures, with captions beside them; or a file of JSON lines,
            {"video": ..., "prompt": ..., "name": ...}. Paths are relative to the file's folder. Without a prompt, the
            caption beside the video is used; without a name, the video's. Anything else in a folder is skipped with a
            warning.

    Raises:
        CaptionError: If there is no job, a job makes no sense, or two jobs have the same name.
    """
    source = expanded(source)
    if source.is_dir():
        jobs = _with_captions(list_clips(source))
    elif source.is_file():
        lines = enumerate(read_text(source).replace("\r\n", "\n").split("\n"), 1)
        jobs = [_parse_job(line, f"{source}, line {number}", source.parent) for number, line in lines if visible(line)]
    else:
        raise CaptionError(f"There is no folder or list of videos at {source}.")
    if not jobs:
        raise CaptionError(_nothing_in(source))
    names = [job.name for job in jobs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise CaptionError(
            f"{source} names {', '.join(repeated)} more than once; give every embedding a name of its own."
        )
    return jobs


def _with_captions(videos: list[Path]) -> list[Job]:
    jobs, errors = [], []
    for video in videos:
        try:
            jobs.append(Job(clip_name(video), video, read_caption(video)))
        except CaptionError as error:
            errors.append(str(error))
    if errors:  # all at once, so that they can be mended at once
        raise CaptionError("\n".join(errors))
    return jobs


def list_clips(folder: Path) -> list[Path]:
    """The videos of a folder and its folders of pictures, in order. A warning names what is skipped."""
    entries = list_folder(folder)
    clips = [entry for entry in entries if _is_clip(entry)]
    others = {*entries} - {*clips} - {caption_path(clip) for clip in clips} | {*hidden_files(folder, is_video)}
    if clips and others:
        warnings.warn(f"{folder}: {passed_over(others)}.", stacklevel=3)
    return clips


def _is_clip(entry: Path) -> bool:
    if entry.is_dir():
        return bool(list_pictures(entry))
    return is_video(entry) and not (is_picture(entry) and is_still(entry))


def _nothing_in(source: Path) -> str:
    if source.is_dir() and list_pictures(source):
        return f"{source} holds pictures, which are one clip: give it as --reference_video."
    expected = (
        f"videos ({', '.join(sorted(VIDEO_SUFFIXES))}) or folders of pictures" if source.is_dir() else "JSON lines"
    )
    return f"{source} holds no videos; expected {expected}."


def run_jobs(
    jobs: list[Job],
    output_dir: Path,
    train: Callable[[Job, Path], None],
    state: Any,
    results_beside: Collection[str] = (),
) -> dict[str, str]:
    """Do this process's share of the jobs, and collect the results of all.

    Finished jobs are skipped, and a job that fails does not stop the others.

    Args:
        jobs: All of them.
        output_dir: Folder for the embeddings' folders.
        train: Does one job and writes its embedding to the given folder.
        state: A `PartialState` of accelerate.
        results_beside: Names of the files that a finished job has beside its embedding.

    Returns:
        Results by name, for the jobs of all processes: "trained", "done before", or what went wrong.
    """
    results = {}
    for job in jobs[state.process_index :: state.num_processes]:
        folder = output_dir / job.name
        if is_done(folder, results_beside):
            results[job.name] = "done before"
            continue
        try:
            train(job, folder)
            results[job.name] = "trained"
        except Exception as error:  # whatever it is, the others can go on
            logger.error("%s failed:\n%s", job.name, traceback.format_exc())
            results[job.name] = f"{type(error).__name__}: {error}"
    return _gathered(results, state)


def is_done(folder: Path, results_beside: Collection[str] = ()) -> bool:
    """Whether a folder holds a whole embedding, and files of these names beside it."""
    try:
        read_embedding(folder)
    except (MotionEmbeddingError, OSError):
        return False
    return all((folder / name).is_file() for name in results_beside)


def _gathered(results: dict[str, str], state: Any) -> dict[str, str]:
    """The results of all processes."""
    if state.num_processes == 1:
        return results
    return {name: result for share in gather_object([results]) for name, result in share.items()}


def _parse_job(line: str, place: str, folder: Path) -> Job:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise CaptionError(f"{place} is not JSON ({error}).") from error
    if not isinstance(row, dict) or not isinstance(row.get("video"), str):
        raise CaptionError(f'{place} must be an object with "video" and, if need be, "prompt" and "name"; got {line}')
    unknown = sorted(set(row) - {"video", "prompt", "name"})
    if unknown or not all(isinstance(value, str) for value in row.values()):
        raise CaptionError(f"{place}: expected texts under video, prompt and name; got {line}")
    video = folder / row["video"]
    video = video if video.exists() else folder / expanded(row["video"])
    name = row.get("name", clip_name(video))
    if not name or name in {".", ".."} or Path(name).name != name:
        raise CaptionError(f"{place}: {name!r} must be the name of a folder.")
    prompt = visible(row.get("prompt", ""))
    try:
        return Job(name, video, prompt or read_caption(video))
    except CaptionError as error:
        raise CaptionError(f"{place}: {error}") from error
