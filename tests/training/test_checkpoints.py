"""Runs that end early and go on: bit for bit what they would have been."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import diffusers_motion_embed as dme
from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed.storage.files import WEIGHTS_NAME
from diffusers_motion_embed.training import CheckpointConfig, CheckpointError, TrainingConfig, train_motion_embedding
from diffusers_motion_embed.training.checkpoints import STATE_NAME, list_checkpoints
from tests.conftest import make_text_to_video
from tests.helpers import NUM_FRAMES, assert_unchanged, make_config, snapshot


STEPS = 8
OPTIONS = {
    "max_train_steps": STEPS,
    "lr_scheduler": "cosine",
    "lr_warmup_steps": 2,
    "gradient_accumulation_steps": 2,
    "max_grad_norm": 1.0,
    "loss": "debiased_hybrid",
    "spatial_rank": 2,
}
ROOT = Path(__file__).parents[2]


def frames():
    return np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, 16, 16, 3), dtype=np.uint8)


class StopError(Exception):
    """Ends a run from its callback."""


def train(
    folder,
    *,
    stop_after=None,
    resume=None,
    pipe=None,
    callback=None,
    limit=None,
    prompt="a red circle",
    debias="difference",
    **options,
):
    """Train on a fresh pipeline, and return the saved embedding's bytes; None if stopped."""
    pipe = pipe or enable_motion_embedding(make_text_to_video())

    def stop(progress):
        if callback:
            callback(progress)
        if progress.step == stop_after:
            raise StopError

    checkpoints = CheckpointConfig(
        output_dir=folder, checkpointing_steps=3, checkpoints_total_limit=limit, resume_from_checkpoint=resume
    )
    try:
        train_motion_embedding(
            pipe,
            frames(),
            prompt,
            TrainingConfig(**{**OPTIONS, **options}),
            embedding_config=make_config(debias=debias),
            checkpoints=checkpoints,
            callback=stop,
            progress_bar=False,
        )
    except StopError:
        return None
    dme.save_motion_embedding(pipe, folder / "result")
    return (folder / "result" / WEIGHTS_NAME).read_bytes()


def names(folder):
    return [path.name for path in list_checkpoints(folder)]


@pytest.mark.parametrize("loss", ["base", "debiased_hybrid"])
def test_a_resumed_run_gives_the_same_bytes(tmp_path, loss):
    whole = train(tmp_path / "whole", loss=loss)
    assert train(tmp_path / "parts", loss=loss, stop_after=4) is None
    assert names(tmp_path / "parts") == ["checkpoint-3"]
    steps = []
    again = train(
        tmp_path / "parts", loss=loss, resume="latest", callback=lambda progress: steps.append(progress.step)
    )
    assert steps == [4, 5, 6, 7, 8]
    assert again == whole


def test_a_checkpoint_is_an_embedding(tmp_path, text_to_video):
    train(tmp_path)
    text_to_video.load_motion_embedding(tmp_path / "checkpoint-3")
    last = load_file(tmp_path / "checkpoint-6" / WEIGHTS_NAME)
    state = load_file(tmp_path / "checkpoint-6" / STATE_NAME)
    for key, tensor in last.items():
        assert torch.equal(
            state[f"trained.{key.removeprefix('base_model.model.').replace('.motion_embedding_', '.')}"], tensor
        )


def test_a_run_does_not_begin_among_the_checkpoints_of_another(tmp_path, text_to_video):
    train(tmp_path, stop_after=4)
    before = (tmp_path / "checkpoint-3" / STATE_NAME).read_bytes()
    text_to_video.unload_motion_embedding()
    with pytest.raises(CheckpointError, match=r'holds checkpoint-3 of an earlier run\. Go on .*="latest"'):
        train(tmp_path, pipe=text_to_video)
    assert (tmp_path / "checkpoint-3" / STATE_NAME).read_bytes() == before
    assert not text_to_video.get_list_motion_embeddings()


def test_a_run_does_not_go_on_through_another_debiasing(tmp_path):
    train(tmp_path, stop_after=4)
    with pytest.raises(CheckpointError, match="other settings: debias 'difference' there, 'centered' here"):
        train(tmp_path, resume="latest", debias="centered")
    assert train(tmp_path, resume="latest")


