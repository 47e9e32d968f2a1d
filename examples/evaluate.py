"""Measure motion embeddings on any base: every reference's motion with every prompt, beside the plain model.

    python -m examples.evaluate --pretrained_model_name_or_path examples/tiny-t2v \
        --reference_videos examples/assets/figure_eight.mp4 examples/assets/zigzag.mp4 \
        --reference_prompts "a red bar on a black background" "a blue circle on a white background" \
        --prompts "a yellow ring on a gray background" "a cyan bar on a brown background" \
        --num_frames 16 --height 64 --width 64 --num_inference_steps 12 --guidance_scale 2

Learns an embedding for each reference with the default recipe, unless --embeddings names one for each. Writes a report
with tables, plots and contact sheets; what is there already is not made again, so that an interrupted run goes on.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from diffusers_motion_embed import read_video
from diffusers_motion_embed.atomic import replace_files
from diffusers_motion_embed.conditioning import clip_arguments
from diffusers_motion_embed.metrics import (
    ClipFeatures,
    ColorHistogram,
    appearance_leakage,
    temporal_consistency,
    text_similarity,
    track,
    track_fidelity,
)
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from diffusers_motion_embed.training.fleet import read_caption
from examples.base_pipeline import load_pipeline
from examples.report import Page, interval, scatter, table
from examples.training_arguments import add_base_arguments


MEASURES = """\
* **motion fidelity**: by the formula of DMT, with the tracker named in the table; 1 is the same directions at the same
  times
* **leakage**: how much more a clip looks like the reference than the plain clip of the same prompt and noise does
* **consistency** and **text similarity**: cosines of CLIP features, if --clip_model is given

Means with 95 % intervals over references, prompts and seeds; what they see and miss is told in docs/metrics.md."""
MODES = ("without", "with")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_base_arguments(parser)
    add = parser.add_argument
    add("--reference_videos", type=Path, nargs="+", required=True, help="Video files or folders of images.")
    add("--reference_prompts", nargs="+", help="What they show; by default the text files beside them.")
    add("--prompts", nargs="+", required=True, help="To generate with every motion.")
    add("--embeddings", nargs="+", help="Folder or repository of an embedding for each reference.")
    add("--num_frames", type=int, default=16)
    add("--height", type=int, help="In pixels; the video's own by default.")
    add("--width", type=int, help="In pixels; the video's own by default.")
    add("--num_seeds", type=int, default=1, help="Clips of each prompt and reference.")
    add("--num_inference_steps", type=int, default=25)
    add("--guidance_scale", type=float, default=7.5)
    add("--max_train_steps", type=int, default=TrainingConfig.max_train_steps)
    add("--clip_model", help='Folder or id of a CLIP model, as "openai/clip-vit-large-patch14".')
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--output_dir", type=Path, default=Path("outputs/evaluation"))
    options = parser.parse_args(arguments)
    for name in ("embeddings", "reference_prompts"):
        given = getattr(options, name)
        if given is not None and len(given) != len(options.reference_videos):
            parser.error(f"--{name} must be as many as --reference_videos, one for each.")
    names = [video.stem for video in options.reference_videos]
    if len(set(names)) < len(names):
        parser.error(f"--reference_videos must have different names, got {', '.join(names)}.")
    return options


class Evaluation:
    """Everything that is made for one report.

    Args:
        options: Of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        size = {"height": options.height, "width": options.width}
        self.references = {
            video.stem: read_video(video, options.num_frames, **size) for video in options.reference_videos
        }
        prompts = options.reference_prompts
        if prompts is None and options.embeddings is None:
            prompts = [read_caption(video) for video in options.reference_videos]
        self.reference_prompts = dict(zip(self.references, prompts or [""] * len(self.references), strict=True))
        self._claim_folder()
        self.pipe = load_pipeline(options, options.device)

    def _claim_folder(self) -> None:
        """Note what the folder's clips are made with, or see that it is the same."""
        names = ("output_dir", "device", "clip_model")  # which change no clip
        settings = {name: str(value) for name, value in sorted(vars(self.options).items()) if name not in names}
        path = self.options.output_dir / "settings.json"
        if path.is_file():
            before = json.loads(path.read_text())
            different = [name for name in settings if settings[name] != before.get(name)]
            if different:
                raise SystemExit(
                    f"{path.parent} has clips that were made with another {', '.join(different)}. Choose another "
                    "--output_dir, or delete that folder."
                )
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_files(path.parent, {path.name: json.dumps(settings, indent=1).encode()})

    def embedding(self, name: str) -> str | Path:
        """Where the embedding of a reference is; it is learned if none was given."""
        if self.options.embeddings is not None:
            return self.options.embeddings[list(self.references).index(name)]
        folder = self.options.output_dir / "embeddings" / name
        if not folder.is_dir():
            train_motion_embedding(
                self.pipe,
                self.references[name],
                self.reference_prompts[name],
                TrainingConfig(max_train_steps=self.options.max_train_steps),
                adapter_name=name,
                call_arguments=self.options.call_arguments,
            )
            self.pipe.save_motion_embedding(folder, name)
            self.pipe.unload_motion_embedding()
        return folder

    def clips(self, title: str, reference: np.ndarray) -> np.ndarray:
        """Clips of all prompts and seeds, (seeds, prompts, frames, height, width, 3), uint8; kept in a file."""
        path = self.options.output_dir / "clips" / f"{title}.npz"
        if not path.is_file():
            seeds = range(self.options.num_seeds)
            prompts = self.options.prompts
            bar = tqdm([(seed, prompt) for seed in seeds for prompt in prompts], title)
            made = np.stack([self._generate(reference, prompt, seed) for seed, prompt in bar])
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_suffix(".part.npz")
            np.savez_compressed(part, clips=made.reshape(len(seeds), len(prompts), *made.shape[1:]))
            part.replace(path)
        return np.load(path)["clips"]

    def _generate(self, reference: np.ndarray, prompt: str, seed: int) -> np.ndarray:
        settings = {
            "num_inference_steps": self.options.num_inference_steps,
            "guidance_scale": self.options.guidance_scale,
        }
        video = self.pipe(
            **{**clip_arguments(self.pipe, reference, prompt), **settings, **self.options.call_arguments},
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        ).frames[0]
        return (np.asarray(video) * 255).round().astype(np.uint8)

    def run(self) -> list[dict[str, Any]]:
        """A row of measures for every clip."""
        features = ClipFeatures.from_pretrained(self.options.clip_model) if self.options.clip_model else None
        rows = []
        for name, reference in self.references.items():
            # A pipeline that begins with a picture gets the reference's, so plain clips belong to a reference too.
            clips = {"without": self.clips(f"{name}-without", reference)}
            self.pipe.load_motion_embedding(self.embedding(name), adapter_name=name)
            try:
                clips["with"] = self.clips(f"{name}-with", reference)
            finally:
                self.pipe.unload_motion_embedding()
            tracks = track(reference)
            for mode in MODES:
                for seed, of_seed in enumerate(clips[mode]):
                    for number, (prompt, clip) in enumerate(zip(self.options.prompts, of_seed, strict=True)):
                        plain = clips["without"][seed, number]
                        row = {"reference": name, "mode": mode, "prompt": prompt, "seed": seed}
                        rows.append(row | measures(clip, plain, reference, tracks, prompt, features))
        return rows

    def write(self, rows: list[dict[str, Any]], command: str) -> Path:
        """Write the report.

        Returns:
            Its page.
        """
        base = Path(self.options.pretrained_model_name_or_path).name
        page = Page(f"Motion embeddings on {base}", command)
        page.add(MEASURES)
        page.add(measures_table(rows))
        points = {
            f"{name}, {mode}": (
                interval(row["leakage"] for row in chosen(rows, mode, name)),
                interval(row["motion fidelity"] for row in chosen(rows, mode, name)),
            )
            for mode in MODES
            for name in self.references
        }
        page.plot(scatter(points, "leakage", "motion fidelity"), "fidelity_and_leakage", "Fidelity against leakage")
        for name, reference in self.references.items():
            page.add(f"## {name}\n\n{measures_table([row for row in rows if row['reference'] == name])}")
            sheet = [(f"reference {name}", reference)]
            for number, prompt in enumerate(self.options.prompts):
                sheet += [(f"{mode}: {prompt}", self.clips(f"{name}-{mode}", reference)[0, number]) for mode in MODES]
            page.sheet(sheet, name, f"Clips with and without the motion of {name}")
        folder = self.options.output_dir
        replace_files(folder, {"measures.json": json.dumps(rows, indent=1).encode()})
        return page.write(folder)


