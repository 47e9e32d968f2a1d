"""Make the collection of motions in examples/collection, and the moving pictures of docs/gallery.md.

    python -m examples.gallery

learns each motion with `diffusers-motion-embed train`, unless it is there from before. It keeps embedding, preview and
card. Then it draws each on six prompts and at seven scales, and two motions at once.
"""

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline

from diffusers_motion_embed import enable_motion_embedding, read_video
from diffusers_motion_embed.architectures.conditioning import call_parameters
from diffusers_motion_embed.commands import card, train
from diffusers_motion_embed.metrics import as_clip
from diffusers_motion_embed.storage.files import CONFIG_NAME, WEIGHTS_NAME
from diffusers_motion_embed.storage.model_card import preview_files
from diffusers_motion_embed.training.fleet import is_done
from diffusers_motion_embed.video.sheets import write_comparison
from examples.demo import EXAMPLES, PROMPTS, picture_of


SIDE, FRAMES_PER_SECOND, WIDTH = 64, 8, 96  # pixels of the clips; pixels of a clip in the pictures
NUM_FRAMES = {"tiny-t2v": 16, "tiny-animatediff": 16, "tiny-wan": 17, "tiny-wan-i2v": 17}
NUM_SECONDS = 2  # of the references, in which bases of more frames find some twice
GUIDANCE_SCALE = 2.0
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
MAX_ERROR = 0.4  # of the stored numbers


@dataclass(frozen=True)
class Motion:
    """A motion of the collection.

    Args:
        base: Folder of its model in examples/.
        reference: Its video in examples/assets/, without the suffix.
        prompt: What the video shows.
    """

    base: str
    reference: str
    prompt: str

    @property
    def name(self) -> str:
        """The name of its folder, and of its repository if it is pushed."""
        return f"{self.base}-{self.reference}".replace("_", "-")

    @property
    def video(self) -> Path:
        """The reference."""
        return EXAMPLES / "assets" / f"{self.reference}.mp4"


MOTIONS = [
    Motion("tiny-t2v", "figure_eight", "a red bar on a black background"),
    Motion("tiny-t2v", "zigzag", "a blue circle on a white background"),
    Motion("tiny-t2v", "bounce", "a yellow circle on a navy background"),
    Motion("tiny-t2v", "spiral", "a green ring on a beige background"),
    Motion("tiny-animatediff", "figure_eight", "a red bar on a black background"),
    Motion("tiny-wan", "zigzag", "a blue circle on a white background"),
    Motion("tiny-wan-i2v", "figure_eight", "a red bar on a black background"),
]
TOGETHER = [("tiny-t2v-figure-eight", "tiny-t2v-zigzag"), ("tiny-t2v-bounce", "tiny-t2v-spiral")]
TOGETHER_SCALE = 0.7


def learn(motion: Motion, options: argparse.Namespace) -> None:
    """Write a motion's folder of the collection, unless it is there."""
    folder, run = options.collection_dir / motion.name, options.output_dir / motion.name
    if is_done(folder):
        return
    arguments = {
        "pretrained_model_name_or_path": EXAMPLES / motion.base,
        "reference_video": motion.video,
        "prompt": motion.prompt,
        "num_frames": NUM_FRAMES[motion.base],
        "height": SIDE,
        "width": SIDE,
        "reference_fps": NUM_FRAMES[motion.base] / NUM_SECONDS,
        "fps": FRAMES_PER_SECOND,
        "max_error": MAX_ERROR,
        "num_inference_steps": options.num_inference_steps,
        "guidance_scale": GUIDANCE_SCALE,
        "output_dir": run,
    }
    if options.max_train_steps:
        arguments["max_train_steps"] = options.max_train_steps
    given = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    train.main([*given, "--validation_prompt", *PROMPTS])
    folder.mkdir(parents=True, exist_ok=True)
    for path in (run / CONFIG_NAME, run / WEIGHTS_NAME, *preview_files(run)):
        shutil.copy(path, folder)
    card.main([str(folder), "--license", "apache-2.0", "--overwrite"])


