"""What is calculated with embeddings, seen in what their layers add."""

import json

import numpy as np
import pytest
import torch

from benchmarks.fidelity import arithmetic, pictures
from benchmarks.fidelity.runner import Task, measures_of
from benchmarks.tiny_world.pipelines import TINY_T2V
from diffusers_motion_embed.adapter.registry import registry_of
from diffusers_motion_embed.storage.files import to_state_dict
from tests.helpers import NUM_FRAMES


@pytest.fixture
def embeddings(text_to_video, make_embedding):
    names = ("figure_eight", "zigzag", "bounce", "spiral")
    return {name: make_embedding(text_to_video.unet, seed=seed) for seed, name in enumerate(names)}


def offsets(pipe, num_frames=NUM_FRAMES):
    """What all loaded embeddings add to the inputs, by layer and part."""
    sums = {}
    for path, layer in registry_of(pipe.unet).layers.items():
        for embedding in layer.embeddings.values():
            for part in ("qk", "v"):
                offset = embedding.offset(part, num_frames, (2, 2), torch.device("cpu"))
                sums[path, part] = sums.get((path, part), 0) + offset
    return sums


def offsets_of(pipe, question, title, embeddings, num_frames=NUM_FRAMES):
    (case,) = (case for case in arithmetic.QUESTIONS[question].cases() if case.title == title)
    case.load(pipe, embeddings)
    found = offsets(pipe, num_frames)
    pipe.unload_motion_embedding()
    return found


def single_offsets(pipe, embeddings, num_frames=NUM_FRAMES):
    """Of figure of eight and zigzag alone, as loaded by hand."""
    found = []
    for name in ("figure_eight", "zigzag"):
        pipe.load_motion_embedding(to_state_dict(embeddings[name]), config=embeddings[name].config)
        found.append(offsets(pipe, num_frames))
        pipe.unload_motion_embedding()
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, tensor in found.items():
        torch.testing.assert_close(tensor, expected[key], atol=1e-5, rtol=0)


def test_sums_scales_and_mixtures_are_linear(text_to_video, embeddings):
    pipe = text_to_video
    eight, zigzag = single_offsets(pipe, embeddings)
    half = offsets_of(pipe, "scale", "0.5 · figure_eight", embeddings)
    assert_same(half, {key: 0.5 * value for key, value in eight.items()})
    negative = offsets_of(pipe, "negative_scale", "-1 · zigzag", embeddings)
    assert_same(negative, {key: -value for key, value in zigzag.items()})
    total = offsets_of(pipe, "sums", "0.7 · (figure_eight + zigzag)", embeddings)
    assert_same(total, {key: 0.7 * (value + zigzag[key]) for key, value in eight.items()})
    mixture = offsets_of(pipe, "interpolation", "0.75 · figure_eight + 0.25 · zigzag", embeddings)
    assert_same(mixture, {key: 0.75 * value + 0.25 * zigzag[key] for key, value in eight.items()})


def test_flipping_before_debiasing_changes_signs_and_frames(text_to_video, embeddings):
    _, forward = single_offsets(text_to_video, embeddings)
    after = offsets_of(text_to_video, "reversal", "zigzag, after debiasing", embeddings)
    assert_same(after, {key: value.flip(-2) for key, value in forward.items()})
    before = offsets_of(text_to_video, "reversal", "zigzag, before debiasing", embeddings)
    for (path, part), value in before.items():
        if part == "v":
            torch.testing.assert_close(value[:, 1:], -forward[path, part].flip(-2)[:, :-1], atol=1e-5, rtol=0)


def test_cases_are_as_long_as_a_pipeline_s_clips():
    for question in arithmetic.QUESTIONS.values():
        for short, long in zip(question.cases(), question.cases(17), strict=True):
            assert short.title == long.title
            assert {len(target) for target in long.targets.values()} == {long.num_frames}
            expected = {16: 17, 32: 35}  # as many as models make whose first frame has a latent of its own
            assert long.num_frames == expected[short.num_frames]


def test_half_and_half_adds_the_first_frames_of_one_and_the_last_of_the_other(text_to_video, make_embedding):
    settings = {"num_frames": 16, "num_latent_frames": 16}
    embeddings = {
        name: make_embedding(text_to_video.unet, seed=seed, **settings)
        for seed, name in enumerate(arithmetic.OBJECT_REFERENCES)
    }
    eight, zigzag = single_offsets(text_to_video, embeddings, 16)
    halves = offsets_of(text_to_video, "sequence", "figure_eight, zigzag: half and half", embeddings, 16)
    expected = {key: torch.cat([value[:, :8], zigzag[key][:, 8:]], -2) for key, value in eight.items()}
    assert_same(halves, expected)


def test_resampled_paths_keep_their_ends():
    path = np.array([[0.0, 1], [2, 1], [4, 0]])
    assert arithmetic.resampled(path, 5).tolist() == [[0, 1], [1, 1], [2, 1], [3, 0.5], [4, 0]]


def test_pictures_are_drawn_of_what_was_measured(tmp_path, capsys):
    measures, output = tmp_path / "measures", tmp_path / "images"
    for question in ("scale", "sequence"):
        cases = list(arithmetic.QUESTIONS[question].cases())
        rows = [
            {"use": case.title, "center": [[None, None], *case.targets.popitem()[1][1:].tolist()]} for case in cases
        ]
        path = Task("arithmetic", question, arithmetic.ALL).path(measures / measures_of(TINY_T2V))
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"seconds": 0, "num_bytes": 0, "rows": rows}))
    pictures.main(["--measures", str(measures), "--output", str(output)])
    assert sorted(path.stem for path in output.iterdir()) == ["arithmetic_scale", "arithmetic_sequence"]
    assert "Nothing is measured of arithmetic/sums" in capsys.readouterr().out
