"""The looks of the tab in which a motion is learned."""

from typing import Any

import gradio as gr

from examples.app import drawing
from examples.app.common import AT_ONCE, ONE_JOB, QUIET, Common, on_gpu
from examples.app.learning import ASSETS, PREVIEW_PROMPT, Learning
from examples.app.workshop import MAX_STEPS, Workshop


FIRST = next(iter(ASSETS))


class LearningTab:
    """Controls on the left say what is learned, those on the right how; below them is how it goes."""

    def __init__(self, common: Common) -> None:
        self.common, self.learning = common, Learning(common.workshop, common.visitors)
        self.path = gr.State(None)
        with gr.Row():
            with gr.Column():
                self._reference()
            with gr.Column():
                self._settings(common.workshop)
                self._run()

    def _reference(self) -> None:
        self.upload = gr.File(label="Your clip: a video, a GIF or a WebP", height=130)
        self.example = gr.Radio(list(ASSETS), value=FIRST, label="Or an example")
        with gr.Accordion("Or record one", open=False):
            unmirrored = gr.WebcamOptions(mirror=False)  # left stays left
            self.record = gr.Video(sources=["webcam"], label="Camera", include_audio=True, webcam_options=unmirrored)
        self.timeline = gr.HTML(label="Timeline")
        self.start = gr.Slider(0, 60, 0, step=0.01, label="Start, seconds")
        self.length = gr.Slider(0.1, 60, 2, step=0.01, label="Length, seconds")
        self.rate = gr.Slider(1, 60, 8, step=0.01, label="Frames per second")
        self.strip = gr.HTML(label="Frames")

    def _settings(self, workshop: Workshop) -> None:
        self.prompt = gr.Textbox(label="What the clip shows", info="What this names need not be learned.")
        self.shown = gr.Textbox(PREVIEW_PROMPT, label="What the previews show")
        with gr.Accordion("More", open=False):
            self.name = gr.Textbox(label="Name of the motion", placeholder="by default that of the clip")
            self.recipe = gr.Dropdown(workshop.recipes, label="Recipe")
            self.steps = gr.Slider(1, MAX_STEPS, workshop.options.max_train_steps, step=1, label="Training steps")

    def _run(self) -> None:
        self.learn = gr.Button("Learn", variant="primary")
        self.stop = gr.Button("Stop", variant="stop", visible=False)
        self.go_on = gr.Button("Go on", visible=False)
        self.loss = gr.HTML(drawing.note("How it goes is shown here."), label="Loss", min_height=110)
        self.preview = gr.HTML(label="Preview")

    def wire(self) -> None:
        """Say which control does what."""
        key, learning = self.common.key, self.learning
        trim = [self.start, self.length, self.rate]
        self.shown_now = (learning.show, [self.path, *trim], [self.timeline, self.strip])
        self.take_example = (learning.example, self.example, [self.path, *trim, self.prompt, self.upload])
        self.example.input(*self.take_example, **QUIET).success(*self.shown_now, **QUIET)
        for source, event in ((self.upload, self.upload.upload), (self.record, self.record.stop_recording)):
            event(learning.choose, source, [self.path, *trim], **QUIET).success(*self.shown_now, **QUIET)
        for slider in trim:
            slider.input(*self.shown_now, trigger_mode="always_last", **AT_ONCE)
        self._wire_run([key, self.path, *trim, self.prompt, self.name, self.recipe, self.steps, self.shown])

    def _wire_run(self, asked: list[Any]) -> None:
        key, learning, buttons = self.common.key, self.learning, [self.learn, self.stop, self.go_on]
        self.rest = (learning.rest, key, buttons)
        for button, function, inputs in ((self.learn, learning.learn, asked), (self.go_on, learning.go_on, key)):
            outputs = [self.loss, self.preview, *buttons]
            run = button.click(on_gpu(function), inputs, outputs, show_progress_on=self.loss, **ONE_JOB)
            self.common.refresh(run.then(*self.rest, **AT_ONCE))
        self.stop.click(learning.stop, key, queue=False, **QUIET)

    def begin(self, event: Any) -> None:
        """After the page has loaded, show the first example and what stands."""
        for call in (self.take_example, self.shown_now, self.rest):
            event = event.then(*call, **AT_ONCE)