def test_a_checkpoint_may_be_named_as_it_is_in_the_folder(tmp_path):
    whole = train(tmp_path / "whole")
    train(tmp_path / "parts", stop_after=4)
    assert train(tmp_path / "parts", resume="checkpoint-3") == whole
    with pytest.raises(CheckpointError, match=r"There is no .* in checkpoint-4. .* holds checkpoint-3"):
        train(tmp_path / "parts", resume="checkpoint-4")


def test_only_the_last_checkpoints_are_kept(tmp_path):
    train(tmp_path, limit=1)
    assert names(tmp_path) == ["checkpoint-6"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-6", "result"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    half, deleted = tmp_path / "checkpoint-2", tmp_path / ".checkpoint-1.old"
    for folder in (half, deleted):
        folder.mkdir(parents=True)
    (half / f".{STATE_NAME}.new").write_bytes(b"half")
    (deleted / "file").write_bytes(b"rest")
    assert list_checkpoints(tmp_path) == []
    train(tmp_path, stop_after=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3"]


def test_latest_begins_anew_where_there_is_none(tmp_path, caplog):
    assert train(tmp_path, resume="latest", max_train_steps=2) == train(tmp_path / "other", max_train_steps=2)
    assert "There is no checkpoint in" in caplog.text


def test_a_run_with_a_constant_rate_can_be_made_longer(tmp_path):
    constant = {"lr_scheduler": "constant", "loss": "base"}
    train(tmp_path / "short", **constant, max_train_steps=3)
    longer = train(tmp_path / "short", **constant, max_train_steps=6, resume="latest")
    assert longer == train(tmp_path / "whole", **constant, max_train_steps=6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"seed": 5}, "other settings: seed 0 there, 5 here", id="seed"),
        pytest.param({"max_train_steps": 9}, "max_train_steps 8 there, 9 here", id="steps-of-a-falling-rate"),
        pytest.param({"prompt": "a blue ring"}, "other settings: other references, prompts or sizes", id="prompt"),
        pytest.param(
            {"resume": "nowhere"}, "There is no training_state.safetensors in nowhere.*checkpoint-3", id="no-file"
        ),
        pytest.param({"damage": True}, "is not a complete training state", id="damaged"),
    ],
)
def test_a_checkpoint_that_does_not_fit_changes_nothing(tmp_path, change, message):
    train(tmp_path, stop_after=3)
    if change.pop("damage", False):
        path = tmp_path / "checkpoint-3" / STATE_NAME
        path.write_bytes(path.read_bytes()[:-100])
    pipe = enable_motion_embedding(make_text_to_video())
    before = snapshot(pipe.unet)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(CheckpointError, match=message):
        train(tmp_path, pipe=pipe, **{"resume": "latest", **change})
    assert_unchanged(pipe.unet, before)
    assert files == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["checkpointing_steps", "checkpoints_total_limit"])
def test_numbers_are_checked(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name} must be None or a whole number of at least 1, got 0"):
        CheckpointConfig(output_dir=tmp_path, **{name: 0})


def test_the_users_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    train(Path("~/run"), stop_after=3)
    assert {path.name for path in (tmp_path / "run/checkpoint-3").iterdir()} >= {STATE_NAME, WEIGHTS_NAME}
    assert not (tmp_path / "~").exists()
    for given in ("~/run/checkpoint-3", "latest"):
        found = CheckpointConfig(output_dir=Path("~/run"), resume_from_checkpoint=given).find()
        assert found == tmp_path / "run/checkpoint-3"


RUN = """
import sys
from pathlib import Path
from tests.training.test_checkpoints import train
print("ready", flush=True)
train(Path(sys.argv[1]), resume="latest", limit=2)
"""


def start(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )


def test_killed_runs_go_on_to_the_same_bytes(tmp_path, kills):
    rng, started = random.Random(0), time.perf_counter()
    expected = train(tmp_path / "whole")
    seconds = time.perf_counter() - started
    folder, killed = tmp_path / "killed", 0
    while killed < kills:
        run = start(folder)
        assert run.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, seconds))
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.stdout.close()
        killed += 1
        for path in list_checkpoints(folder):  # whole ones, whenever it was killed
            dme.load_motion_embedding(make_text_to_video(), path)
        if (folder / "result" / WEIGHTS_NAME).exists():
            assert (folder / "result" / WEIGHTS_NAME).read_bytes() == expected
            shutil.rmtree(folder)
    assert train(folder, resume="latest") == expected
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]
