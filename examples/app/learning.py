"""The tab in which a motion is learned: the reference, what is used of it, the run."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from diffusers_motion_embed import ReferenceClip, read_reference
from diffusers_motion_embed.storage.files import read_embedding
from examples.app import drawing
from examples.app.arguments import EXAMPLES
from examples.app.speaking import words
from examples.app.visitors import Visitors, checked
from examples.app.workshop import MAX_STEPS, Acting, Run, Workshop
from examples.pictures import write_clip


ASSETS = {
    "figure eight": ("figure_eight.mp4", "a red bar on a black background"),
    "zigzag": ("zigzag.mp4", "a blue circle on a white background"),
    "bounce": ("bounce.mp4", "a yellow circle on a navy background"),
    "spiral": ("spiral.mp4", "a green ring on a beige background"),
}
OVERVIEW = 12  # pictures of the timeline
LEAST_FRAMES = 4
UNKNOWN_SECONDS = 60.0  # how far the sliders go if a file does not say how long it is
PREVIEWS = 4  # during a run
PREVIEW_PROMPT = "a yellow ring on a gray background"
PREVIEW_SEED = 0


class Learning:
    """What the tab does, without its looks.

    Args:
        workshop: The base pipeline.
        visitors: The visitors' folders.
    """

    def __init__(self, workshop: Workshop, visitors: Visitors) -> None:
        self.workshop, self.visitors, self.options = workshop, visitors, workshop.options

    def example(self, name: str) -> tuple[Any, ...]:
        """An example was chosen: what `choose` gives, its prompt, and no upload."""
        file, prompt = ASSETS[name]
        return *self.choose(str(EXAMPLES / "assets" / file)), prompt, None

    def choose(self, path: str | None) -> tuple[Any, ...]:
        """A reference was chosen: its path, and the sliders for it."""
        if path is None:
            return None, *[gr.skip()] * 3
        with words():
            clip = read_reference(path, 1)
            seconds = clip.source_seconds or UNKNOWN_SECONDS
            rate = min(clip.source_fps or self.options.num_frames, self.options.fps or 8)
            length = min(seconds, self.options.num_frames / rate)
            if length == seconds:
                rate = self.options.num_frames / seconds
        return (
            path,
            gr.Slider(value=0, maximum=round(seconds, 2)),
            gr.Slider(value=round(length, 2), maximum=round(seconds, 2)),
            gr.Slider(value=round(rate, 2)),
        )

    def show(self, path: str | None, start: float, length: float, rate: float) -> tuple[str, str]:
        """The timeline, and the frames that would be learned."""
        if path is None:
            return "", drawing.note("Choose a clip, and the frames to learn are shown here.")
        with words():
            clip = self.read(path, start, length, rate)
            seconds = clip.source_seconds
            band = clip.frames
            if seconds:
                width = max(16, 64 * clip.source_size[0] // clip.source_size[1])
                band = read_reference(path, OVERVIEW, num_seconds=seconds, height=64, width=width).frames
        times = [start + number * length / len(clip.frames) for number in range(len(clip.frames))]
        return drawing.timeline(band, seconds or start + length, times), drawing.frames(clip)

    def read(self, path: str | None, start: float, length: float, rate: float) -> ReferenceClip:
        """Exactly the frames that are learned."""
        if path is None:
            raise ValueError("Choose a clip first, or one of the examples.")
        wanted = max(LEAST_FRAMES, round(length * rate))
        checked("The number of frames, length times rate,", wanted, self.options.max_frames)
        return read_reference(
            path,
            self.workshop.nearest_length(wanted),
            height=self.options.height,
            width=self.options.width,
            start_seconds=start,
            num_seconds=length,
        )

    def learn(
        self,
        key: str,
        path: str | None,
        start: float,
        length: float,
        rate: float,
        prompt: str,
        name: str,
        recipe: str,
        steps: float,
        preview_prompt: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[tuple[Any, ...]]:
        """Begin a run, and show how it goes."""
        with words():
            visitor = self.visitors.of(key)
            clip = self.read(path, start, length, rate)
            if not prompt.strip():
                raise ValueError("Say what the clip shows: what the prompt names need not be learned.")
            run = Run.new(
                clip.frames,
                folder=visitor.run,
                target=visitor.new_motion(name or clip.path.stem),
                prompt=prompt,
                recipe=recipe,
                steps=checked("steps", steps, MAX_STEPS),
                fps=len(clip.frames) / length,
                preview_prompt=preview_prompt.strip() or PREVIEW_PROMPT,
            )
        yield from self._steps(run, progress)

    def go_on(self, key: str, progress: gr.Progress = gr.Progress()) -> Iterator[tuple[Any, ...]]:  # noqa: B008
        """Go on with the run that was stopped."""
        with words():
            run = Run.read(self.visitors.of(key).run)
        run.stop.unlink(missing_ok=True)
        yield from self._steps(run, progress)

    def stop(self, key: str) -> None:
        """Ask the visitor's run to stop after its step."""
        with words():
            self.visitors.of(key).run.joinpath("stop").touch()
        gr.Info("The run stops after this step. What it has learned by then is kept.")

    def _steps(self, run: Run, progress: gr.Progress) -> Iterator[tuple[Any, ...]]:
        """Train from preview to preview. Shows the loss, the preview, and which buttons make sense."""
        every = -(-run.steps // PREVIEWS)
        yield self._told(run), gr.skip(), gr.Button(visible=False), gr.Button(visible=True), gr.Button(visible=False)
        while run.step < run.steps and not run.stop.exists():
            with words():
                until = min(run.steps, (run.step // every + 1) * every)
                self.workshop.learn(run, until, lambda step, loss: progress((step, run.steps), f"loss {loss:.3f}"))
                progress((run.step, run.steps), "making a preview")
                preview = self._preview(run)
            yield self._told(run), preview, *[gr.skip()] * 3

    def rest(self, key: str) -> tuple[gr.Button, ...]:
        """Which buttons make sense when nothing runs: to learn, to stop, to go on."""
        run = self.visitors.of(key).run
        can_go_on = (run / "run.json").exists() and 0 < (found := Run.read(run)).step < found.steps
        return gr.Button(visible=True), gr.Button(visible=False), gr.Button(visible=can_go_on)

    def _preview(self, run: Run) -> str:
        frames, fps = run.frames, run.fps
        learned = Acting(read_embedding(run.target))
        clip = self.workshop.clip(frames.shape[:3], run.preview_prompt, PREVIEW_SEED, learned)
        write_clip(clip, run.target / "preview", max(1, round(fps)), drawing.enlargement(clip))
        (run.target / "reference.webp").write_bytes(drawing.moving_picture(frames, fps))
        return drawing.clips([("the reference", frames, fps), (run.preview_prompt, clip, fps)])

    def _told(self, run: Run) -> str:
        return drawing.losses(run.losses, run.steps) or drawing.note(f"learning {run.target.name}")