class Pictures:
    """Draws motions of one base.

    Args:
        base: Folder of the model in examples/.
        options: The command's options.
    """

    def __init__(self, base: str, options: argparse.Namespace) -> None:
        self.pipe: Any = DiffusionPipeline.from_pretrained(EXAMPLES / base, dtype=torch.float32)
        self.pipe.set_progress_bar_config(disable=True)
        enable_motion_embedding(self.pipe)
        self.options = options
        self.size: dict[str, Any] = {"num_frames": NUM_FRAMES[base], "height": SIDE, "width": SIDE}

    def load(self, *names: str) -> None:
        """Load motions of the collection in place of those before."""
        self.pipe.unload_motion_embedding()
        for name in names:
            self.pipe.load_motion_embedding(self.options.collection_dir / name, name)

    def clip(self, prompt: str) -> np.ndarray:
        """A clip, (frames, height, width, 3), uint8, from the same noise for the same prompt.

        Pipelines that begin with a picture get that of the prompt.
        """
        steps, noise = self.options.num_inference_steps, torch.Generator().manual_seed(PROMPTS.index(prompt))
        settings = {"num_inference_steps": steps, "guidance_scale": GUIDANCE_SCALE, "output_type": "np"}
        picture = {"image": picture_of(prompt)} if "image" in call_parameters(self.pipe) else {}
        drawn = self.pipe(prompt=prompt, generator=noise, **picture, **settings, **self.size)
        return as_clip(drawn.frames[0])

    def reference(self, motion: Motion) -> np.ndarray:
        """The clip that was learned from, (frames, height, width, 3), uint8."""
        return read_video(motion.video, fps=self.size["num_frames"] / NUM_SECONDS, **self.size)

    def write(self, name: str, rows: list[list[tuple[str, np.ndarray]]]) -> None:
        """Write one moving picture."""
        self.options.pictures_dir.mkdir(parents=True, exist_ok=True)
        path = self.options.pictures_dir / f"{name}.webp"
        write_comparison(rows, path, FRAMES_PER_SECOND, width=WIDTH)
        print(path)

    def one(self, motion: Motion) -> None:
        """A motion on every prompt, and on the first prompt at every scale."""
        self.load(motion.name)
        moved = [("reference", self.reference(motion)), *((prompt, self.clip(prompt)) for prompt in PROMPTS)]
        scaled = []
        for scale in SCALES:
            self.pipe.set_motion_scale(scale)
            scaled.append((f"scale {scale:g}", self.clip(PROMPTS[0])))
        self.write(motion.name, [moved, scaled])

    def both(self, first: Motion, second: Motion) -> None:
        """Two motions at once."""
        names = [first.name, second.name]
        self.load(*names)
        self.pipe.set_motion_embeddings(names, [TOGETHER_SCALE] * 2)
        shown = [(motion.reference, self.reference(motion)) for motion in (first, second)]
        shown += [(f"both: {prompt}", self.clip(prompt)) for prompt in PROMPTS[:5]]
        self.write("-and-".join(names), [shown])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    motions = {motion.name: motion for motion in MOTIONS}
    add = parser.add_argument
    add("--motions", nargs="+", choices=motions, default=list(motions), help="By default all.")
    add("--collection_dir", type=Path, default=EXAMPLES / "collection")
    add("--pictures_dir", type=Path, default=EXAMPLES.parent / "docs/images/gallery")
    add("--output_dir", type=Path, default=Path("outputs/gallery"), help="For the runs and their reports.")
    add("--max_train_steps", type=int, help="By default those of the model's recipe.")
    add("--num_inference_steps", type=int, default=12)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # more threads hardly speed up so small a model
    chosen = [motions[name] for name in options.motions]
    for motion in chosen:
        learn(motion, options)
    for base in dict.fromkeys(motion.base for motion in chosen):
        pictures = Pictures(base, options)
        for motion in chosen:
            if motion.base == base:
                pictures.one(motion)
        for pair in TOGETHER:
            if all(name in options.motions and motions[name].base == base for name in pair):
                pictures.both(*(motions[name] for name in pair))


if __name__ == "__main__":
    main()
