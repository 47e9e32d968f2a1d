"""How a command ends that cannot do what it is asked for."""

import contextlib
from collections.abc import Iterator

from diffusers_motion_embed.errors import MotionEmbeddingError


@contextlib.contextmanager
def errors_in_words() -> Iterator[None]:
    """End the program with a sentence, not a traceback, where its user is the one who can mend it."""
    try:
        yield
    except MotionEmbeddingError as error:
        raise SystemExit(f"error: {error}") from error
