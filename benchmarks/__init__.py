"""The laboratory.

`cost`: what motion embeddings cost; `fidelity`: what they do to motion and look; `peers`: other methods; `tiny_world`:
the rendered world, and the models that were trained on it.
"""
