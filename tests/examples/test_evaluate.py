"""`examples/evaluate.py` from end to end on the tiny model."""

import json

import numpy as np
import pytest

from diffusers_motion_embed.metrics import motion_fidelity
from examples import evaluate
from examples.tiny_world.embeddings import ASSETS, reference_frames
from examples.tiny_world.evaluation import TINY_T2V


ARGUMENTS = [
    *("--pretrained_model_name_or_path", str(TINY_T2V), "--height", "64", "--width", "64", "--device", "cpu"),
    *("--prompts", "a yellow ring on a gray background", "a cyan bar on a brown background"),
    *("--num_inference_steps", "2", "--guidance_scale", "2", "--max_train_steps", "1"),
]
REFERENCE = ["--reference_videos", str(ASSETS / "zigzag.mp4")]
DESCRIBED = [*REFERENCE, "--reference_prompts", "a blue circle on a white background"]


def test_a_report_from_end_to_end_which_goes_on_where_it_stopped(tmp_path):
    arguments = [*ARGUMENTS, *DESCRIBED, "--output_dir", str(tmp_path / "out")]
    evaluate.main(arguments)
    page = (tmp_path / "out/README.md").read_text()
    assert "motion fidelity (lk)" in page
    assert "python -m examples.evaluate" in page
    for name in ("fidelity_and_leakage.png", "zigzag.webp"):
        assert (tmp_path / "out" / name).stat().st_size > 1000
    rows = json.loads((tmp_path / "out/measures.json").read_text())
    assert len(rows) == 4
    clips = np.load(tmp_path / "out/clips/zigzag-with.npz")["clips"]
    assert clips.shape == (1, 2, 16, 64, 64, 3)
    of_first = next(row for row in rows if row["mode"] == "with")
    assert of_first["motion fidelity"] == pytest.approx(motion_fidelity(clips[0, 0], reference_frames("zigzag")).score)
    assert [row["leakage"] for row in rows if row["mode"] == "without"] == [0.0, 0.0]

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/clips").iterdir()}
    evaluate.main(arguments)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out/clips").iterdir()} == before
    with pytest.raises(SystemExit, match="guidance_scale"):
        evaluate.main([*arguments, "--guidance_scale", "3"])

    # What was learned can be given to another run.
    learned = str(tmp_path / "out/embeddings/zigzag")
    evaluate.main([*ARGUMENTS, *REFERENCE, "--embeddings", learned, "--output_dir", str(tmp_path / "again")])
    assert np.array_equal(np.load(tmp_path / "again/clips/zigzag-with.npz")["clips"], clips)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([*DESCRIBED, "--embeddings", "a", "b"], "embeddings must be as many"),
        ([*REFERENCE, "--reference_prompts", "a", "b"], "reference_prompts must be as many"),
        (["--reference_videos", "a/clip.mp4", "b/clip.mp4"], "different names"),
    ],
)
def test_arguments_that_do_not_fit_together(more, message, capsys):
    with pytest.raises(SystemExit):
        evaluate.parse_arguments([*ARGUMENTS, *more])
    assert message in capsys.readouterr().err
