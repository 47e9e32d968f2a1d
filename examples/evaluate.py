"""Measure motion embeddings on a pipeline, and write a report.

    python -m examples.evaluate \
        --pretrained_model_name_or_path examples/tiny-t2v \
        --reference_videos examples/assets/figure_eight.mp4 examples/assets/zigzag.mp4 \
        --embeddings outputs/figure_eight outputs/zigzag \
        --prompts "a yellow ring on a gray background" "a cyan bar on a brown background" \
        --num_frames 16 --height 64 --width 64 --num_inference_steps 12 --guidance_scale 2 \
        --output_dir outputs/evaluation

Without --embeddings one is learned from each reference video. Clips and embeddings are kept in the output folder, so
that the same command goes on where it was stopped. What the figures mean: docs/metrics.md.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from diffusers_motion_embed import read_video
from diffusers_motion_embed.architectures.conditioning import clip_arguments
from diffusers_motion_embed.metrics import ClipFeatures, as_clip, track
from diffusers_motion_embed.training import train_motion_embedding
from diffusers_motion_embed.training.fleet import is_done, read_caption
from examples.base_pipeline import generate_clip, generation_settings, load_pipeline
from examples.report.clip_store import ClipStore, digest_of
from examples.report.evaluation import SHEET_PROMPTS, EvaluatedClip, label_of, measure, write_evaluation
from examples.training_arguments import (
    add_base,
    add_embedding,
    add_frames,
    add_generation,
    add_training,
    make_configs,
    parse_with_recipe,
)


ADAPTER_NAME = "evaluated"
# What a clip depends on, beside prompt, seed, size and motion.
GENERATION_OPTIONS = ("pretrained_model_name_or_path", "motion_adapter", "revision", "variant", "dtype")
GENERATION_OPTIONS += ("num_inference_steps", "guidance_scale", "call_arguments")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_base(parser.add_argument_group("base model"))
    group = parser.add_argument_group("what is measured")
    add = group.add_argument
    add("--reference_videos", type=Path, nargs="+", required=True, help="Video files or folders of images.")
    add_frames(group)
    add("--reference_prompts", nargs="+", help="What they show, to learn from them; else the text files beside them.")
    add("--embeddings", nargs="+", help="Folders or repositories, one for each reference; else they are learned.")
    add("--prompts", nargs="+", required=True, help="Of the clips that are made with each embedding.")
    add("--num_seeds", type=int, default=1, help="Clips of each prompt.")
    add("--motion_scales", type=float, nargs="+", default=[1.0])
    add("--clip_model", help="Folder or id of a CLIP model, for consistency and fit to the prompt.")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--output_dir", type=Path, default=Path("outputs/evaluation"))
    add_generation(group)
    add_training(parser.add_argument_group("training, without --embeddings"))
    add_embedding(parser.add_argument_group("embedding, without --embeddings"))
    options = parse_with_recipe(parser, arguments)
    names = [video.stem for video in options.reference_videos]
    if len(set(names)) < len(names):
        parser.error("Give every reference video a name of its own.")
    for name in ("embeddings", "reference_prompts"):
        given = getattr(options, name)
        if given and len(given) != len(names):
            parser.error(f"There are {len(names)} reference videos and {len(given)} {name}.")
    return options


def learn(options: argparse.Namespace, pipe: Any, name: str, frames: np.ndarray, prompt: str) -> Path:
    """The folder of an embedding of a reference, which is learned if that was not done before."""
    folder = options.output_dir / "embeddings" / name
    if not is_done(folder):
        training, embedding = make_configs(options)
        embedding.generation |= generation_settings(options, pipe)
        train_motion_embedding(
            pipe,
            frames,
            prompt,
            training,
            embedding_config=embedding,
            adapter_name=ADAPTER_NAME,
            call_arguments=options.call_arguments,
        )
        pipe.save_motion_embedding(folder, ADAPTER_NAME)
        pipe.unload_motion_embedding()
    return folder


class Evaluation:
    """Generates and measures clips.

    Args:
        options: Of the command.
        pipe: Of `load_pipeline`.
    """

    def __init__(self, options: argparse.Namespace, pipe: Any) -> None:
        self.options, self.pipe = options, pipe
        self.clips = ClipStore(options.output_dir / "clips")
        self.features = ClipFeatures.from_pretrained(options.clip_model) if options.clip_model else None
        self.measured: list[EvaluatedClip] = []
        self.sheets: dict[str, list[tuple[str, np.ndarray]]] = {}
        self.seeds = range(options.seed, options.seed + options.num_seeds)
        uses = 1 + len(options.motion_scales)
        self.bar = tqdm(
            total=len(options.reference_videos) * uses * len(options.prompts) * len(self.seeds), unit="clip"
        )

    def run(self, name: str, reference: np.ndarray, embedding: str) -> None:
        """Everything of one reference.

        Args:
            name: Of the reference.
            reference: (frames, height, width, 3), uint8.
            embedding: Folder or id.
        """
        tracks = track(reference)
        wanted = [(prompt, seed) for prompt in self.options.prompts for seed in self.seeds]
        plain = {each: self.clip(reference, *each) for each in wanted}
        made: dict[tuple[float | None, str, int], np.ndarray] = {(None, *each): plain[each] for each in wanted}
        self.pipe.load_motion_embedding(embedding, ADAPTER_NAME)
        for scale in self.options.motion_scales:
            self.pipe.set_motion_scale(scale, ADAPTER_NAME)
            made |= {(scale, *each): self.clip(reference, *each, embedding, scale) for each in wanted}
        self.pipe.unload_motion_embedding()
        for (scale, prompt, seed), clip in made.items():
            measures = measure(clip, plain[prompt, seed], reference, tracks, prompt, self.features)
            self.measured.append(EvaluatedClip(name, scale, prompt, seed, measures))
        shown = [
            (prompt, scale)
            for prompt in self.options.prompts[:SHEET_PROMPTS]
            for scale in (None, *self.options.motion_scales)
        ]
        self.sheets[name] = [(f"reference: {name}", reference)] + [
            (f"{label_of(scale)}: {prompt}", made[scale, prompt, self.seeds[0]]) for prompt, scale in shown
        ]

    def clip(
        self, reference: np.ndarray, prompt: str, seed: int, embedding: str | None = None, scale: float | None = None
    ) -> np.ndarray:
        """A clip, (frames, height, width, 3), uint8, kept or made with what is loaded."""
        needs_reference = not {"image", "video"}.isdisjoint(clip_arguments(self.pipe, reference, prompt))
        identity = {name: getattr(self.options, name) for name in GENERATION_OPTIONS} | {
            "prompt": prompt,
            "seed": seed,
            "size": reference.shape,
            "reference": digest_of(reference) if needs_reference else None,
            "embedding": embedding and digest_of(embedding),
            "scale": scale,
        }
        clip = self.clips.get(
            identity, lambda: as_clip(generate_clip(self.pipe, self.options, reference, prompt, seed))
        )
        self.bar.update()
        return clip


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    make_configs(options)  # tells of wrong values before anything is loaded
    size = {"height": options.height, "width": options.width, "start": options.start, "stride": options.stride}
    references = {video.stem: read_video(video, options.num_frames, **size) for video in options.reference_videos}
    if not options.embeddings:
        prompts = options.reference_prompts or [read_caption(video) for video in options.reference_videos]
    pipe = load_pipeline(options, options.device)
    pipe.set_progress_bar_config(disable=True)
    if options.embeddings:
        embeddings = dict(zip(references, options.embeddings, strict=True))
    else:
        embeddings = {
            name: str(learn(options, pipe, name, frames, prompt))
            for (name, frames), prompt in zip(references.items(), prompts, strict=True)
        }
    evaluation = Evaluation(options, pipe)
    for name, frames in references.items():
        evaluation.run(name, frames, embeddings[name])
    evaluation.bar.close()
    command = shlex.join(["python", "-m", "examples.evaluate", *(sys.argv[1:] if arguments is None else arguments)])
    title = f"Motion embeddings on {options.pretrained_model_name_or_path}"
    page = write_evaluation(
        evaluation.measured, evaluation.sheets, embeddings, options.output_dir / "report", title, command
    )
    print(f"The report is {page}")


if __name__ == "__main__":
    main()
