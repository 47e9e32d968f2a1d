"""What becomes of motion and look: one table of experiments (`experiments`), one runner, what is written of it.

`python -m benchmarks.fidelity --help`.
"""
