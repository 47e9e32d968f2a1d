"""What happens between the steps of a run from a command line. Ctrl-C is tested with the training script."""

import signal

import numpy as np
import pytest

from diffusers_motion_embed.training import CheckpointConfig, TrainingConfig, train_motion_embedding
from diffusers_motion_embed.training.callback import RunCallback
from tests.helpers import NUM_FRAMES, make_config


def test_the_losses_of_the_probe_are_kept_and_the_signal_is_given_back(text_to_video, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, 16, 16, 3), dtype=np.uint8)
    config = TrainingConfig(max_train_steps=12, gradient_accumulation_steps=1)
    before = signal.getsignal(signal.SIGINT)

    def train(callback):
        train_motion_embedding(
            text_to_video,
            frames,
            "a red circle",
            config,
            embedding_config=make_config(),
            checkpoints=CheckpointConfig(output_dir=tmp_path),
            callback=callback,
            progress_bar=False,
        )

    with RunCallback(None) as callback:
        train(callback)
        text_to_video.unload_motion_embedding()
        assert [step for step, _ in callback.losses] == [0, 10, 12]
        assert all(loss > 0 for _, loss in callback.losses)
        callback.interrupt()
        with pytest.raises(SystemExit, match=r"Stopped after step 1 of 12 and saved .*checkpoint-1"):
            train(callback)
        with pytest.raises(KeyboardInterrupt):
            callback.interrupt()
    assert signal.getsignal(signal.SIGINT) is before
