"""Measure motion embeddings on a pipeline, and write a report.

    python -m examples.evaluate \
        --pretrained_model_name_or_path examples/tiny-t2v \
        --reference_videos examples/assets/figure_eight.mp4 examples/assets/zigzag.mp4 \
        --embeddings outputs/figure_eight outputs/zigzag \
        --prompts "a yellow ring on a gray background" "a cyan bar on a brown background" \
        --num_frames 16 --height 64 --width 64 --num_inference_steps 12 --guidance_scale 2 \
        --output_dir outputs/evaluation

Without --embeddings, one is learned from each reference video. Clips and embeddings are kept in the output folder: the
same command continues where it was stopped. What the figures mean: docs/metrics.md.
"""

import argparse
import hashlib
import io
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from diffusers_motion_embed import ReferenceClip, read_reference
from diffusers_motion_embed.architectures.conditioning import clip_arguments
from diffusers_motion_embed.commands.base_pipeline import (
    available_device,
    generate_clip,
    generation_settings,
    load_pipeline,
)
from diffusers_motion_embed.commands.training_arguments import (
    add_base,
    add_embedding,
    add_frames,
    add_generation,
    add_training,
    count,
    frame_settings,
    make_configs,
    names_given,
    parse_with_recipe,
    preview_fps,
    stored_form,
)
from diffusers_motion_embed.metrics import ClipFeatures, as_clip, measure_clip, track
from diffusers_motion_embed.storage.atomic import replace_files
from diffusers_motion_embed.training import train_motion_embedding
from diffusers_motion_embed.training.captions import read_caption
from diffusers_motion_embed.training.fleet import is_done
from diffusers_motion_embed.video.files import clip_name
from examples.report import Page, interval, scatter, table


ADAPTER_NAME = "evaluated"
# What a clip depends on besides prompt, seed, size and motion.
GENERATION_OPTIONS = (
    *("pretrained_model_name_or_path", "motion_adapter", "revision", "variant", "dtype", "quantization", "gguf"),
    *("num_inference_steps", "guidance_scale", "call_arguments"),
)
SHEET_PROMPTS = 2  # how many prompts a contact sheet shows
EXPLANATION = """\
Motion fidelity compares the tracks of points with those in the reference, by the named tracker; 1 is the same, and
chance is not 0: compare with the clips without. Leakage is how much more a clip looks like the reference than the clip
without motion embedding of the same prompt and seed does, by the named features. Means with 95 % intervals over
clips."""


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_base(parser.add_argument_group("base model"))
    group = parser.add_argument_group("what is measured")
    add = group.add_argument
    add("--reference_videos", type=Path, nargs="+", required=True, help="Video files or folders of images.")
    add_frames(group)
    add("--reference_prompts", nargs="+", help="What they show; by default the text files beside them.")
    add("--embeddings", nargs="+", help="Folders or repositories, one for each; by default they are learned.")
    add("--prompts", nargs="+", required=True, help="The prompts of the clips to make with each embedding.")
    add("--num_seeds", type=count, default=1, help="Clips of each prompt.")
    add("--motion_scales", type=float, nargs="+", default=[1.0])
    add("--clip_model", help="Folder or id of a CLIP model, for consistency and fit to the prompt.")
    add("--device", default=str(available_device()), help="By default what torch offers.")
    add("--output_dir", type=Path, default=Path("outputs/evaluation"))
    add_generation(group)
    add_training(parser.add_argument_group("training, without --embeddings"))
    add_embedding(parser.add_argument_group("embedding, without --embeddings"))
    options = parse_with_recipe(parser, arguments)
    names = [clip_name(video) for video in options.reference_videos]
    if len(set(names)) < len(names):
        parser.error("Give every reference video a name of its own.")
    for name in ("embeddings", "reference_prompts"):
        given = getattr(options, name)
        if given and len(given) != len(names):
            parser.error(f"There are {len(names)} reference videos and {len(given)} {name}.")
    if options.embeddings:
        check_needless(parser, arguments)
    return options


