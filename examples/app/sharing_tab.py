"""The looks of the tab in which motions are shared."""

import gradio as gr

from examples.app.common import AT_ONCE, ONE_JOB, QUIET, Common, on_gpu
from examples.app.sharing import Sharing


TOKEN = "Sent to the Hub with this one call, and kept nowhere."


class SharingTab:
    """The library and motions of others on the left, the upload on the right."""

    def __init__(self, common: Common) -> None:
        self.common, self.sharing = common, Sharing(common.workshop, common.visitors)
        with gr.Row():
            with gr.Column(scale=2):
                self._library()
            with gr.Column(scale=3):
                self._upload()

    def _library(self) -> None:
        self.motion = self.common.motion("Motion")
        self.delete = gr.Button("Delete from the library", size="md")
        gr.Markdown("### Get one")
        self.source = gr.Textbox(label="Repository on the Hub", placeholder="user/name")
        self.read_token = gr.Textbox(label="Token, for a private one", type="password", info=TOKEN)
        self.load = gr.Button("Load", size="md")
        self.file = gr.File(label="Or a file of a motion (.safetensors)", height=130)
        self.library_note = gr.Markdown()

    def _upload(self) -> None:
        gr.Markdown("### Give one")
        with gr.Row():
            self.target = gr.Textbox(label="Your repository", placeholder="you/name")
            self.license = gr.Textbox("other", label="License, as the Hub names it")
        self.private = gr.Checkbox(label="Only I can see it")
        self.token = gr.Textbox(label="Token that may write", type="password", info=TOKEN)
        self.push = gr.Button("Upload", variant="primary")
        self.upload_note = gr.Markdown()
        with gr.Accordion("What is uploaded"):
            self.card = gr.Markdown("Learn a motion first, or load one.", elem_classes="card")

    def wire(self) -> None:
        """Say which control does what."""
        key, sharing = self.common.key, self.sharing
        look = (sharing.look, [key, self.motion, self.target, self.license], self.card)
        for event in (self.motion.change, self.target.change, self.license.change):
            event(*look, trigger_mode="always_last", **AT_ONCE)
        given = [key, self.motion, self.target, self.license, self.private, self.token]
        self.push.click(sharing.push, given, [self.upload_note, self.token], **QUIET)
        changes = (
            (self.load.click, on_gpu(sharing.load), [self.source, self.read_token], self.read_token),
            (self.file.upload, on_gpu(sharing.take), [self.file], self.file),
            (self.delete.click, sharing.delete, [self.motion], self.motion),
        )
        for event, function, inputs, emptied in changes:
            self.common.refresh(event(function, [key, *inputs], [self.library_note, emptied], **ONE_JOB))
