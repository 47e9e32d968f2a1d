"""A motion embedding from the tracked motion of a clip, without training.

Trained position parts come out as the path of what moves, backwards. RoPECraft (arXiv 2505.13344) warps rotary
positions by the optical flow of a clip. Here the path is read off the clip by following points, and takes the form of
an ordinary position part: it can be saved, scaled, mixed and shared like a trained one.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from diffusers_motion_embed.adapter.registry import add_embedding, check_new_name, registry_of
from diffusers_motion_embed.adapter.selection import select_layers
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.architectures.bare import bare_models
from diffusers_motion_embed.architectures.checks import check_pipeline
from diffusers_motion_embed.architectures.encoding import check_clip, encode_frames
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import VideoError
from diffusers_motion_embed.frames import Clip, as_clips
from diffusers_motion_embed.functional import PATH_WIDTH, resample_frames, with_time
from diffusers_motion_embed.loaders import LoadReport
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.training.checks import COMPRESSION_NOISE
from diffusers_motion_embed.training.preparation import complete_config, slow_path


PARTS = ("p",)
TIMING = (0.0, 0.5)
PACE = 0.2  # of time, see `slow_path`
MIN_POINTS = 8  # fewer that move are taken for errors of the tracker


def track_motion_embedding(
    pipe: Any,
    frames: Clip,
    prompt: str | None = None,
    *,
    embedding_config: MotionEmbeddingConfig | None = None,
    adapter_name: str = "default",
    progress_bar: bool = True,
) -> LoadReport:
    """Make a position part of what moves in a clip, in seconds and without training.

    The path is the median step of the points that move, from frame to frame: that of the object before a camera at
    rest, or that of the picture if the camera moves. The embedding is loaded on the pipeline afterwards, as the only
    active one.

    Args:
        pipe: A video pipeline whose model takes a position part.
        frames: The reference clip, see `train_motion_embedding`.
        prompt: What the clip shows. It is recorded in the embedding's settings.
        embedding_config: Its timing and component. Its parts have to be `("p",)` and its position grid (1, 1). By
            default it acts in the first half of the denoising.
        adapter_name: Name under which the embedding is loaded.
        progress_bar: Whether to show one.

    Returns:
        A report of what was loaded.

    Raises:
        UnsupportedModelError: If the pipeline cannot be used this way.
        TargetModulesError: If the model takes no position part.
        ValueError: If `embedding_config` asks for something else than one path.
        VideoError: If it is not a video, has a size that the pipeline cannot take, or nothing moves in it.
        AdapterNameError: If `adapter_name` is empty or in use, or the model has motion embeddings through PEFT.
        ImportError: If OpenCV is missing, which follows the points.
    """
    embedding_config = embedding_config or MotionEmbeddingConfig(parts=PARTS, timing=TIMING)
    if tuple(embedding_config.parts) != PARTS or tuple(embedding_config.position_grid) != (1, 1):
        raise ValueError(
            f"Tracking gives one path for the whole picture: use parts={PARTS} and position_grid=(1, 1), not "
            f"parts={embedding_config.parts} and position_grid={embedding_config.position_grid}."
        )
    clips = as_clips(frames)
    if len(clips) > 1:
        raise ValueError(f"One clip is tracked at a time; got {len(clips)}.")
    component, model = check_pipeline(pipe, embedding_config.component, purpose="tracked", adds_noise=False)
    check_new_name(model, adapter_name)
    (positions,) = select_layers(model, embedding_config)
    check_clip(pipe, clips[0], model)
    path = follow_motion(clips[0], progress_bar)
    with bare_models(pipe):
        shape = encode_frames(pipe, clips[0]).shape
    config = complete_config(embedding_config, (0.0, 1.0), pipe, component, clips[0].shape, shape)
    config.target_modules = [positions]
    config.training = {"prompt": prompt, "tracked": True}
    first_alone = find_architecture(model).first_frame_alone
    places = -latent_path(torch.from_numpy(path), config.num_latent_frames, first_alone)[None, None]
    followed = with_time(places) + slow_path((*places.shape[:-1], PATH_WIDTH), PACE)
    add_embedding(model, adapter_name, Embedding(config, {positions: {"p": followed}}))
    registry_of(model).activate_alone(adapter_name)
    return LoadReport(adapter_name, (component,), 0, config.num_frames, config.debias, prompt)


def follow_motion(clip: np.ndarray, progress_bar: bool = True) -> np.ndarray:
    """The path of what moves.

    Args:
        clip: (frames, height, width, 3), uint8.
        progress_bar: Whether to show one.

    Returns:
        Rows and columns from the first frame on, in shares of the picture's height and width, (frames, 2), float32.

    Raises:
        VideoError: If nothing moves.
        ImportError: If OpenCV is missing.
    """
    from diffusers_motion_embed.metrics.motion import STANDING_STEP
    from diffusers_motion_embed.metrics.tracking import track

    steps = np.zeros((len(clip), 2))
    sizes = np.array(clip.shape[1:3])
    for number in tqdm(range(1, len(clip)), "tracking", disable=not progress_bar):
        # Two frames at a time, so that no point is lost for the rest of the clip.
        pair = clip[number - 1 : number + 1]
        tracks = track(pair)
        # Where the picture stays the same, a tracker may still go to the next dot of a pattern.
        changes = np.abs(np.diff(pair.astype(np.int16), axis=0))[0].max(-1) > COMPRESSION_NOISE
        columns, rows = tracks.points[:, 0].round().astype(int).clip(0, sizes[::-1] - 1).T
        moves = (tracks.points[:, 1] - tracks.points[:, 0])[tracks.visible.all(1) & changes[rows, columns]]
        lengths = np.linalg.norm(moves, axis=1)
        moving = lengths > STANDING_STEP * np.linalg.norm(sizes)
        if moving.sum() >= MIN_POINTS:
            # What stands still is dragged along a little where something passes it.
            far = lengths > np.percentile(lengths[moving], 90) / 2
            steps[number] = np.median(moves[far], axis=0)[::-1] / sizes
    if not steps.any():
        raise VideoError(
            "No motion was found to follow: between all frames, fewer than "
            f"{MIN_POINTS} points move. Give a clip that moves, or train on it."
        )
    return steps.cumsum(0).astype(np.float32)


def latent_path(path: Tensor, num_latent_frames: int, first_frame_alone: bool) -> Tensor:
    """Where something is in each latent frame: the mean of the frames that it shows.

    Args:
        path: (frames, 2).
        num_latent_frames: Number of latent frames.
        first_frame_alone: Whether the first of them is of the first frame alone, if the others then hold equally many.

    Returns:
        (num_latent_frames, 2).
    """
    rest, groups = len(path) - 1, num_latent_frames - 1
    if first_frame_alone and groups and rest % groups == 0:
        return torch.cat([path[:1], path[1:].unflatten(0, (groups, -1)).mean(1)])
    if len(path) % num_latent_frames == 0:
        return path.unflatten(0, (num_latent_frames, -1)).mean(1)
    return resample_frames(path, num_latent_frames)
