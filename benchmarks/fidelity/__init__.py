"""Motion embeddings beside other methods and beside themselves with one thing changed, measured on a tiny model."""
