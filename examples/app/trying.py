"""The tab in which a motion is tried: with and without, the paths of what moves, files to keep."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from diffusers_motion_embed import MotionEmbeddingConfig, read_reference
from diffusers_motion_embed.functional import Debias
from diffusers_motion_embed.metrics import track, track_fidelity
from diffusers_motion_embed.storage.files import WEIGHTS_NAME, read_embedding
from examples.app import drawing
from examples.app.speaking import words
from examples.app.visitors import Visitors, checked
from examples.app.workshop import Acting, Workshop
from examples.pictures import write_clip


MAX_SIDE = 1280  # pixels
MAX_SEED = 2**31 - 1
ALWAYS = (0.0, 1.0)


class Trying:
    """What the tab does, without its looks.

    Args:
        workshop: The base pipeline.
        visitors: The visitors' folders.
    """

    def __init__(self, workshop: Workshop, visitors: Visitors) -> None:
        self.workshop, self.visitors, self.options = workshop, visitors, workshop.options

    def settings(self, key: str, name: str | None) -> tuple[Any, ...]:
        """How a motion acts as it was trained: from where to where, through which debiasing, in how many frames."""
        if name is None:
            return (gr.skip(),) * 4
        with words():
            config = MotionEmbeddingConfig.from_pretrained(str(self.visitors.of(key).motion(name)))
        return *(config.timing or ALWAYS), config.debias, min(config.num_frames, self.options.max_frames)

    def size(self, num_frames: float, height: float, width: float) -> tuple[int, int, int]:
        """Frames, height and width of a form."""
        frames = checked("The number of frames", num_frames, self.options.max_frames)
        return frames, checked("height", height, MAX_SIDE), checked("width", width, MAX_SIDE)

    def generate(
        self,
        key: str,
        name: str | None,
        prompt: str,
        seed: float,
        scale: float,
        value_share: float,
        path_share: float,
        start: float,
        end: float,
        debias: Debias,
        num_frames: float,
        height: float,
        width: float,
    ) -> tuple[Any, ...]:
        """The clips with and without, the paths, and three files."""
        with words():
            motion = self.visitors.of(key).motion(name)
            size = self.size(num_frames, height, width)
            parts = {"qk": scale, "v": scale * value_share, "p": scale * path_share}
            acting = Acting(read_embedding(motion), parts, (start, end), debias)
            number = checked_seed(seed)
            moved = self.workshop.clip(size, prompt, number, acting)
            plain = self.workshop.clip(size, prompt, number)
        reference, fps = reference_of(motion, self.options.fps or 8)
        shown = [("with the motion", moved, fps), ("without it, same noise", plain, fps)]
        shown += [] if reference is None else [("the reference", reference, fps)]
        return drawing.clips(shown), compared(reference, moved, plain), *self.files(motion, moved, fps)

    def files(self, motion: Path | None, clip: np.ndarray, fps: float) -> list[Any]:
        """Buttons that download a clip as mp4 and GIF, and its motion, if it is one."""
        name = motion.name if motion else "mix"
        folder = Path(tempfile.mkdtemp(dir=self.visitors.temporary))
        write_clip(clip, folder / name, max(1, round(fps)), drawing.enlargement(clip))
        if motion:
            shutil.copyfile(motion / WEIGHTS_NAME, folder / f"{name}.safetensors")
        paths = [folder / f"{name}.{each}" for each in ("mp4", "gif", "safetensors")]
        return [gr.DownloadButton(value=path if path.exists() else None, interactive=path.exists()) for path in paths]


def checked_seed(seed: float) -> int:
    """A seed of a form, from 0 on."""
    return checked("seed", seed + 1, MAX_SEED) - 1


def reference_of(motion: Path, fps: float) -> tuple[np.ndarray | None, float]:
    """The reference and its frames per second; no reference if the motion was not learned here."""
    if not (motion / "reference.webp").exists():
        return None, fps
    clip = read_reference(motion / "reference.webp")
    return clip.frames, clip.fps or fps


def compared(reference: np.ndarray | None, moved: np.ndarray, plain: np.ndarray) -> str:
    """The paths of what moves, and how alike the clips move, if there is a reference to compare with."""
    if reference is None:
        return drawing.paths([("with the motion", track(moved)), ("without it", track(plain))])
    tracks = {"the reference": track(reference), "with the motion": track(moved), "without it": track(plain)}
    picture = drawing.paths(list(tracks.items()))
    if len(reference) != len(moved):
        return picture
    first, *others = tracks.values()
    with_motion, without = (track_fidelity(each, first).score for each in others)
    text = (
        f"Motion fidelity to the reference: {with_motion:.2f} with the motion, {without:.2f} without (1 is the same)."
    )
    return picture + drawing.note(text)
