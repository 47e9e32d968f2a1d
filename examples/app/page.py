"""The page: four tabs, one visitor."""

from pathlib import Path

import gradio as gr

from examples.app.common import AT_ONCE, Common
from examples.app.learning_tab import LearningTab
from examples.app.mixing_tab import MixingTab
from examples.app.sharing_tab import SharingTab
from examples.app.trying_tab import TryingTab
from examples.app.visitors import Visitors, new_key
from examples.app.workshop import Workshop


CSS = Path(__file__).with_name("page.css")
# The fonts of the visitor's own machine, and colours that can be read: axe measures them in the tests.
THEME = gr.themes.Default(
    primary_hue="indigo",
    secondary_hue="indigo",
    neutral_hue="slate",
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_dark="*primary_600",
    button_primary_background_fill_hover_dark="*primary_700",
    block_info_text_color="*neutral_600",
    block_label_text_color="*neutral_700",
    block_title_text_color="*neutral_700",
    body_text_color_subdued="*neutral_600",
    input_placeholder_color="*neutral_500",
)
TITLE = "Motions from one clip"
INTRODUCTION = f"""\
# {TITLE}
Learn how things move from **one** short clip, and let other things move like it. *Learn* begins with the example \
below; *Try* then shows the motion on any prompt."""
STORAGE = "motions-from-one-clip"  # where the browser keeps the visitor's key


def build(workshop: Workshop, visitors: Visitors) -> gr.Blocks:
    """The page, for `launch`."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        key = gr.BrowserState(None, storage_key=STORAGE, secret=STORAGE)
        common = Common(workshop, visitors, key)
        gr.Markdown(INTRODUCTION)
        with gr.Tab("Learn"):
            learning = LearningTab(common)
        with gr.Tab("Try"):
            trying = TryingTab(common)
        with gr.Tab("Mix"):
            mixing = MixingTab(common)
        with gr.Tab("Share"):
            sharing = SharingTab(common)
        for tab in (learning, trying, mixing, sharing):
            tab.wire()
        welcome = blocks.load(lambda known: known or new_key(), key, key, **AT_ONCE)
        learning.begin(common.refresh(welcome))
    return blocks
