"""What all tabs share: who visits, the lists of that visitor's motions, and how calls of the page are run."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from examples.app.speaking import words
from examples.app.visitors import Visitors
from examples.app.workshop import Workshop


try:
    from spaces import GPU  # on Spaces whose GPUs are lent call by call
except ImportError:
    GPU = None

GPU_SECONDS = 300  # the longest that a call may take there
QUIET: dict[str, Any] = {"api_visibility": "private"}  # these calls are the page's own
AT_ONCE: dict[str, Any] = {**QUIET, "show_progress": "hidden"}
# One at a time; the others see their place in the queue.
ONE_JOB: dict[str, Any] = {**QUIET, "concurrency_limit": 1, "concurrency_id": "base"}
CHOSEN_FIRST, OPTIONAL = True, False


@dataclass
class Common:
    """What the tabs are built with.

    Args:
        workshop: The base pipeline.
        visitors: The visitors' folders.
        key: The visitor's, which the browser keeps.
        lists: The dropdowns of motions in all tabs, and whether they always name one.
    """

    workshop: Workshop
    visitors: Visitors
    key: gr.BrowserState
    lists: dict[gr.Dropdown, bool] = field(default_factory=dict)

    def motion(self, label: str, is_needed: bool = CHOSEN_FIRST) -> gr.Dropdown:
        """A dropdown of the visitor's motions."""
        dropdown = gr.Dropdown([], label=label, interactive=True)
        self.lists[dropdown] = is_needed
        return dropdown

    def refresh(self, event: Any) -> Any:
        """After an event, show the library as it is then. The newest motion is chosen."""
        return event.then(self._lists, [self.key, *self.lists], [*self.lists], **AT_ONCE)

    def _lists(self, key: str, *current: str | None) -> list[gr.Dropdown]:
        with words():
            names = self.visitors.of(key).names()
        first = names[0] if names else None
        kept = [name if name in names else None for name in current]
        values = [first if needed else name for needed, name in zip(self.lists.values(), kept, strict=True)]
        return [gr.Dropdown(choices=names, value=value) for value in values]


def on_gpu(function: Callable) -> Callable:
    """A call that uses the base model, as Spaces want it told."""
    return GPU(function, duration=GPU_SECONDS) if GPU else function
