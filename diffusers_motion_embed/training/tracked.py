"""A motion embedding from the tracked motion of a clip, without training.

Trained position parts come out as the path of what moves, backwards. RoPECraft (arXiv 2505.13344) warps rotary
positions by the optical flow of a clip. Here the motion is read off the clip by following points, and takes the form
of an ordinary position part: it can be saved, scaled, mixed and shared like a trained one.
"""

from typing import Any

from diffusers_motion_embed.adapter.registry import add_embedding, check_new_name, registry_of
from diffusers_motion_embed.adapter.selection import select_layers
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.architectures.bare import bare_models
from diffusers_motion_embed.architectures.checks import check_pipeline
from diffusers_motion_embed.architectures.encoding import check_clip, encode_frames
from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.frames import Clip, as_clips
from diffusers_motion_embed.functional import PATH_WIDTH, with_time
from diffusers_motion_embed.loaders import LoadReport
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.training.following import follow, latent_path
from diffusers_motion_embed.training.preparation import complete_config, slow_path


PARTS = ("p",)
TIMING = (0.0, 0.5)
PACE = 0.2  # of time, see `slow_path`


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

    With a position grid of 1 x 1 it is a path, the median step of the points that move from frame to frame: that of
    the object before a camera at rest, or that of the picture if the camera moves. On a finer grid it is the camera's
    motion: the pan, zoom and roll that most points agree on. The embedding is loaded on the pipeline afterwards, as
    the only active one.

    Args:
        pipe: A video pipeline whose model takes a position part.
        frames: The reference clip, see `train_motion_embedding`.
        prompt: What the clip shows. It is recorded in the embedding's settings.
        embedding_config: Its timing, component and position grid. Its parts have to be `("p",)`. By default it is a
            path, and acts in the first half of the denoising.
        adapter_name: Name under which the embedding is loaded.
        progress_bar: Whether to show one.

    Returns:
        A report of what was loaded.

    Raises:
        UnsupportedModelError: If the pipeline cannot be used this way.
        TargetModulesError: If the model takes no position part.
        ValueError: If `embedding_config` asks for other parts, or there are several clips.
        VideoError: If it is not a video, has a size that the pipeline cannot take, or what is followed does not move.
        AdapterNameError: If `adapter_name` is empty or in use, or the model has motion embeddings through PEFT.
        ImportError: If OpenCV is missing, which follows the points.
    """
    embedding_config = embedding_config or MotionEmbeddingConfig(parts=PARTS, timing=TIMING)
    if tuple(embedding_config.parts) != PARTS:
        raise ValueError(f"Tracking gives a position part: use parts={PARTS}, not parts={embedding_config.parts}.")
    clips = as_clips(frames)
    if len(clips) > 1:
        raise ValueError(f"One clip is tracked at a time; got {len(clips)}.")
    component, model = check_pipeline(pipe, embedding_config.component, purpose="tracked", adds_noise=False)
    check_new_name(model, adapter_name)
    (positions,) = select_layers(model, embedding_config)
    check_clip(pipe, clips[0], model)
    displacements = follow(clips, embedding_config.position_grid, progress_bar)
    with bare_models(pipe):
        latents = encode_frames(pipe, clips[0])
    config = complete_config(embedding_config, (0.0, 1.0), pipe, component, clips[0].shape, latents.shape)
    config.target_modules = [positions]
    config.training = {"prompt": prompt, "tracked": True}
    first_alone = find_architecture(model).first_frame_alone
    places = latent_path(displacements, config.num_latent_frames, first_alone)
    followed = (with_time(places) + slow_path((*places.shape[:-1], PATH_WIDTH), PACE)).to(latents.device)
    add_embedding(model, adapter_name, Embedding(config, {positions: {"p": followed}}))
    registry_of(model).activate_alone(adapter_name)
    return LoadReport(adapter_name, (component,), 0, config.num_frames, config.debias, prompt)
