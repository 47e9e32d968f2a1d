"""The looks of the tab in which a motion is tried."""

import argparse
from typing import get_args

import gradio as gr

from diffusers_motion_embed.functional import Debias
from examples.app import drawing
from examples.app.common import AT_ONCE, ONE_JOB, Common, on_gpu
from examples.app.trying import Trying


class TryingTab:
    """Controls on the left, what comes of them on the right."""

    def __init__(self, common: Common) -> None:
        self.common, self.trying = common, Trying(common.workshop, common.visitors)
        with gr.Row():
            with gr.Column(scale=2):
                self.motion = common.motion("Motion")
                self.prompt = gr.Textbox("a green pillar on a dotted white background", label="What the clip shows")
                self.scale = gr.Slider(0, 2, 1, step=0.05, label="Motion scale")
                with gr.Accordion("More", open=False):
                    self._more(common.workshop.options)
                self.button = gr.Button("Generate", variant="primary")
            with gr.Column(scale=3):
                self.clips = gr.HTML(drawing.note("The clips are shown here."), label="Clips", min_height=110)
                self.paths = gr.HTML(label="Paths")
                self.files = downloads()

    def _more(self, options: argparse.Namespace) -> None:
        self.seed = gr.Number(0, label="Seed", precision=0, minimum=0)
        self.value = gr.Slider(
            0,
            2,
            1,
            step=0.05,
            label="Value part, relative to the scale",
            info="Some motions have none.",
        )
        has_path = self.common.workshop.has_path
        self.path = gr.Slider(0, 2, 1, step=0.05, label="Position part, relative to the scale", visible=has_path)
        self.start = gr.Slider(0, 1, 0, step=0.01, label="Acts from", info="0 is noise, 1 is the finished clip.")
        self.end = gr.Slider(0, 1, 1, step=0.01, label="Acts until")
        self.debias = gr.Dropdown(list(get_args(Debias)), value="difference", label="Debiasing")
        with gr.Row():
            self.frames = gr.Number(options.num_frames, label="Frames", precision=0, min_width=60)
            self.height = gr.Number(options.height, label="Height", precision=0, min_width=60)
            self.width = gr.Number(options.width, label="Width", precision=0, min_width=60)

    def wire(self) -> None:
        """Say which control does what."""
        key, acts = self.common.key, [self.start, self.end, self.debias]
        size = [self.frames, self.height, self.width]
        self.motion.change(self.trying.settings, [key, self.motion], [*acts, self.frames], **AT_ONCE)
        inputs = [key, self.motion, self.prompt, self.seed, self.scale, self.value, self.path, *acts, *size]
        outputs = [self.clips, self.paths, *self.files]
        generate = on_gpu(self.trying.generate)
        self.button.click(generate, inputs, outputs, show_progress_on=self.clips, **ONE_JOB)


def downloads() -> list[gr.DownloadButton]:
    """Buttons for a clip in two forms, and for its motion."""
    with gr.Row():
        labels = ("Download mp4", "Download GIF", "Download motion")
        return [gr.DownloadButton(label, interactive=False, size="md", min_width=120) for label in labels]
