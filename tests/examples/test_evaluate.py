"""The command that measures embeddings on a pipeline and writes a report."""

import argparse
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file

from diffusers_motion_embed import enable_motion_embedding, read_video
from diffusers_motion_embed.commands.base_pipeline import load_pipeline
from diffusers_motion_embed.commands.training_arguments import add_base
from diffusers_motion_embed.metrics import appearance_leakage, motion_fidelity
from examples import evaluate
from examples.evaluate import digest_of, stored_clip


EXAMPLES = Path(evaluate.__file__).parent
TINY_T2V = EXAMPLES / "tiny-t2v"
PROMPTS = ["a yellow ring on a gray background", "a blue square on a white background"]
SIZE = {"num_frames": 16, "height": 64, "width": 64}


def load_base():
    pipe = DiffusionPipeline.from_pretrained(TINY_T2V, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return enable_motion_embedding(pipe)


def command(output, *arguments):
    given = ["--pretrained_model_name_or_path", TINY_T2V, "--output_dir", output, "--prompts", *PROMPTS]
    given += [item for name, value in SIZE.items() for item in (f"--{name}", value)]
    given += ["--num_inference_steps", 2, "--guidance_scale", 2, *arguments]
    evaluate.main([str(argument) for argument in given])
    return (output / "report" / "README.md").read_text()


def tables(page):
    """Means by row and column of each table."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", page, re.M):
        header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
        found.append(
            {
                row[0]: {name: float(cell.split()[0]) for name, cell in zip(header[1:], row[1:], strict=True)}
                for row in rows
            }
        )
    return found


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "eight.mp4"
    path.write_bytes((EXAMPLES / "assets/figure_eight.mp4").read_bytes())
    path.with_suffix(".txt").write_text("a red bar on a black background")
    return path


def clip(pipe, prompt, seed=0):
    generator = torch.Generator().manual_seed(seed)
    video = pipe(prompt, **SIZE, num_inference_steps=2, guidance_scale=2.0, generator=generator, output_type="np")
    return (np.asarray(video.frames[0]) * 255).round().astype(np.uint8)


@pytest.mark.slow
def test_learned_embeddings_are_measured_and_nothing_is_done_twice(video, tmp_path):
    training = ("--max_train_steps", 3, "--gradient_accumulation_steps", 1, "--save_dtype", "float16")
    page = command(tmp_path / "out", "--reference_videos", video, "--motion_scales", 1, 0.5, *training)
    whole, of_reference = tables(page)
    assert whole == of_reference  # of the only reference
    assert {name: row["clips"] for name, row in whole.items()} == {"without": 2, "scale 1": 2, "scale 0.5": 2}
    assert (whole["without"]["leakage (color_histogram)"]) == 0

    stored = load_file(tmp_path / "out/embeddings/eight/adapter_model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}  # as asked

    reference, pipe = read_video(video, **SIZE), load_base()
    plain = [clip(pipe, prompt) for prompt in PROMPTS]
    pipe.load_motion_embedding(tmp_path / "out/embeddings/eight")
    pipe.set_motion_scale(0.5)
    moved = [clip(pipe, prompt) for prompt in PROMPTS]
    for name, clips in {"without": plain, "scale 0.5": moved}.items():
        expected = np.mean([motion_fidelity(each, reference).score for each in clips])
        assert whole[name]["motion fidelity (lk)"] == pytest.approx(expected, abs=6e-4)
        expected = np.mean([appearance_leakage(*pair, reference).leakage for pair in zip(clips, plain, strict=True)])
        assert whole[name]["leakage (color_histogram)"] == pytest.approx(expected, abs=6e-4)
    for picture in re.findall(r"\]\((.+?)\)", page):
        assert (tmp_path / "out/report" / picture).stat().st_size > 1000

    kept = [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".npy", ".safetensors")]
    assert len(kept) == 7  # six clips and an embedding
    times = {path: path.stat().st_mtime_ns for path in kept}
    again = command(tmp_path / "out", "--reference_videos", video, "--motion_scales", 1, 0.5, *training)
    assert {path: path.stat().st_mtime_ns for path in kept} == times
    assert tables(again) == [whole, of_reference]

    given = command(tmp_path / "out", "--reference_videos", video, "--embeddings", tmp_path / "out/embeddings/eight")
    assert {path: path.stat().st_mtime_ns for path in kept} == times
    assert len(list((tmp_path / "out/clips").iterdir())) == 6  # known by what is in them
    assert tables(given)[0] == {name: whole[name] for name in ("without", "scale 1")}


def test_the_base_is_loaded_as_asked():
    given = ["--pretrained_model_name_or_path", str(TINY_T2V), "--dtype", "bfloat16", "--reference_videos", "a.mp4"]
    options = evaluate.parse_arguments([*given, "--prompts", "a", "--output_dir", "out"])
    pipe = load_pipeline(options, "cpu")
    assert pipe.unet.dtype == pipe.text_encoder.dtype == torch.bfloat16
    assert hasattr(pipe, "load_motion_embedding")


def test_clips_of_another_base_are_other_clips():
    parser = argparse.ArgumentParser(add_help=False)
    add_base(parser)
    options = vars(parser.parse_args(["--pretrained_model_name_or_path", "base"])).keys()
    of_training = {"component", "offload"}  # which model learns; where its weights are meanwhile
    assert options - of_training <= set(evaluate.GENERATION_OPTIONS)


def test_half_a_clip_is_not_trusted_and_another_identity_is_another_clip(tmp_path):
    made = []

    def get(seed):
        def make():
            made.append(seed)
            return np.full((2, 3, 3, 3), len(made), np.uint8)

        return stored_clip(tmp_path / "clips", {"seed": seed}, make).max()

    assert [get(0), get(0), get(1)] == [1, 1, 2]
    for path in (tmp_path / "clips").iterdir():
        path.write_bytes(path.read_bytes()[:-5])
    assert [get(0), get(0)] == [3, 3]
    assert len(made) == 3


def test_another_embedding_in_the_same_folder_is_another_source(tmp_path):
    assert digest_of("someone/motion") == "someone/motion"
    (tmp_path / "adapter_model.safetensors").write_bytes(b"one")
    before = digest_of(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"two")
    assert digest_of(tmp_path) != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["a.mp4", "b/a.mp4"], "a name of its own", id="one-name-twice"),
        pytest.param(["a.mp4", "b.mp4", "--embeddings", "one"], "2 reference videos and 1 embeddings", id="too-few"),
        pytest.param(["a.mp4", "--reference_prompts", "a", "b"], "and 2 reference_prompts", id="too-many"),
        pytest.param(
            ["a.mp4", "--embeddings", "one", "--max_train_steps", 3, "--parts", "qk", "--seed", 1],
            "--embeddings are learned already: leave out --max_train_steps, --parts.",
            id="options-of-training",
        ),
        pytest.param(
            ["a.mp4", "--embeddings", "one", "--reference_prompts", "a"],
            "leave out --reference_prompts.",
            id="prompt-of-training",
        ),
    ],
)
def test_what_does_not_go_together_is_told(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command(tmp_path, "--reference_videos", *arguments)
    assert message in capsys.readouterr().err


def test_a_reference_without_caption_is_told_before_the_model_is_loaded(video, tmp_path):
    video.with_suffix(".txt").unlink()
    with pytest.raises(Exception, match="No prompt for"):
        command(tmp_path / "out", "--reference_videos", video)
    assert not (tmp_path / "out").exists()
