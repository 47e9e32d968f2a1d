"""What motion embeddings cost, as ratios of two things that run in turns. `python -m benchmarks.cost --help`."""
