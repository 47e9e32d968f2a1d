"""The base pipeline, which serves one visitor at a time: what it learns, and the clips that it makes."""

import argparse
import contextlib
import json
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.architectures import find_architecture
from diffusers_motion_embed.architectures.checks import check_pipeline
from diffusers_motion_embed.commands.base_pipeline import generate_clip, generation_settings, load_pipeline
from diffusers_motion_embed.functional import Debias
from diffusers_motion_embed.metrics import as_clip
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import to_state_dict
from diffusers_motion_embed.training import (
    RECIPES,
    CheckpointConfig,
    TrainingConfig,
    TrainingProgress,
    default_recipe,
    train_motion_embedding,
)
from diffusers_motion_embed.training.checkpoints import list_checkpoints


ADAPTER_NAME = "motion"
MAX_STEPS = 1000
LOSS_STEPS = 5  # between two points of the curve


@dataclass(frozen=True)
class Acting:
    """A motion as it acts in a clip.

    Args:
        embedding: What it adds.
        scale: As `set_motion_scale` takes it.
        timing: Start and end, as `set_motion_timing` takes them; by default its own.
        debias: As `set_motion_debias` takes it; by default its own.
        region: As `set_motion_region` takes it.
    """

    embedding: Embedding
    scale: Any = 1.0
    timing: tuple[float, float] | None = None
    debias: Debias | None = None
    region: np.ndarray | None = None

    def load(self, pipe: Any, name: str) -> None:
        """Load it under a name."""
        pipe.load_motion_embedding(
            to_state_dict(self.embedding), name, config=self.embedding.config, debias=self.debias
        )
        pipe.set_motion_region(self.region, name)
        if self.timing is not None:
            pipe.set_motion_timing(*self.timing, name)


class _PausedError(Exception):
    """The run has saved a checkpoint and leaves the pipeline to others."""


@dataclass
class Run:
    """A run of training as its folder holds it, so that it can be gone on with.

    Args:
        folder: Its folder.
        target: The folder of the motion that it learns.
        prompt: What the reference shows.
        recipe: The name of the recipe.
        steps: Steps in all.
        fps: Frames per second of the reference.
        preview_prompt: What the previews show.
        losses: Steps and losses so far.
    """

    folder: Path
    target: Path
    prompt: str
    recipe: str
    steps: int
    fps: float
    preview_prompt: str
    losses: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def new(cls, frames: np.ndarray, **settings: Any) -> "Run":
        """A run on these frames, (frames, height, width, 3), uint8, in the place of the folder's earlier one."""
        run = cls(**settings)
        shutil.rmtree(run.folder, ignore_errors=True)
        run.folder.mkdir(parents=True)
        np.save(run.folder / "frames.npy", frames)
        run.write()
        return run

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """The run of a folder.

        Raises:
            FileNotFoundError: If there is none.
        """
        if not (folder / "run.json").is_file():
            raise FileNotFoundError("There is no run to go on with. Learn a motion first.")
        told = json.loads((folder / "run.json").read_text())
        return cls(folder, Path(told.pop("target")), **told)

    def write(self) -> None:
        """Keep what the run needs to go on."""
        told = {name: value for name, value in vars(self).items() if name not in ("folder", "target")}
        (self.folder / "run.json").write_text(json.dumps({"target": str(self.target), **told}))

    @property
    def frames(self) -> np.ndarray:
        """The reference, (frames, height, width, 3), uint8."""
        return np.load(self.folder / "frames.npy")

    @property
    def checkpoint(self) -> Path | None:
        """The last checkpoint, which is also an embedding."""
        return next(reversed(list_checkpoints(self.folder)), None)

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.checkpoint.name.rpartition("-")[2]) if self.checkpoint else 0

    @property
    def stop(self) -> Path:
        """A file by which the run is asked to stop, from whatever process."""
        return self.folder / "stop"


