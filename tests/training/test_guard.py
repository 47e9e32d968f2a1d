"""The watch over a run: what it goes back to, and that a sound run does not notice it."""

import logging
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from diffusers_motion_embed.adapter.registry import embedding_tensors
from diffusers_motion_embed.errors import TrainingDivergedError
from diffusers_motion_embed.training import CheckpointConfig, TrainingConfig, train_motion_embedding
from diffusers_motion_embed.training.checkpoints import STATE_NAME
from diffusers_motion_embed.training.guard import SLOWER
from diffusers_motion_embed.training.optimization import PROBE
from diffusers_motion_embed.training.sampling import draw_samples
from tests.helpers import NUM_FRAMES, make_config


OPTIONS = {"max_train_steps": 20, "gradient_accumulation_steps": 2, "learning_rate": 0.01}


def train(pipe, callback=None, checkpoints=None, **options):
    """The trained tensors by layer and part."""
    train_motion_embedding(
        pipe,
        np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, 16, 16, 3), dtype=np.uint8),
        "a red circle",
        TrainingConfig(**{**OPTIONS, **options}),
        embedding_config=make_config(),
        callback=callback,
        checkpoints=checkpoints,
        progress_bar=False,
    )
    tensors = embedding_tensors(pipe.unet, "default")
    pipe.unload_motion_embedding()
    return {f"{path}.{part}": tensor for path, parts in tensors.items() for part, tensor in parts.items()}


def probe_of(run):
    """The loss on the probe's samples, from its definition."""
    size, errors = run.config.train_batch_size, []
    for number in range(run.config.gradient_accumulation_steps):
        samples = draw_samples(run.config, PROBE + number * size, size, len(run.clips), run.clips.shape[1:])
        with torch.no_grad():
            prediction, target = run._denoise(run.clips, samples.noise, samples, run.conditionings)
        errors.append((prediction - target).square().mean().item())
    return sum(errors) / len(errors)


def spoil(step):
    """A callback that breaks the embedding after a step, as a rate that is too high would."""

    def callback(progress):
        if progress.step == step:
            for parameter in progress.optimization.parameters:
                parameter.data.fill_(torch.nan)

    return callback


def test_a_sound_run_is_looked_at_every_ten_steps_and_left_alone(text_to_video, caplog):
    seen = []

    def callback(progress):
        if progress.step % 10 == 0:
            seen.append((probe_of(progress.optimization), progress.logs()["probe_loss"], progress.probe_losses))

    train(text_to_video, callback, max_train_steps=23)
    (first, logged, _), (second, _, losses) = seen
    assert logged == pytest.approx(first)
    assert [step for step, _ in losses] == [0, 10, 20]
    assert [loss for _, loss in losses[1:]] == pytest.approx([first, second])
    assert second < first < losses[0][1]
    assert not [record for record in caplog.records if record.name.startswith("diffusers_motion_embed")]


def test_short_runs_are_not_looked_at(text_to_video):
    looked = []
    train(text_to_video, lambda progress: looked.extend(progress.probe_losses), max_train_steps=9)
    assert not looked


def overflow(model, steps):
    """A callback with which the scaler of half precision is on, and the model overflows in the steps after these."""

    def callback(progress):
        if progress.step == 1:
            progress.optimization.scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
            progress.optimization.forget_logs()  # of the first step
        if progress.step in steps:
            handle = model.register_forward_hook(lambda module, args, output: (output[0] * torch.inf,))
            handles.append(handle)
        elif handles:
            handles.pop().remove()

    handles = []
    return callback


def test_a_sample_that_overflows_is_left_out_of_a_run_in_half_precision(text_to_video, caplog):
    losses = []

    def callback(progress):
        if progress.step % 10 == 0:
            losses.append(progress.logs()["loss"])
        overflows(progress)

    overflows = overflow(text_to_video.unet, {3})
    tensors = train(text_to_video, callback)
    assert all(math.isfinite(loss) for loss in losses)
    assert all(tensor.isfinite().all() and tensor.any() for tensor in tensors.values())
    assert "again, and the learning rate a quarter" not in caplog.text


