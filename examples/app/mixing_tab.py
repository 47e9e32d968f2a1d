"""The looks of the tab in which motions are mixed."""

import gradio as gr

from examples.app import drawing
from examples.app.common import ONE_JOB, OPTIONAL, Common, on_gpu
from examples.app.mixing import MODES, ROWS, Mixing
from examples.app.trying_tab import downloads


ADVICE = "All at once seldom keeps more than one of them."


class MixingTab:
    """A row of controls for each motion, and what comes of them on the right."""

    def __init__(self, common: Common) -> None:
        self.common, self.mixing = common, Mixing(common.workshop, common.visitors)
        with gr.Row():
            with gr.Column(scale=2):
                self.rows = [control for number in range(1, ROWS + 1) for control in self._row(number)]
                self.mode = gr.Radio(list(MODES), value=list(MODES)[-1], label="How they are mixed", info=ADVICE)
                self.name = gr.Textbox("mix", label="Name of the new motion")
                self.prompt = gr.Textbox("a cyan bar on a brown background", label="What the clip shows")
                self.seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                self.button = gr.Button("Mix", variant="primary")
            with gr.Column(scale=3):
                self.clips = gr.HTML(drawing.note("The mix is shown here."), label="Clips", min_height=110)
                self.files = downloads()

    def _row(self, number: int) -> list[gr.components.Component]:
        with gr.Group():
            motion = self.common.motion(f"Motion {number}", OPTIONAL)
            scale = gr.Slider(0, 2, 1, step=0.05, label=f"Scale of motion {number}")
            backwards = gr.Checkbox(label=f"Motion {number} runs backwards")
        return [motion, scale, backwards]

    def wire(self) -> None:
        """Say which control does what."""
        inputs = [self.common.key, self.mode, self.name, self.prompt, self.seed, *self.rows]
        outputs = [self.clips, *self.files]
        mixed = self.button.click(on_gpu(self.mixing.mix), inputs, outputs, show_progress_on=self.clips, **ONE_JOB)
        self.common.refresh(mixed)
