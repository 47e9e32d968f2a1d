"""The page that a training run leaves: one file, which needs no other."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment

from diffusers_motion_embed.config import MotionEmbeddingConfig
from diffusers_motion_embed.reports.advice import advise
from diffusers_motion_embed.reports.validation import Measures, Validation, measure_all
from diffusers_motion_embed.storage.atomic import replace_files
from diffusers_motion_embed.storage.files import read_embedding
from diffusers_motion_embed.values import expanded
from diffusers_motion_embed.video.sheets import scaled, webp


TEMPLATE = Path(__file__).with_name("report_template.html")
PAGE_NAME = "report.html"
CLIP_WIDTH = 256  # pixels; smaller clips keep theirs, and are enlarged by the browser
CURVE_SIZE, CURVE_LEFT, CURVE_BOTTOM = (640, 220), 64, 24
NUM_TICKS = 3


def write_report(
    save_directory: str | Path,
    reference: np.ndarray,
    validations: Sequence[Validation],
    losses: Sequence[tuple[int, float]] = (),
    *,
    measures: Sequence[Measures] | None = None,
    loss_title: str = "Training loss",
    fps: float = 8,
) -> Path:
    """Write `report.html`: clips beside the reference, what they measure, the loss over time, and advice.

    Args:
        save_directory: Folder of the saved embedding, whose settings hold the options of the run.
        reference: The clip that was learned from, (frames, height, width, 3), uint8.
        validations: Clips of prompts, at least one; see `validate`.
        losses: Steps and losses, in the order of the run; none leaves the curve out.
        measures: Of these clips, if they are known.
        loss_title: What these losses are.
        fps: Frames per second of the clips.

    Returns:
        The page.

    Raises:
        ValueError: If there is no validation.
        EmbeddingFileError: If the folder holds no sound motion embedding.
        VideoError: If a clip has another number of frames than the reference.
    """
    if not validations:
        raise ValueError("A report needs clips of at least one validation prompt.")
    folder = expanded(save_directory)
    config = read_embedding(folder).config
    measures = measures or measure_all(validations, reference)
    picture = _encoded(reference, fps)
    page = Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    text = page.render(
        title=f"Motion embedding: {config.training.get('prompt') or 'one clip'}",
        subtitle=_subtitle(config),
        advice=advise(measures, losses, config.training, config.parts),
        rows=[_row(*parts, picture, fps) for parts in zip(validations, measures, strict=True)],
        curve=_curve(losses, loss_title),
        rendering="pixelated" if reference.shape[2] < CLIP_WIDTH else "auto",
    )
    replace_files(folder, {PAGE_NAME: text.encode()})
    return folder / PAGE_NAME


def _subtitle(config: MotionEmbeddingConfig) -> str:
    model = config.base_model_name_or_path or config.model_class or "a base model"
    size = f"{config.num_frames} frames of {config.height} x {config.width}" if config.height else ""
    steps = config.training.get("max_train_steps")
    return ", ".join(filter(None, (f"On {model}", size, f"{steps} steps" if steps else "")))


def _row(validation: Validation, measures: Measures, picture: str, fps: float) -> dict[str, Any]:
    plain, moved = (_encoded(clip, fps) for clip in (validation.plain, validation.moved))
    labels = (("reference", picture), ("without the motion", plain), ("with the motion", moved))
    clips = [{"label": label, "data": data, "alt": f"{validation.prompt}, {label}"} for label, data in labels]
    fidelities = (measures.fidelity_without, measures.fidelity_with)
    figures = [*("-" if np.isnan(each) else f"{each:.2f}" for each in fidelities), f"{measures.leakage:.3f}"]
    return {"prompt": validation.prompt, "clips": clips, "figures": figures}


def _encoded(frames: np.ndarray, fps: float) -> str:
    return base64.b64encode(webp(scaled(frames, min(CLIP_WIDTH, frames.shape[2])), fps)).decode()


def _curve(losses: Sequence[tuple[int, float]], title: str) -> Mapping[str, Any] | None:
    """What the template draws; None for fewer than two points."""
    if len(losses) < 2:
        return None
    steps, values = np.array(losses, float).T
    (width, height), low, high = CURVE_SIZE, values.min(), values.max()
    top, span = 10, max(high - low, 1e-12)

    def place(value: Any) -> Any:
        return top + (high - value) / span * (height - CURVE_BOTTOM - 2 * top)

    across = CURVE_LEFT + (steps - steps[0]) / max(steps[-1] - steps[0], 1) * (width - CURVE_LEFT)
    return {
        "title": title,
        "width": width,
        "height": height,
        "left": CURVE_LEFT,
        "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, place(values), strict=True)),
        "ticks": [{"y": round(place(tick), 1), "text": f"{tick:.3g}"} for tick in np.linspace(low, high, NUM_TICKS)],
        "first": f"{values[0]:.3g}",
        "last": f"{values[-1]:.3g}",
        "first_step": int(steps[0]),
        "last_step": int(steps[-1]),
    }
