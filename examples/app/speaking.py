"""What goes wrong, in the package's own words, for a page that strangers read."""

import contextlib
import html
import re
import warnings
from collections.abc import Iterator

import gradio as gr

from diffusers_motion_embed import MotionEmbeddingError


FOLDERS = re.compile(r"(?<![\w:/.])(?:\.{1,2})?/(?:[^\s/'\"]+/)+")  # of a path; addresses on the web stay


@contextlib.contextmanager
def words() -> Iterator[None]:
    """Show errors and warnings of the package on the page. Others are for the terminal alone."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        except (MotionEmbeddingError, ValueError, OSError) as error:
            raise gr.Error(plain(error), duration=None, title="This did not work", print_exception=False) from error
    for warning in said:
        if warning.category is UserWarning:
            gr.Warning(plain(warning.message))


def plain(message: object) -> str:
    """A message without the folders of this machine, and without HTML."""
    return html.escape(FOLDERS.sub("", str(message)), quote=False)
