"""Other methods of motion transfer, built from their papers, to measure motion embeddings beside."""
