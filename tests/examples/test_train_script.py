"""The training script as a user runs it: a process, a video file, and the result loaded again."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline

from diffusers_motion_embed import enable_motion_embedding, read_video
from tests.conftest import make_animatediff, make_text_to_video
from tests.helpers import generate


ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "examples/assets/figure_eight.mp4"


def run(*arguments, **options):
    command = [sys.executable, "examples/train_motion_embedding.py", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)


@pytest.mark.parametrize("make_pipeline", [make_text_to_video, make_animatediff], ids=["text-to-video", "animatediff"])
def test_a_video_file_becomes_an_embedding(make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path / "base")
    output = tmp_path / "out"
    done = run(
        *("--pretrained_model_name_or_path", tmp_path / "base", "--reference_video", REFERENCE),
        *("--prompt", "a red square", "--output_dir", output, "--num_frames", 4, "--stride", 2),
        *("--height", 16, "--width", 16, "--max_train_steps", 4, "--checkpointing_steps", 2),
        *("--validation_prompt", "a blue circle", "--num_inference_steps", 2, "--timestep_sampling", "0.2-0.9"),
    )
    assert done.returncode == 0, done.stderr
    assert f"The motion embedding is in {output}" in done.stdout
    assert len(read_video(output / "validation_0.mp4", 4)) == 4

    pipe = enable_motion_embedding(DiffusionPipeline.from_pretrained(tmp_path / "base"))
    pipe.set_progress_bar_config(disable=True)
    plain = generate(pipe)
    clips = []
    for folder in (output / "checkpoint-2", output / "checkpoint-4", output):
        report = pipe.load_motion_embedding(folder)
        assert report.prompt == "a red square"
        clips.append(generate(pipe))
        pipe.unload_motion_embedding()
    assert torch.equal(clips[1], clips[2])
    assert not torch.equal(clips[0], clips[1])
    assert not torch.equal(clips[0], plain)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--reference_video", "nowhere.mp4"], "There is no video at nowhere.mp4", id="no-file"),
        pytest.param(["--reference_video", "README.md"], "is no video that can be read", id="no-video"),
        pytest.param(["--num_frames", "99"], "is too short: 99 frames", id="too-short"),
        pytest.param(["--max_train_steps", "0"], "max_train_steps must be a whole number", id="no-steps"),
        pytest.param(["--timestep_sampling", "late"], "'late' is neither uniform, noisier_half nor", id="no-range"),
    ],
)
def test_bad_arguments_are_told_before_any_model_is_loaded(arguments, message, tmp_path):
    done = run(
        *("--pretrained_model_name_or_path", tmp_path / "nothing", "--reference_video", REFERENCE),
        *("--prompt", "a red square", "--output_dir", tmp_path / "out"),
        *arguments,
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
