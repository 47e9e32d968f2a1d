"""Checkpoints of the method's authors, `motion_embed.pt`, to the format of this package and back.

Their file is a dictionary of tensors for the temporal transformers of a `UNet3DConditionModel`. Per transformer block
it has `<block>.pos_embed`, (1, 32, c), the qk part of both attentions of the block, and `<block>.attn1.vSpatial` and
`<block>.attn2.vSpatial`, (h · w, 32, c). Of the 32 frames, only the trained ones count. The file says neither how many
these are nor how large the pictures are. It is read with `weights_only`, so nothing in it is executed.
"""

import math
import re
from pathlib import Path

import torch
from torch import Tensor

from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.errors import EmbeddingFileError, EmbeddingNotFoundError, IncompatibleEmbeddingError
from diffusers_motion_embed.functional import Debias, debiased
from diffusers_motion_embed.storage.embedding import Embedding, EmbeddingTensors
from diffusers_motion_embed.storage.files import check_finite
from diffusers_motion_embed.values import expanded


FRAME_SLOTS = 32
ATTENTIONS = ("attn1", "attn2")
KEY = re.compile(r"(?P<block>.+\.transformer_blocks\.\d+)\.(?P<name>pos_embed|attn[12]\.vSpatial)")
# Pixels per position, by block of the model; in the authors' code it has four levels.
PIXELS_PER_POSITION = {"down_blocks.1": 16, "up_blocks.2": 16, "down_blocks.2": 32, "up_blocks.1": 32}


def from_authors_checkpoint(
    checkpoint_path: str | Path,
    *,
    num_frames: int,
    height: int,
    width: int,
    base_model_name_or_path: str | None = None,
) -> Embedding:
    """Read a checkpoint of the method's authors.

    Args:
        checkpoint_path: Path of the authors' `motion_embed.pt`.
        num_frames: Number of frames that it was trained with, at most 32.
        height: Height of the training clip, in pixels.
        width: Width of the training clip, in pixels.
        base_model_name_or_path: The model that it was trained on, for instance "cerspense/zeroscope_v2_576w".

    Returns:
        The embedding, for `files.write_embedding`. The authors' modes are debiasing modes here: training is
        "identity", object is "difference" (the default), camera is "free_placement".

    Raises:
        EmbeddingNotFoundError: If there is no such file.
        EmbeddingFileError: If it is not such a checkpoint, or does not fit `num_frames`, `height` and `width`.
        IncompatibleEmbeddingError: If it has value parts in blocks where the authors' code has none.
        ValueError: If `num_frames` is not between 1 and 32.
    """
    path = expanded(checkpoint_path)
    if not 1 <= num_frames <= FRAME_SLOTS:
        raise ValueError(f"num_frames must be between 1 and {FRAME_SLOTS}, got {num_frames!r}.")
    if not path.is_file():
        raise EmbeddingNotFoundError(f"There is no file {path}.")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the unpickler stumbles over
        raise EmbeddingFileError(f"{path} cannot be read as a dictionary of tensors ({error}).") from error
    tensors = _sorted_parts(checkpoint, path, num_frames, height, width)
    with_qk, with_v = (any(part in parts for parts in tensors.values()) for part in ("qk", "v"))
    _fill(tensors, with_qk, with_v, num_frames, height, width)
    config = MotionEmbeddingConfig(
        num_frames=num_frames,
        height=height,
        width=width,
        value_grid="full",
        target_modules=list(tensors),
        parts=tuple(part for part, there in (("qk", with_qk), ("v", with_v)) if there),
        model_class="UNet3DConditionModel",
        component="unet",
        base_model_name_or_path=base_model_name_or_path,
    )
    return Embedding(config, tensors)


