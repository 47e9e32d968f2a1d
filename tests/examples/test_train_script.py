"""The training script as a user runs it: a process, a video file, and the result loaded again."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from diffusers_motion_embed import MotionEmbeddingError, enable_motion_embedding, read_reference
from diffusers_motion_embed.errors import CheckpointError
from diffusers_motion_embed.storage.files import CONFIG_NAME, WEIGHTS_NAME
from diffusers_motion_embed.training.checkpoints import STATE_NAME
from examples.train_motion_embedding import main
from tests.conftest import make_animatediff, make_text_to_video
from tests.helpers import generate
from tests.pipelines.wan import wan


ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "examples/assets/figure_eight.mp4"


def run(*arguments, start=("examples/train_motion_embedding.py",), **options):
    command = [sys.executable, *map(str, (*start, *arguments))]
    return subprocess.run(command, **{"cwd": ROOT, **options}, capture_output=True, text=True, timeout=300)


def interrupted(command, pattern):
    """What a command says that gets a Ctrl-C as soon as it has said what the pattern matches, and ends with 1."""
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    said = ""
    while not re.search(pattern, said):
        piece = process.stderr.read(20)
        assert piece, said
        said += piece
    process.send_signal(signal.SIGINT)
    said += process.stderr.read()
    assert process.wait() == 1
    return said


@pytest.fixture
def run_here(monkeypatch):
    """A function that runs the script in this process, which saves the time for imports."""

    def run_here(*arguments):
        AcceleratorState._reset_state(reset_partial_state=True)
        monkeypatch.setattr(sys, "argv", ["train_motion_embedding.py", *map(str, arguments)])
        main()

    yield run_here
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("make_pipeline", [make_text_to_video, make_animatediff], ids=["text-to-video", "animatediff"])
def test_a_video_file_becomes_an_embedding(make_pipeline, tmp_path, run_here, capsys):
    make_pipeline().save_pretrained(tmp_path / "base")
    output = tmp_path / "out"
    run_here(
        *("--pretrained_model_name_or_path", tmp_path / "base", "--reference_video", REFERENCE),
        *("--prompt", "a red square", "--output_dir", output, "--num_frames", 4, "--stride", 2),
        *("--height", 16, "--width", 16, "--max_train_steps", 4, "--checkpointing_steps", 2),
        *("--validation_prompt", "a blue circle", "--num_inference_steps", 2, "--timestep_sampling", "0.2-0.9"),
    )
    said = capsys.readouterr().out
    assert f"The motion embedding is in {output}" in said
    assert "4 frames of 16 x 16 at 4 per second" in said
    assert json.loads((output / "adapter_config.json").read_text())["generation"]["fps"] == 4
    assert (output / "report.html").is_file()
    for name in ("validation_0.mp4", "preview.mp4", "preview.gif"):
        assert read_reference(output / name, 4).fps == 4, name
    with Image.open(output / "comparison.webp") as picture:
        assert picture.n_frames == 4

    run_here(  # in the same folder, where nothing is left of the first motion's clips
        *("--pretrained_model_name_or_path", tmp_path / "base", "--reference_video", REFERENCE),
        *("--prompt", "a red square", "--output_dir", output, "--num_frames", 4, "--stride", 2),
        *("--height", 16, "--width", 16, "--max_train_steps", 4, "--timestep_sampling", "0.2-0.9"),
        *("--resume_from_checkpoint", output / "checkpoint-4"),
    )
    assert sorted(path.name for path in output.iterdir() if path.is_file()) == [CONFIG_NAME, WEIGHTS_NAME]

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


@pytest.mark.slow
@pytest.mark.parametrize("offload", ["model", "group"])
def test_options_for_less_memory_and_the_best_checkpoint(offload, tmp_path, run_here, capsys):
    make_text_to_video().save_pretrained(tmp_path / "base")
    features = tmp_path / "features.safetensors"

    def train(output, *arguments):
        run_here(
            *("--pretrained_model_name_or_path", tmp_path / "base", "--reference_video", REFERENCE),
            *("--prompt", "a red square", "--output_dir", output, "--num_frames", 4, "--height", 16, "--width", 16),
            *("--max_train_steps", 4, "--offload", offload, "--features", features, *arguments),
        )
        return (output / "adapter_model.safetensors").read_bytes()

    learned = train(tmp_path / "first")
    train(
        *(tmp_path / "best", "--checkpointing_steps", 2, "--select", "best", "--num_inference_steps", 4),
        *("--validation_prompt", "a blue circle"),
    )
    said = capsys.readouterr().out
    assert said.count("Selected: ") == 1
    assert said.count("  tried: ") == 8  # three embeddings at three scales, less the best
    assert (tmp_path / "best/report.html").is_file()
    # The features are kept now, and nothing else needs the text encoder.
    shutil.rmtree(tmp_path / "base/text_encoder")
    assert train(tmp_path / "second") == learned


@pytest.mark.slow
def test_a_path_is_tracked_without_training(tmp_path, run_here, capsys):
    wan().save_pretrained(tmp_path / "base")
    output = tmp_path / "out"
    track = partial(
        run_here,
        *("--tracked", "--pretrained_model_name_or_path", tmp_path / "base", "--reference_video", REFERENCE),
        *("--prompt", "a red square", "--output_dir", output, "--num_frames", 5, "--height", 32, "--width", 32),
        *("--validation_prompt", "a blue circle", "--num_inference_steps", 2),
    )
    track()
    assert f"The motion embedding is in {output}" in capsys.readouterr().out
    assert (output / "report.html").is_file()
    assert (output / "preview.mp4").is_file()
    assert list(load_file(output / "adapter_model.safetensors")) == ["base_model.model.rope.motion_embedding_p"]
    assert json.loads((output / "adapter_config.json").read_text())["training"]["tracked"] is True
    (output / "checkpoint-3").mkdir()
    (output / "checkpoint-3" / STATE_NAME).touch()
    with pytest.raises(CheckpointError, match=r"holds checkpoint-3 of an earlier run\. Delete them, or"):
        track()


def test_accelerate_launches_it_from_any_folder_with_its_own_settings(tmp_path):
    """Without the repository on the path, where `python -m` and pytest put it.

    The base is stored in half precision, of which diffusers alone would load the text encoder so, and the rest in
    float32.
    """
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1")
    launcher += ("--dynamo_backend", "no", "--mixed_precision", "bf16", ROOT / "examples/train_motion_embedding.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = run(
        *("--pretrained_model_name_or_path", ROOT / "examples/tiny-t2v", "--reference_video", REFERENCE),
        *("--prompt", "a red bar on a black background", "--output_dir", "out", "--height", 64, "--width", 64),
        *("--max_train_steps", 1, "--validation_prompt", "a yellow ring", "--num_inference_steps", 1),
        *("--report_to", "none"),
        start=launcher,
        cwd=tmp_path,
        env={**environment, "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "2"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/validation_0.mp4").is_file()
    training = json.loads((tmp_path / "out/adapter_config.json").read_text())["training"]
    assert (training["mixed_precision"], training["gradient_accumulation_steps"]) == ("bf16", 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--reference_video", "nowhere.mp4"], "There is no video at nowhere.mp4", id="no-file"),
        pytest.param(["--reference_video", ROOT / "README.md"], "is not a video that can be read", id="no-video"),
        pytest.param(["--num_frames", "99"], "is too short: 99 frames", id="too-short"),
        pytest.param(["--max_train_steps", "0"], "max_train_steps must be a whole number", id="no-steps"),
        pytest.param(
            ["--timestep_sampling", "late"], "'late' is neither uniform, noisier_half, high_noise nor", id="no-range"
        ),
    ],
)
def test_bad_arguments_are_told_before_any_model_is_loaded(arguments, message, tmp_path, run_here, capsys):
    with pytest.raises((MotionEmbeddingError, SystemExit, ValueError, OSError)) as told:
        run_here(
            *("--pretrained_model_name_or_path", tmp_path / "nothing", "--reference_video", REFERENCE),
            *("--prompt", "a red square", "--output_dir", tmp_path / "out"),
            *arguments,
        )
    assert getattr(told.value, "code", 1)
    assert message in f"{told.value} {capsys.readouterr().err}"
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_needs_are_told_from_settings_alone(tmp_path):
    make_text_to_video().save_pretrained(tmp_path / "base")
    for path in (tmp_path / "base").rglob("*.safetensors"):
        path.unlink()
    done = run(
        *("--pretrained_model_name_or_path", tmp_path / "base", "--reference_video", REFERENCE),
        *("--output_dir", tmp_path / "out", "--num_frames", 4, "--height", 16, "--width", 16),
        *("--estimate", "--memory", "1MB"),
    )
    assert done.returncode == 0, done.stderr
    assert "TextToVideoSDPipeline, weights: vae" in done.stdout
    assert "Marked with - is what does not fit into 0.00 GB." in done.stdout
    assert not (tmp_path / "out").exists()


SMALL = (
    *("--num_frames", 4, "--height", 16, "--width", 16),
    *("--max_train_steps", 4, "--gradient_accumulation_steps", 1),
)


@pytest.fixture
def base(tmp_path):
    make_text_to_video().save_pretrained(tmp_path / "base")
    return ("--pretrained_model_name_or_path", tmp_path / "base")


def weights(folder):
    return load_file(folder / "adapter_model.safetensors")


def launch(processes, *arguments):
    """Run the script in several processes on the CPU, for which `accelerate launch` would want MPI."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", processes, "--standalone"]
    command += ["examples/train_motion_embedding.py", *arguments]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    return subprocess.run([*map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_the_same_samples(base, tmp_path, run_here):
    shared = (*base, "--reference_video", REFERENCE, "--prompt", "a red bar", *SMALL, "--learning_rate", 0.01)
    shared += ("--max_train_steps", 10)  # enough to be watched, which the processes do together
    run_here(*shared, "--gradient_accumulation_steps", 2, "--output_dir", tmp_path / "alone")
    together = launch(2, *shared, "--output_dir", tmp_path / "together")
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("The motion embedding is in") == 1
    run_here(*shared, "--output_dir", tmp_path / "half")
    one, two, other = (weights(tmp_path / name) for name in ("alone", "together", "half"))
    # To rounding, which Adam magnifies where a gradient is nearly zero.
    assert max((one[key] - two[key]).abs().max().item() for key in one) < 1e-3
    assert max((one[key] - other[key]).abs().max().item() for key in one) > 1e-2


@pytest.mark.slow
def test_a_fleet_shares_videos_skips_what_is_done_and_survives_a_failure(base, tmp_path, run_here, capsys):
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("eight", "zigzag"):
        (videos / f"{name}.mp4").write_bytes(REFERENCE.read_bytes())
        (videos / f"{name}.txt").write_text(f"a clip of {name}\n")
    (videos / "broken.mp4").write_bytes(b"no video")
    rows = [{"video": "eight.mp4"}, {"video": "broken.mp4", "prompt": "nothing"}]
    rows += [{"video": "zigzag.mp4", "prompt": "a blue ring", "name": "other"}]
    (videos / "list.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    output = tmp_path / "out"
    arguments = (*base, *SMALL, "--output_dir", output, "--reference_videos", videos / "list.jsonl")

    done = launch(2, *arguments)
    assert done.returncode != 0
    lines = done.stdout.splitlines()
    assert lines.count("eight: trained") == 1  # told by one of the two processes
    assert "other: trained" in lines
    assert any(line.startswith("broken: VideoError: ") for line in lines)
    assert "1 of 3 failed: broken" in done.stderr
    assert not (output / "broken" / "adapter_model.safetensors").exists()
    pipe = enable_motion_embedding(DiffusionPipeline.from_pretrained(tmp_path / "base"))
    assert pipe.load_motion_embedding(output / "eight").prompt == "a clip of eight"
    assert pipe.load_motion_embedding(output / "other", "other").prompt == "a blue ring"

    before = (output / "eight" / "adapter_model.safetensors").stat().st_mtime_ns
    (videos / "broken.mp4").write_bytes(REFERENCE.read_bytes())
    run_here(*arguments)
    assert capsys.readouterr().out.splitlines()[-4:-1] == [
        "eight: done before",
        "broken: trained",
        "other: done before",
    ]
    assert (output / "eight" / "adapter_model.safetensors").stat().st_mtime_ns == before


def test_control_c_saves_and_the_run_goes_on_to_the_same_bytes(base, tmp_path, run_here):
    arguments = (*base, "--reference_video", REFERENCE, "--prompt", "a red bar", *SMALL, "--max_train_steps", 150)
    command = [sys.executable, "examples/train_motion_embedding.py", *map(str, arguments)]
    command += ["--output_dir", str(tmp_path / "out")]
    said = interrupted(command, r" [1-9]\d*/150 ")  # the progress bar after the first steps
    assert "Stopped after step" in said
    assert "--resume_from_checkpoint latest" in said
    (checkpoint,) = (tmp_path / "out").glob("checkpoint-*")
    assert 0 < int(checkpoint.name.removeprefix("checkpoint-")) < 150
    run_here(*arguments, "--output_dir", tmp_path / "out", "--resume_from_checkpoint", "latest")
    run_here(*arguments, "--output_dir", tmp_path / "whole")
    files = [tmp_path / name / "adapter_model.safetensors" for name in ("out", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_control_c_during_the_validation_says_where_the_embedding_is(base, tmp_path):
    arguments = (*base, "--reference_video", REFERENCE, "--prompt", "a red bar", *SMALL, "--max_train_steps", 2)
    arguments += ("--validation_prompt", "a blue ring", "--num_inference_steps", 1000, "--output_dir", tmp_path)
    command = [sys.executable, "examples/train_motion_embedding.py", *map(str, arguments)]
    said = interrupted(command, r" [1-9]\d*/1000 ")  # the pipeline's progress bar
    assert f"Stopped. The motion embedding is in {tmp_path}" in said
    assert "Traceback" not in said
    assert (tmp_path / WEIGHTS_NAME).exists()


def test_captions_come_from_files_and_figures_go_to_a_tracker(base, tmp_path, run_here):
    videos = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for video in videos:
        video.write_bytes(REFERENCE.read_bytes())
        video.with_suffix(".txt").write_text(f"a clip {video.stem}")
    output = tmp_path / "out"
    run_here(
        *(*base, "--reference_video", *videos, *SMALL, "--max_train_steps", 20, "--output_dir", output),
        *("--report_to", "tensorboard", "--hub_token", "hf_secret"),
        *("--validation_prompt", "a blue circle", "--num_inference_steps", 2),
    )
    assert not [path for path in output.rglob("*") if path.is_file() and b"hf_secret" in path.read_bytes()]
    config = json.loads((output / "adapter_config.json").read_text())
    assert config["training"]["prompt"] == ["a clip one", "a clip two"]
    (events,) = output.glob("motion_embedding/events.*")
    seen = EventAccumulator(str(events), size_guidance={"images": 0, "tensors": 0}).Reload()
    assert {"loss", "v_size", "learning_rate"} <= set(seen.Tags()["scalars"])
    assert [event.step for event in seen.Scalars("loss")] == [10, 20]
    assert any(tag.startswith("validation_0") for tag in seen.Tags()["images"])


def test_a_video_without_a_prompt_is_told(base, tmp_path, run_here):
    with pytest.raises(MotionEmbeddingError, match=r"No prompt for .*figure_eight\.txt"):
        run_here(*base, "--reference_video", REFERENCE, *SMALL, "--output_dir", tmp_path / "out")


def test_the_script_needs_no_more_than_the_extra_for_training():
    code = (
        "import sys; sys.modules |= dict.fromkeys(['matplotlib', 'skimage']); import examples.train_motion_embedding"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
