"""Prompts to try a motion on, made from the reference's own."""

import re
import shlex


SUBJECTS = ("a panda", "a robot", "a paper boat")
PLACES = ("on a beach at sunset", "in a snowy forest", "on a stage with red curtains")
_ARTICLE = r"(?:a|an|the|one|two|three|some)"
_PLACE = r"(?:on|in|at|down|up|over|under|across|through|along|before|behind|against|around|by|near|into|onto|from)"


def offer_prompts(prompt: str | None) -> list[str]:
    """Three prompts with another subject, another place, or both, and what the reference's subject does.

    Args:
        prompt: What the reference shows; None or empty if nobody said it.
    """
    subject, does, place = _parse((prompt or "").strip().rstrip("."))
    offered = [(SUBJECTS[0], does, place or PLACES[2]), (subject or SUBJECTS[2], does, PLACES[0])]
    return [" ".join(filter(None, parts)) for parts in (*offered, (SUBJECTS[1], does, PLACES[1]))]


def without_report(prompt: str | None) -> str:
    """What a run without validation prompts says instead of a report."""
    offered = " ".join(map(shlex.quote, offer_prompts(prompt)))
    return f"Without a prompt to try, there is no report. For instance: --validation_prompt {offered}"


def _parse(prompt: str) -> tuple[str, str, str]:
    """Subject, what it does, and where, by the first words that look like a verb and like a place."""
    found = re.match(
        rf"({_ARTICLE} [^,]*?)((?: (?:is|are))?(?: \w+(?:ing|s)\b(?: \w+ly)?)?)((?: {_PLACE} .*)?)$",
        prompt,
        re.IGNORECASE,
    )
    return (found[1], found[2].strip(), found[3].strip()) if found else (prompt, "", "")