def check_needless(parser: argparse.ArgumentParser, arguments: list[str] | None) -> None:
    """End with an error if options are given that only say how embeddings are learned, where none is."""
    learning = argparse.ArgumentParser(add_help=False)
    add_training(learning)
    add_embedding(learning)
    names = {*vars(learning.parse_args([])), "reference_prompts", "component", "fps"} - {"seed"}  # of clips too
    if needless := sorted(names & names_given(parser, arguments)):
        parser.error(f"--embeddings are learned already: leave out {', '.join(f'--{name}' for name in needless)}.")


def learn(options: argparse.Namespace, pipe: Any, name: str, clip: ReferenceClip, prompt: str) -> str:
    """The folder of a reference's embedding, learned unless that was done before."""
    folder = options.output_dir / "embeddings" / name
    if not is_done(folder):
        training, embedding = make_configs(options)
        embedding.generation |= generation_settings(options, pipe) | {"fps": preview_fps(options, clip)}
        settings = {"embedding_config": embedding, "call_arguments": options.call_arguments}
        train_motion_embedding(pipe, clip.frames, prompt, training, adapter_name=ADAPTER_NAME, **settings)
        pipe.save_motion_embedding(folder, ADAPTER_NAME, **stored_form(options))
        pipe.unload_motion_embedding()
    return str(folder)


def stored_clip(folder: Path, identity: Mapping[str, Any], make: Callable[[], np.ndarray]) -> np.ndarray:
    """The stored clip of this identity, or a new one if there is none, or only a part of it."""
    name = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:32] + ".npy"
    try:
        return np.load(folder / name)
    except (OSError, ValueError, EOFError):
        clip = make()
    contents = io.BytesIO()
    np.save(contents, clip)
    folder.mkdir(parents=True, exist_ok=True)
    replace_files(folder, {name: contents.getvalue()})
    return clip