class Workshop:
    """The base pipeline. Every method leaves it without motion embeddings.

    Args:
        options: The command's options.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.pipe = load_pipeline(options, options.device)
        self.pipe.set_progress_bar_config(disable=True)
        model = check_pipeline(self.pipe, options.component)[1]
        own = default_recipe(model)
        with_path = {name for name, recipe in RECIPES.items() if "p" in recipe.embedding.get("parts", ())}
        self.has_path = not isinstance(find_architecture(model).find_rotary(model), str)
        fitting = RECIPES.keys() - (() if self.has_path else with_path)
        self.recipes = sorted(fitting, key=lambda name: (name != own, name))  # the base's own is the first
        self.lock = threading.Lock()

    def learn(self, run: Run, until: int, report: Callable[[int, float], None]) -> None:
        """Go on with a run up to a step, or until it is asked to stop. The motion is in its library afterwards.

        Args:
            run: The run.
            until: The step.
            report: Gets every step's number and the loss of the last steps.
        """
        training = RECIPES[run.recipe].training | {"max_train_steps": run.steps}
        checkpoints = CheckpointConfig(
            output_dir=run.folder, checkpoints_total_limit=1, resume_from_checkpoint=run.checkpoint
        )

        def callback(progress: TrainingProgress) -> None:
            loss = progress.logs()["loss"]
            report(progress.step, loss)
            is_last = progress.step >= until or run.stop.exists()
            if is_last or progress.step % LOSS_STEPS == 0:
                run.losses.append((progress.step, loss))
            if is_last:
                progress.save_checkpoint()
                raise _PausedError

        with self.lock, contextlib.suppress(_PausedError), self._clean():
            settings = {"embedding_config": self._config(run), "call_arguments": self.options.call_arguments}
            train_motion_embedding(
                self.pipe,
                run.frames,
                run.prompt,
                TrainingConfig(**training),
                adapter_name=ADAPTER_NAME,
                checkpoints=checkpoints,
                callback=callback,
                progress_bar=False,
                **settings,
            )
        run.write()
        if run.checkpoint is not None:
            self.keep(run.checkpoint, run.target)

    def keep(self, source: str | Path, target: Path, **location: Any) -> None:
        """Put an embedding that fits the base into a library.

        Args:
            source: As in `load_motion_embedding`.
            target: The folder for it.
            **location: Further arguments of `load_motion_embedding`.
        """
        with self.lock, self._clean():
            self.pipe.load_motion_embedding(source, ADAPTER_NAME, **location)
            self.pipe.save_motion_embedding(target, ADAPTER_NAME)

    def clip(self, size: tuple[int, int, int], prompt: str, seed: int, *motions: Acting) -> np.ndarray:
        """A clip, (frames, height, width, 3), uint8.

        Args:
            size: Frames, height and width.
            prompt: What it shows.
            seed: The seed of its noise.
            *motions: What acts in it, all at once.
        """
        like = np.zeros((self.nearest_length(size[0]), *size[1:], 3), np.uint8)
        named = {f"{ADAPTER_NAME}_{number}": motion for number, motion in enumerate(motions)}
        with self.lock, self._clean():
            for name, motion in named.items():
                motion.load(self.pipe, name)
            if named:
                self.pipe.set_motion_embeddings([*named], [motion.scale for motion in motions])
            return as_clip(generate_clip(self.pipe, self.options, like, prompt, seed))

    def nearest_length(self, num_frames: int) -> int:
        """The nearest number of frames that the base's VAE takes."""
        factor = getattr(self.pipe, "vae_scale_factor_temporal", 1)
        return 1 + factor * max(1, round((num_frames - 1) / factor))

    def _config(self, run: Run) -> MotionEmbeddingConfig:
        names = ("num_inference_steps", "guidance_scale")
        generation = {name: getattr(self.options, name) for name in names}
        generation |= {"fps": run.fps, "prompt": run.preview_prompt, **generation_settings(self.options, self.pipe)}
        return MotionEmbeddingConfig(
            component=self.options.component, generation=generation, **RECIPES[run.recipe].embedding
        )

    @contextlib.contextmanager
    def _clean(self) -> Iterator[None]:
        """Take off whatever was loaded, and say nothing of what only the terminal would show."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                yield
        finally:
            self.pipe.unload_motion_embedding()
