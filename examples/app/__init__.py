"""A page in the browser: learn motions, try, mix and share them. `python -m examples.app` serves it."""
