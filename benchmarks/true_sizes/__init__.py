"""Bases at their true sizes, with random weights: `python -m benchmarks.true_sizes` trains and generates with them."""
