"""What to try next, in words, from what a run measured. The bounds are rules of thumb."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffusers_motion_embed.config import LAYER_PARTS
from diffusers_motion_embed.reports.validation import Measures


MOVES = 0.6  # motion fidelity from which a motion counts as transferred
GAIN = 0.1  # by which it must exceed the clips without the motion
LEAKS = 0.1  # leakage from which the reference's look shows
FEW_LOSSES = 4  # that are too few to say where the loss goes
FALLING = 0.05  # share by which the loss fell between the last two quarters of a run that was too short

A_VALUE_PART = "a value part, --learning_rate 0.1 --parts qk v p --value_grid 3 3"
LESS_OF_VALUES = (
    'less of the value part alone, pipe.set_motion_scale({"v": 0.5}), or a run with a lower --v_learning_rate.'
)


def advise(
    measures: Sequence[Measures],
    losses: Sequence[tuple[int, float]],
    training: Mapping[str, Any] | None = None,
    parts: Sequence[str] = LAYER_PARTS,
) -> list[str]:
    """Sentences on what to try next.

    Args:
        measures: Of each validation prompt.
        losses: Steps and losses, in the order of the run.
        training: Options of the run, as the embedding's settings hold them.
        parts: Parts of the embedding.
    """
    without, moved, leakage = np.array([(m.fidelity_without, m.fidelity_with, m.leakage) for m in measures]).T
    if np.isnan(moved).all():
        return ["Nothing was seen to move in the reference. Look at it with examples/look_at_reference.py."]
    gain, moved = float(np.nanmean(moved) - np.nanmean(np.nan_to_num(without))), float(np.nanmean(moved))
    leaks = float(leakage.mean()) > LEAKS
    advice = []
    if moved >= MOVES and gain >= GAIN:
        advice.append(f"The motion arrived: fidelity {moved:.2f}, {gain:.2f} more than without it.")
    elif moved >= MOVES:
        advice.append(
            f"Clips move like the reference (fidelity {moved:.2f}), but nearly as much without the motion. Try "
            "prompts that do not ask for it."
        )
    else:
        advice.append(f"The motion did not arrive: fidelity {moved:.2f}, {moved - gain:.2f} without it.")
        advice.append(_more_motion(losses, training or {}, parts, leaks))
    if leaks:
        less = LESS_OF_VALUES if "v" in parts else "or a shorter time, pipe.set_motion_timing(0.0, 0.4)."
        advice.append(
            f"Clips take on the reference's look (leakage {leakage.mean():.2f}). Try a weaker scale, "
            f"pipe.set_motion_scale(0.7), {less}"
        )
    return advice


def _more_motion(
    losses: Sequence[tuple[int, float]], training: Mapping[str, Any], parts: Sequence[str], leaks: bool
) -> str:
    if training.get("tracked"):
        return "Try a larger motion, pipe.set_motion_scale(1.3), or train: leave out --tracked."
    steps = training.get("max_train_steps", losses[-1][0] if losses else 0)
    if len(losses) < FEW_LOSSES:
        return f"The run of {steps} steps was short. Try a longer one: leave out --max_train_steps, or double it."
    if _is_falling(losses):
        return f"The loss was still falling. Try a longer run, --max_train_steps {2 * steps}."
    if leaks and not training.get("color_negative"):
        return "What was learned is the look rather than the motion. Try --color_negative."
    by_places = "p" in parts and "v" not in parts  # as an object is learned where positions are rotary
    more = f" {A_VALUE_PART}," if by_places else ""
    camera = " If a camera moves in the reference, try --motion camera." if by_places else ""
    return (
        f"The loss has settled. Try a stronger scale, pipe.set_motion_scale(1.3),{more} or more layers, "
        f"--target_modules '.*'.{camera}"
    )


def _is_falling(losses: Sequence[tuple[int, float]]) -> bool:
    values = [loss for _, loss in losses]
    quarter = len(values) // 4
    before, last = np.mean(values[-2 * quarter : -quarter]), np.mean(values[-quarter:])
    return bool(last < (1 - FALLING) * before)