def digest_of(source: np.ndarray | str | Path) -> str:
    """A digest that tells clips, or embeddings, apart; an embedding's id on the Hub stands for itself."""
    if isinstance(source, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(source).tobytes()).hexdigest()
    if not Path(source).exists():
        return str(source)
    files = sorted(Path(source).glob("*.safetensors")) if Path(source).is_dir() else [Path(source)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def label_of(scale: float | None) -> str:
    """The name of this motion scale in tables, plots and sheets; None is without an embedding."""
    return "without" if scale is None else f"scale {scale:g}"


class Evaluation:
    """Generates and measures clips.

    Args:
        options: The command's options.
        pipe: The pipeline that `load_pipeline` returned.
    """

    def __init__(self, options: argparse.Namespace, pipe: Any) -> None:
        self.options, self.pipe = options, pipe
        self.features = ClipFeatures.from_pretrained(options.clip_model) if options.clip_model else None
        self.measured: list[tuple[str, str, dict[str, float]]] = []  # reference, label, measures
        self.sheets: dict[str, list[tuple[str, np.ndarray]]] = {}
        self.seeds = range(options.seed, options.seed + options.num_seeds)
        clips = len(options.reference_videos) * (1 + len(options.motion_scales)) * len(options.prompts)
        self.bar = tqdm(total=clips * len(self.seeds), unit="clip")

    def run(self, name: str, reference: np.ndarray, embedding: str) -> None:
        """Everything of one reference, (frames, height, width, 3), uint8, and the folder or id of its embedding."""
        options, tracks = self.options, track(reference)
        wanted = [(prompt, seed) for prompt in options.prompts for seed in self.seeds]
        made = {(None, *each): self.clip(reference, *each) for each in wanted}
        self.pipe.load_motion_embedding(embedding, ADAPTER_NAME)
        for scale in options.motion_scales:
            self.pipe.set_motion_scale(scale, ADAPTER_NAME)
            made |= {(scale, *each): self.clip(reference, *each, embedding, scale) for each in wanted}
        self.pipe.unload_motion_embedding()
        for (scale, prompt, seed), clip in made.items():
            measures = measure_clip(clip, reference, made[None, prompt, seed], prompt, self.features, tracks)
            self.measured.append((name, label_of(scale), measures))
        scales = (None, *options.motion_scales)
        shown = [(scale, prompt) for prompt in options.prompts[:SHEET_PROMPTS] for scale in scales]
        rows = [(f"{label_of(scale)}: {prompt}", made[scale, prompt, self.seeds[0]]) for scale, prompt in shown]
        self.sheets[name] = [(f"reference: {name}", reference), *rows]

    def clip(
        self, reference: np.ndarray, prompt: str, seed: int, embedding: str | None = None, scale: float | None = None
    ) -> np.ndarray:
        """A clip, (frames, height, width, 3), uint8: the stored one, or a new one from what is loaded."""
        needs_reference = not {"image", "video"}.isdisjoint(clip_arguments(self.pipe, reference, prompt))
        identity = {name: getattr(self.options, name) for name in GENERATION_OPTIONS} | {
            "prompt": prompt,
            "seed": seed,
            "size": reference.shape,
            "reference": digest_of(reference) if needs_reference else None,
            "embedding": embedding and digest_of(embedding),
            "scale": scale,
        }
        arguments = (self.pipe, self.options, reference, prompt, seed)
        clip = stored_clip(self.options.output_dir / "clips", identity, lambda: as_clip(generate_clip(*arguments)))
        self.bar.update()
        return clip

    def write(self, embeddings: dict[str, str], command: str) -> Path:
        """The report, with where each reference's embedding comes from and the command that made it."""
        page = Page(f"Motion embeddings on {self.options.pretrained_model_name_or_path}", command)
        page.add(EXPLANATION)
        groups = grouped((label, measures) for _, label, measures in self.measured)
        page.add(table_of(groups))
        fidelity, leakage, *_ = self.measured[0][-1]
        points = {
            label: (interval(row[leakage] for row in rows), interval(row[fidelity] for row in rows))
            for label, rows in groups.items()
        }
        page.plot(scatter(points, leakage, fidelity), "fidelity_and_leakage", f"{fidelity} against {leakage}")
        for reference, source in embeddings.items():
            page.add(f"## {reference}\n\nEmbedding: `{source}`")
            page.add(table_of(grouped((label, row) for name, label, row in self.measured if name == reference)))
            title = f"The reference {reference}, and clips without and with its motion"
            page.sheet(self.sheets[reference], reference, title)
        return page.write(self.options.output_dir / "report")


def grouped(pairs: Iterable[tuple[str, dict[str, float]]]) -> dict[str, list[dict[str, float]]]:
    """Measures of clips by label."""
    groups: dict[str, list[dict[str, float]]] = {}
    for label, measures in pairs:
        groups.setdefault(label, []).append(measures)
    return groups


def table_of(groups: dict[str, list[dict[str, float]]]) -> str:
    """A line for each label."""
    names = list(next(iter(groups.values()))[0])
    rows = [
        (label, str(len(clips)), *(interval(clip[name] for clip in clips).text(3) for name in names))
        for label, clips in groups.items()
    ]
    return table(("", "clips", *names), rows)


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    make_configs(options)  # tells of wrong values before anything is loaded
    references = {
        clip_name(video): read_reference(video, **frame_settings(options)) for video in options.reference_videos
    }
    for clip in references.values():
        print(clip.summary())
    if not options.embeddings:
        prompts = options.reference_prompts or [read_caption(video) for video in options.reference_videos]
    pipe = load_pipeline(options, options.device)
    pipe.set_progress_bar_config(disable=True)
    embeddings = options.embeddings or [
        learn(options, pipe, name, clip, prompt)
        for (name, clip), prompt in zip(references.items(), prompts, strict=True)
    ]
    evaluation = Evaluation(options, pipe)
    for (name, clip), embedding in zip(references.items(), embeddings, strict=True):
        evaluation.run(name, clip.frames, embedding)
    evaluation.bar.close()
    command = shlex.join(["python", "-m", "examples.evaluate", *(sys.argv[1:] if arguments is None else arguments)])
    print(f"The report is {evaluation.write(dict(zip(references, embeddings, strict=True)), command)}")


if __name__ == "__main__":
    main()
