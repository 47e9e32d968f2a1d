"""The tiny world: rendered clips of coloured shapes, the model trained on them, and exact measures of both."""
