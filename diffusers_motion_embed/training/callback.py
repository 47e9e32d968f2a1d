"""What happens between the steps of a run that someone started from a command line."""

import signal
from typing import Any

from diffusers_motion_embed.training.trainer import LOGGING_STEPS, TrainingProgress


class RunCallback:
    """Between steps: keeps losses, sends figures to the trackers, and ends the run in order after Ctrl-C.

    Within its `with` block, Ctrl-C asks for the end; a second one stops at once.

    Args:
        accelerator: The `Accelerator` of the run, whose trackers get the figures; None without one.

    Attributes:
        losses: Steps and losses of the probe so far, see `TrainingProgress.probe_losses`.
    """

    def __init__(self, accelerator: Any) -> None:
        self.accelerator = accelerator
        self.is_interrupted = False
        self.losses: list[tuple[int, float]] = []

    def __enter__(self) -> "RunCallback":
        self.previous = signal.signal(signal.SIGINT, self.interrupt)
        return self

    def __exit__(self, *_: Any) -> None:
        signal.signal(signal.SIGINT, self.previous)

    def interrupt(self, *_: Any) -> None:
        """Ask the run to end after this step."""
        if self.is_interrupted:
            raise KeyboardInterrupt  # a second Ctrl-C stops at once
        self.is_interrupted = True

    def __call__(self, progress: TrainingProgress) -> None:
        """What `train_motion_embedding` calls after every step."""
        self.losses = progress.probe_losses
        if progress.step % LOGGING_STEPS == 0 and self.accelerator and self.accelerator.log_with:
            self.accelerator.log(progress.logs(), step=progress.step)
        if self.is_interrupted and (self.accelerator is None or self.accelerator.is_main_process):
            folder = progress.save_checkpoint()
            raise SystemExit(
                f"\nStopped after step {progress.step} of {progress.max_train_steps} and saved {folder}. To go on, "
                "give the same command with --resume_from_checkpoint latest."
            )
