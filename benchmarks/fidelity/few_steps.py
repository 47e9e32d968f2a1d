"""Motion that was learned on the plain model, used where a LoRA makes clips in few steps."""

import contextlib
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE

from benchmarks.fidelity.lab import Clips, Lab, Outcome
from benchmarks.fidelity.learned import BUDGET, Uses, recipes_behind, scaled
from benchmarks.peers import Method
from benchmarks.tiny_world.train_few_steps import ADAPTER, use_few_steps


WITHOUT = "few steps, without"


@contextlib.contextmanager
def few_steps(pipe: Any, lora: Path) -> Iterator[None]:
    """The pipeline with the LoRA and its scheduler, for a while."""
    scheduler = pipe.scheduler
    pipe.load_lora_weights(lora, adapter_name=ADAPTER)
    use_few_steps(pipe)
    try:
        yield
    finally:
        pipe.scheduler = scheduler
        pipe.unload_lora_weights()


@dataclass(frozen=True)
class FewSteps:
    """An `Experiment`.

    Args:
        method: What learns, without the LoRA.
        lora: Folder that `train_few_steps.py` wrote.
        uses: How what was learned is used with the LoRA; each sets the scale.
        num_samples: The method's budget.
    """

    method: Method
    lora: Path
    uses: Uses
    num_samples: int = BUDGET

    @property
    def settings(self) -> str:
        """See `Experiment`."""
        path = self.lora / LORA_WEIGHT_NAME_SAFE
        if not path.is_file():
            command = f"python -m benchmarks.tiny_world.train_few_steps --output_dir {self.lora}"
            raise FileNotFoundError(f"There is no LoRA for few steps at {path}; {command} trains it.")
        weights = path.read_bytes()
        return repr(
            (
                self.method,
                self.num_samples,
                hashlib.sha256(weights).hexdigest()[:8],
                list(self.uses),
                *recipes_behind(self.method),
            )
        )

    def references(self, names: list[str]) -> list[str]:
        """Each on its own."""
        return names

    def run(self, lab: Lab, reference: str) -> Outcome:
        """See `Experiment`."""
        looks, learned_from, started = (
            lab.references.looks_for(reference),
            lab.reference(reference),
            time.process_time(),
        )
        with self.method.learn(lab.pipe, learned_from, self.num_samples, seed=0) as transfer:
            seconds, clips = time.process_time() - started, []
            with few_steps(lab.pipe, self.lora):
                scaled(0.0)(lab.pipe)
                plain = lab.generate(transfer.generate, looks, WITHOUT)
                clips.append(Clips(WITHOUT, plain, looks, plain))
                for use, prepare in self.uses.items():
                    figures = prepare(lab.pipe) or {}
                    frames = lab.generate(transfer.generate, looks, use)
                    clips.append(Clips(use, frames, looks, plain, figures=figures))
        return Outcome(clips, learned_from.frames, seconds, transfer.num_bytes)