def test_a_run_in_half_precision_whose_samples_all_overflow_is_no_run_without_a_loss(text_to_video):
    with pytest.raises(TrainingDivergedError, match="loss became inf at step 5"):
        train(text_to_video, overflow(text_to_video.unet, {1, 2, 3, 4, 5}), max_train_steps=5)


@pytest.mark.parametrize("lr_scheduler", ["constant", "cosine"])
def test_a_run_that_got_worse_goes_back_and_on_with_a_lower_rate(text_to_video, caplog, lr_scheduler):
    kept, rates = {}, {}

    def callback(progress):
        if progress.step in (10, 20, 25):
            rates[progress.step] = progress.logs()["learning_rate"]
            kept[progress.step] = progress.optimization.trained()
        spoil(15)(progress)

    options = {"max_train_steps": 30, "lr_scheduler": lr_scheduler}
    with caplog.at_level(logging.WARNING):
        train(text_to_video, callback, **options)
    for name, tensor in kept[10].items():
        assert torch.equal(kept[20][name], tensor)
    assert "the embedding is that of step 10 again" in caplog.text
    sound = {}
    train(text_to_video, lambda progress: sound.update({progress.step: progress.logs()["learning_rate"]}), **options)
    assert [rates[step] for step in (10, 20, 25)] == pytest.approx([sound[10], sound[20] / SLOWER, sound[25] / SLOWER])


def test_asking_for_figures_sends_a_broken_run_back_at_once(text_to_video, tmp_path):
    kept, figures = {}, {}

    def callback(progress):
        if progress.step in (10, 14):
            figures[progress.step] = progress.logs()
            kept[progress.step] = progress.optimization.trained()
            progress.save_checkpoint()
        spoil(12)(progress)

    train(text_to_video, callback, CheckpointConfig(output_dir=tmp_path))
    assert figures[14]["loss"] == pytest.approx(figures[10]["probe_loss"])
    for name, tensor in kept[10].items():
        assert torch.equal(kept[14][name], tensor)


def test_a_run_that_gets_worse_at_its_end_ends_with_its_best(text_to_video):
    best = {}

    def callback(progress):
        if progress.step == 10:
            best.update(progress.optimization.trained())
        spoil(19)(progress)

    tensors = train(text_to_video, callback)
    for name, tensor in best.items():
        assert torch.equal(tensors[name], tensor)


@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_rates_that_would_break_a_run_are_lowered(text_to_video, caplog, rate):
    losses = []
    tensors = train(
        text_to_video, lambda progress: losses.append(progress.probe_losses), learning_rate=rate, max_train_steps=40
    )
    assert "learning rate a quarter" in caplog.text
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert all(math.isfinite(loss) for _, loss in losses[-1])


def test_an_interrupted_run_that_went_back_ends_as_if_it_had_not_been_interrupted(text_to_video, tmp_path):
    class StopError(Exception):
        pass

    def stop(progress):
        spoil(5)(progress)
        if progress.step == 13:
            progress.save_checkpoint()
            raise StopError

    options = {"max_train_steps": 30, "lr_scheduler": "cosine"}
    whole = train(text_to_video, spoil(5), **options)
    with pytest.raises(StopError):
        train(text_to_video, stop, CheckpointConfig(output_dir=tmp_path), **options)
    assert any(name.startswith("best.") for name in load_file(tmp_path / "checkpoint-13" / STATE_NAME))
    resumed = train(
        text_to_video,
        checkpoints=CheckpointConfig(output_dir=tmp_path, resume_from_checkpoint="latest"),
        **options,
    )
    for name, tensor in whole.items():
        assert torch.equal(resumed[name], tensor)
