"""The looks of the tab in which motions are mixed."""

from typing import Any

import gradio as gr

from examples.app import drawing
from examples.app.common import AT_ONCE, ONE_JOB, OPTIONAL, Common, on_gpu
from examples.app.mixing import IN_PLACES, MODES, ROWS, Mixing
from examples.app.places import canvas, choices
from examples.app.trying_tab import downloads


ADVICE = "All at once seldom keeps more than one of them. Places suit clips that show several things."


class MixingTab:
    """How things are mixed and a row of controls for each motion; on the right, what comes of them."""

    def __init__(self, common: Common) -> None:
        self.common, self.mixing = common, Mixing(common.workshop, common.visitors)
        self.places: list[gr.components.Component] = []
        with gr.Row():
            with gr.Column(scale=2):
                self.mode = gr.Radio(list(MODES), value=next(iter(MODES)), label="How they are mixed", info=ADVICE)
                self.rows = [control for number in range(ROWS) for control in self._row(number)]
                self.name = gr.Textbox("mix", label="Name of the new motion")
                self.prompt = gr.Textbox("a cyan bar on a brown background", label="What the clip shows")
                self.seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                self.button = gr.Button("Mix", variant="primary")
            with gr.Column(scale=3):
                self._canvas()
                self.clips = gr.HTML(drawing.note("The mix is shown here."), label="Clips", min_height=110)
                self.files = downloads()

    def _row(self, number: int) -> list[gr.components.Component]:
        name = f"Motion {number + 1}"
        with gr.Group():
            motion = self.common.motion(name, OPTIONAL)
            scale = gr.Slider(0, 2, 1, step=0.05, label=f"{name}, scale")
            backwards = gr.Checkbox(label=f"{name} runs backwards")
            place = gr.Dropdown(choices(number), label=f"{name} acts where", visible=False)
        self.places.append(place)
        return [motion, scale, backwards, place]

    def _canvas(self) -> None:
        with gr.Column(visible=False) as self.painting:
            self.canvas = canvas(self.common.workshop.options)
            self.picture = gr.Button("Show the clip's first frame to paint on", size="md")

    def wire(self) -> None:
        """Say which control does what."""
        self.mode.change(self._show, self.mode, [self.painting, self.name, *self.places], **AT_ONCE)
        clip = [self.prompt, self.seed]
        self.picture.click(on_gpu(self.mixing.picture), clip, self.canvas, show_progress_on=self.canvas, **ONE_JOB)
        inputs = [self.common.key, self.mode, self.name, *clip, self.canvas, *self.rows]
        outputs = [self.clips, *self.files]
        mixed = self.button.click(on_gpu(self.mixing.mix), inputs, outputs, show_progress_on=self.clips, **ONE_JOB)
        self.common.refresh(mixed)

    def _show(self, mode: str) -> list[Any]:
        """The canvas and places for a mix in places; a name for one that is kept."""
        in_places = mode == IN_PLACES
        shown = [gr.Dropdown(visible=in_places) for _ in self.places]
        return [gr.Column(visible=in_places), gr.Textbox(visible=not in_places), *shown]
