"""The two halves of the references: one to choose by, one to report on."""

from benchmarks.tiny_world.reference_sets import ReferenceSet
from benchmarks.tiny_world.references import CHOOSING, OBJECT_REFERENCES
from benchmarks.tiny_world.scene import NUM_FRAMES


HALVES = ("choose", "report")


def references_of(half: str) -> ReferenceSet:
    """The references of a half: those for reporting are out of reach of everything that chooses."""
    if half == "choose":
        return CHOOSING
    from benchmarks.tiny_world.reporting import REPORTING

    return REPORTING


def names_of(half: str) -> list[str]:
    """What is measured by default: the moving objects of examples/assets, or all of the half for reporting."""
    return list(references_of(half).scenes(NUM_FRAMES) if half == "report" else OBJECT_REFERENCES)