def to_authors_checkpoint(embedding: Embedding) -> dict[str, Tensor]:
    """The tensors of a checkpoint that the authors' code reads, for `torch.save`.

    Their file does not say how the value part is debiased. It is written so that "difference", their mode for objects,
    adds what the embedding adds by its own `debias`. With "free_placement", that is nothing.

    Raises:
        IncompatibleEmbeddingError: If the authors' file cannot hold the embedding. Both attentions of a block must
            have the same qk part, and value parts must have the full grids of the training clip.
    """
    config, tensors = embedding
    if "p" in config.parts:
        raise IncompatibleEmbeddingError("The authors' file has no place for a position part.")
    checkpoint: dict[str, Tensor] = {}
    for path, parts in tensors.items():
        block, _, attention = path.rpartition(".")
        if KEY.fullmatch(f"{block}.pos_embed") is None or config.num_latent_frames > FRAME_SLOTS:
            raise IncompatibleEmbeddingError(f"The authors' file has no place for {path}, or for that many frames.")
        if "v" in parts:
            grid = _grid(block, config.height or 0, config.width or 0)
            if tuple(parts["v"].shape[:2]) != grid:
                raise IncompatibleEmbeddingError(
                    f"The value part of {path} has a grid of {tuple(parts['v'].shape[:2])}; their file needs {grid}."
                )
            checkpoint[f"{block}.{attention}.vSpatial"] = _with_slots(_summed(parts["v"], config.debias).flatten(0, 1))
        if "qk" in parts:
            shared = _with_slots(parts["qk"][None])
            others = [tensors.get(f"{block}.{name}", {}).get("qk") for name in ATTENTIONS]
            if any(other is None or not torch.equal(other, parts["qk"]) for other in others):
                raise IncompatibleEmbeddingError(f"The two attentions of {block} do not share their qk part.")
            checkpoint[f"{block}.pos_embed"] = shared
    return checkpoint


def _sorted_parts(checkpoint: object, path: Path, num_frames: int, height: int, width: int) -> EmbeddingTensors:
    if not isinstance(checkpoint, dict) or not checkpoint:
        raise EmbeddingFileError(f"{path} holds no dictionary of tensors.")
    tensors: EmbeddingTensors = {}
    for key, stored in checkpoint.items():
        match = KEY.fullmatch(key) if isinstance(key, str) else None
        if match is None or not isinstance(stored, Tensor) or not stored.is_floating_point():
            raise EmbeddingFileError(f"{path} is not a checkpoint of the method's authors: it has the entry {key!r}.")
        block, name = match["block"], match["name"]
        grid = (1, 1) if name == "pos_embed" else _grid(block, height, width)
        if stored.ndim != 3 or tuple(stored.shape[:2]) != (math.prod(grid), FRAME_SLOTS):
            raise EmbeddingFileError(
                f"{path}: {key} has shape {tuple(stored.shape)}; a clip of {width} x {height} pixels has "
                f"{math.prod(grid)} positions of {FRAME_SLOTS} frames. Is that its size?"
            )
        check_finite(stored, key, str(path))
        trained = stored.detach().float()[:, :num_frames]
        if name == "pos_embed":
            for attention in ATTENTIONS:
                tensors.setdefault(f"{block}.{attention}", {})["qk"] = trained[0].clone()
        else:
            attention = name.removesuffix(".vSpatial")
            tensors.setdefault(f"{block}.{attention}", {})["v"] = trained.unflatten(0, grid).clone()
    return tensors


def _fill(tensors: EmbeddingTensors, with_qk: bool, with_v: bool, num_frames: int, height: int, width: int) -> None:
    # The authors' blocks may differ in their parts. Ours have the same parts everywhere, and zeros add nothing.
    for path, parts in tensors.items():
        channels = next(iter(parts.values())).shape[-1]
        if with_qk and "qk" not in parts:
            parts["qk"] = torch.zeros(num_frames, channels)
        if with_v and "v" not in parts:
            parts["v"] = torch.zeros(*_grid(path, height, width), num_frames, channels)


def _grid(path: str, height: int, width: int) -> tuple[int, int]:
    pixels = next((pixels for block, pixels in PIXELS_PER_POSITION.items() if path.startswith(f"{block}.")), None)
    if pixels is None:
        raise IncompatibleEmbeddingError(
            f"The authors' code has no value parts at {path}; it has them in {', '.join(PIXELS_PER_POSITION)}."
        )
    return math.ceil(height / pixels), math.ceil(width / pixels)


def _summed(value: Tensor, debias: Debias) -> Tensor:
    """The value part whose differences from frame to frame are what this one adds, the first frame as it is."""
    return value if debias == "difference" else debiased(value, debias).cumsum(dim=-2)


def _with_slots(trained: Tensor) -> Tensor:
    slots = torch.zeros(trained.shape[0], FRAME_SLOTS, trained.shape[2])
    slots[:, : trained.shape[1]] = trained
    return slots
