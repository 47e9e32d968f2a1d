"""Programs for users; each is started from the repository's root as `python -m examples.NAME`."""
