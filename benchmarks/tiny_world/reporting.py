"""The half of the references that figures are reported on, and that nothing is chosen by.

Only the runner's `--half report` may import this; tests/benchmarks/tiny_world/test_reference_sets.py sees to it.
"""

from benchmarks.tiny_world.reference_sets import generated


REPORTING = generated(1)