def measures(
    clip: np.ndarray,
    plain: np.ndarray,
    reference: np.ndarray,
    reference_tracks: Any,
    prompt: str,
    features: ClipFeatures | None,
) -> dict[str, Any]:
    """The figures of one clip."""
    fidelity = track_fidelity(track(clip), reference_tracks)
    seen = features or ColorHistogram()
    figures = {
        "motion fidelity": fidelity.score,
        "leakage": appearance_leakage(clip, plain, reference, seen).leakage,
        "tracker": fidelity.tracker,
        "features": seen.name,
    }
    if features is not None:
        figures["consistency"] = temporal_consistency(clip, features)
        figures["text similarity"] = text_similarity(clip, prompt, features)
    return figures


def chosen(rows: list[dict[str, Any]], mode: str, reference: str | None = None) -> list[dict[str, Any]]:
    """The rows of a mode, and of a reference if one is named."""
    return [row for row in rows if row["mode"] == mode and reference in (None, row["reference"])]


def measures_table(rows: list[dict[str, Any]]) -> str:
    """One line for the clips with the motion embeddings, and one for those without."""
    names = [name for name in ("motion fidelity", "leakage", "consistency", "text similarity") if name in rows[0]]
    titles = {
        "motion fidelity": f"motion fidelity ({rows[0]['tracker']})",
        "leakage": f"leakage ({rows[0]['features']})",
    }
    header = ["", "clips", *(titles.get(name, name) for name in names)]
    return table(
        header,
        [
            [
                mode,
                str(len(chosen(rows, mode))),
                *(interval(r[name] for r in chosen(rows, mode)).text() for name in names),
            ]
            for mode in MODES
        ],
    )


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    evaluation = Evaluation(options)
    given = sys.argv[1:] if arguments is None else arguments
    page = evaluation.write(evaluation.run(), shlex.join(["python", "-m", "examples.evaluate", *given]))
    print(f"Wrote {page}")


if __name__ == "__main__":
    main()
