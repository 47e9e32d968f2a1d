"""The page and the files of a run, and the choice of the best, on a real pipeline and on clips of known motion."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffusers_motion_embed.errors import EmbeddingFileError, EmbeddingNotFoundError
from diffusers_motion_embed.reports import (
    Measures,
    Validation,
    mean_figures,
    measure,
    select_best,
    validate,
    write_report,
    write_videos,
)
from diffusers_motion_embed.reports.selection import score_of
from diffusers_motion_embed.reports.videos import remove_results
from diffusers_motion_embed.storage.files import read_embedding, write_embedding
from tests.helpers import generate
from tests.reports.clips import moving_square


REFERENCE = moving_square()
FOLLOWS = Validation("a <b>green</b> square", moving_square(-3, (60, 200, 60)), moving_square(3, (60, 200, 60)))
LOSSES = [(10, 0.5), (20, 0.25), (30, 0.125)]


class Page(HTMLParser):
    """Collects tags with their attributes, and checks that they close."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_measures_of_known_motion():
    measures = measure(FOLLOWS, REFERENCE)
    assert measures.fidelity_with > 0.9 > 0 > measures.fidelity_without
    copied = measure(Validation("", FOLLOWS.plain, REFERENCE), REFERENCE)
    assert copied.leakage > measures.leakage + 0.01
    assert score_of([measures]) > score_of([copied])
    unmoved = Measures(float("nan"), 0.5, 0.25)
    assert mean_figures([unmoved, Measures(0.25, 1.0, 0.0)]) == {
        "prompts": 2,
        "motion_fidelity_without": 0.125,
        "motion_fidelity": 0.75,
        "appearance_leakage": 0.125,
    }
    assert score_of([Measures(0, float("nan"), -0.5)]) == 0


@pytest.fixture
def folder(embedding_folder, text_to_video):
    return embedding_folder(text_to_video.unet, training={"prompt": "a red square", "max_train_steps": 30})


def test_the_page_needs_no_other_file_and_shows_everything(folder):
    path = write_report(folder, REFERENCE, [FOLLOWS, FOLLOWS], LOSSES, fps=8)
    assert path == folder / "report.html"
    text = path.read_text()
    page = Page(text)
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "a &lt;b&gt;green&lt;/b&gt; square" in text
    assert "The motion arrived" in text
    clips = [Image.open(io.BytesIO(base64.b64decode(each["src"].partition(",")[2]))) for each in page.of("img")]
    assert [clip.n_frames for clip in clips] == [len(REFERENCE)] * 6
    assert all(each["alt"] for each in page.of("img"))
    (curve,) = page.of("polyline")
    heights = [float(point.partition(",")[2]) for point in curve["points"].split()]
    assert heights == sorted(heights)  # downwards, as the loss
    assert len(heights) == 3


def test_the_users_folder_may_be_written_as_a_tilde(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    place = Path("~", folder.name)
    assert write_report(str(place), REFERENCE, [FOLLOWS]) == folder / "report.html"
    assert write_videos(place, REFERENCE, [FOLLOWS], 8) == [folder / "validation_0.mp4"]
    remove_results(place)
    assert not list(folder.glob("*.mp4"))


def test_a_report_without_losses_has_no_curve_and_one_without_clips_is_refused(folder, tmp_path):
    assert "polyline" not in write_report(folder, REFERENCE, [FOLLOWS]).read_text()
    with pytest.raises(ValueError, match="at least one validation prompt"):
        write_report(folder, REFERENCE, [])
    with pytest.raises((EmbeddingFileError, EmbeddingNotFoundError)):
        write_report(tmp_path / "nothing", REFERENCE, [FOLLOWS])


def test_files_of_every_prompt_and_a_preview_of_the_first(tmp_path):
    paths = write_videos(tmp_path, REFERENCE, [FOLLOWS, FOLLOWS], 8)
    assert [path.name for path in paths] == ["validation_0.mp4", "validation_1.mp4"]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {*(path.name for path in paths), "preview.mp4", "preview.gif", "comparison.webp"}
    assert (tmp_path / "preview.mp4").read_bytes() == paths[0].read_bytes()


def test_clips_without_and_with_the_motion(text_to_video, embedding_folder):
    def make_clip(prompt):
        return generate(text_to_video, prompt=prompt)[0]

    plain = make_clip("a circle")
    text_to_video.load_motion_embedding(embedding_folder(text_to_video.unet))
    with pytest.raises(ValueError, match="must be a list of texts, got 'a circle' alone"):
        validate(text_to_video, "a circle", make_clip)
    (validation,) = validate(text_to_video, ["a circle"], make_clip)
    as_bytes = (plain.permute(0, 2, 3, 1).numpy() * 255).round()
    assert np.array_equal(validation.plain, as_bytes)
    assert not np.array_equal(validation.moved, validation.plain)
    with pytest.raises(ZeroDivisionError):
        validate(text_to_video, ["a circle"], lambda prompt: 1 / 0)
    assert np.array_equal(validate(text_to_video, ["a circle"], make_clip)[0].moved, validation.moved)


def test_the_best_checkpoint_and_scale_is_kept_at_scale_1(text_to_video, make_embedding, tmp_path):
    """Clips follow the reference with the checkpoint at 1.3 alone."""
    folder = tmp_path / "run"
    stored = {folder: 1, folder / "checkpoint-2": 2}
    for each, seed in stored.items():
        write_embedding(each, make_embedding(text_to_video.unet, seed=seed))
    best = read_embedding(folder / "checkpoint-2")
    text_to_video.load_motion_embedding(folder / "checkpoint-2")
    text_to_video.set_motion_scale(1.3)
    wanted = generate(text_to_video)

    def make_clip(prompt):
        return FOLLOWS.moved if torch.equal(generate(text_to_video), wanted) else FOLLOWS.plain

    selection = select_best(text_to_video, folder, REFERENCE, ["a circle"], make_clip, "kept")
    assert (selection.candidates[0].folder.name, selection.candidates[0].scale) == ("checkpoint-2", 1.3)
    assert len(selection.candidates) == 6
    assert "Selected: checkpoint-2 at scale 1.3" in str(selection)
    kept = read_embedding(folder)
    for path, parts in best.tensors.items():
        for part, tensor in parts.items():
            assert torch.allclose(kept.tensors[path][part], 1.3 * tensor)
    assert kept.config.training["scale"] == 1.3
    assert text_to_video.get_active_motion_embeddings() == ["kept"]
    equal = select_best(text_to_video, folder, REFERENCE, ["a circle"], lambda prompt: FOLLOWS.plain)
    assert (equal.candidates[0].folder, equal.candidates[0].scale) == (folder, 1.0)  # as the run left it
    with pytest.raises(ValueError, match="at least one scale and one prompt"):
        select_best(text_to_video, folder, REFERENCE, [], make_clip)
