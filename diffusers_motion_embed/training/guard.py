"""What keeps a run on an unknown model safe: it goes back when the loss on a fixed probe says that it got worse."""

import logging
import math
from typing import Any

from torch import Tensor

from diffusers_motion_embed.errors import TrainingDivergedError
from diffusers_motion_embed.training.optimization import Optimization


logger = logging.getLogger(__name__)

BEST = "best."  # before the names of the best embedding's tensors in a checkpoint
SLOWER = 4.0  # what the learning rate is divided by when a run goes back


class Guard:
    """Watches the probe's loss, see `Optimization.probe`, and keeps the embedding that had the lowest.

    A run that has lost half of what it had gained goes back to that embedding, and on with a quarter of the learning
    rate. So does one whose loss is not finite. At its end a run takes the best embedding.

    Args:
        run: What is watched.

    Attributes:
        losses: Steps and losses of the probe, from step 0 on, that are finite.
    """

    def __init__(self, run: Optimization) -> None:
        self.run = run
        self.losses: list[tuple[int, float]] = []
        self.best: dict[str, Tensor] = {}

    def look(self) -> None:
        """Look at the run after the steps that it has done, and send it back if need be.

        Raises:
            TrainingDivergedError: If the loss is not finite before the first step.
        """
        step, loss = self.run.step_number, self.run.probe()
        if math.isfinite(loss):
            self.losses.append((step, loss))
        elif not self.losses:
            raise TrainingDivergedError(
                f"The loss is {loss} before the first step. Use another mixed_precision "
                f"({self.run.config.mixed_precision}), or another dtype of the model ({self.run.model.dtype})."
            )
        first, (lowest, best_step) = self.losses[0][1], min((value, at) for at, value in self.losses)
        if step == best_step:
            self.best = self.run.trained()
        elif not loss <= (first + lowest) / 2:  # or NaN
            self.run.take(self.best)
            self.run.slow_down(SLOWER)
            log = logger.warning if self.run.process_index == 0 else logger.debug
            log(
                "At step %d the loss on samples kept aside is %.4g, where it was %.4g at step %d: the embedding is "
                "that of step %d again, and the learning rate a quarter of what it was.",
                *(step, loss, lowest, best_step, best_step),
            )
        elif step == self.run.config.max_train_steps:
            self.run.take(self.best)

    def logs(self) -> dict[str, float]:
        """`Optimization.logs`; a watched run whose figures are not finite goes back first.

        Raises:
            TrainingDivergedError: If they are not finite, and the run is not watched or shared among processes, which
                look together.
        """
        try:
            return self.run.logs()
        except TrainingDivergedError:
            if not self.losses or self.run.num_processes > 1:
                raise
            self.look()
            return self.run.logs()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that another object needs to go on with the run, as tensors and as JSON values."""
        tensors, values = self.run.state()
        best = {BEST + name: tensor for name, tensor in self.best.items()}
        return tensors | best, values | {"probe_losses": self.losses}

    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises:
            CheckpointError: If it comes from a run with other options, references or layers.
        """
        self.run.load_state(tensors, values)
        self.best = {name.removeprefix(BEST): tensor for name, tensor in tensors.items() if name.startswith(BEST)}
        self.losses = [(step, loss) for step, loss in values["probe_losses"]]
