"""The report's experiments, on the tiny model with hardly any training: measured once, and written from files."""

import json
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.fidelity import experiments
from benchmarks.fidelity.__main__ import main, measures_of
from benchmarks.fidelity.experiments import GROUPS, Experiment, scaled
from benchmarks.fidelity.runner import PLAIN, Runner, Task, tasks_of
from benchmarks.fidelity.write import Measured, read
from benchmarks.peers import METHODS, NoisePrior
from benchmarks.peers.inverted import InvertedNoise
from benchmarks.peers.motion_embedding import MotionEmbedding
from benchmarks.tiny_world.measures import measure_clip, object_fidelity
from benchmarks.tiny_world.pipelines import GENERATION, TINY_ANIMATEDIFF, TINY_T2V, load_tiny_pipeline
from benchmarks.tiny_world.references import OBJECT_REFERENCES, PROMPTS
from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.selection import select_layers


ABLATIONS = dict(GROUPS["ablations"])  # as they are, before the tests make them few


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(GENERATION, "num_inference_steps", 2)
    few = {
        "methods": {
            experiments.DEFAULT: Experiment(MotionEmbedding(), num_samples=4),
            "inverted noise": Experiment(InvertedNoise(NoisePrior())),
        },
        "ablations": {},
        "sizes": {},
        "steps": {"default, 4 samples": Experiment(MotionEmbedding(), num_samples=4)},
        "scales": {"scale": Experiment(MotionEmbedding(), 4, {"0.0": scaled(0.0), "1.0": scaled(1.0)})},
    }
    for group, members in few.items():
        monkeypatch.setitem(GROUPS, group, members)


def test_a_report_is_measured_once_and_goes_on(tmp_path, capsys):
    arguments = ["--references", "zigzag", "--measures", str(tmp_path / "measures"), "--output", str(tmp_path / "out")]
    main([*arguments, "--groups", "methods"])
    folder = tmp_path / "measures" / measures_of(TINY_T2V).name
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    assert len(before) == 3
    main(arguments)
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert "5 measurements, 2 to do" in capsys.readouterr().out
    page = (tmp_path / "out/README.md").read_text()
    groups = "methods steps scales"
    assert f"python -m benchmarks.fidelity --groups {groups} --references zigzag --num_seeds 1\n" in page
    assert all(title in page for title in ("## Methods", "## Samples of training", "## Motion scale", "### zigzag"))
    for picture in ("fidelity_and_leakage.png", "fidelity_and_scale.png", "zigzag.webp"):
        assert f"({picture})" in page
        assert (tmp_path / "out" / picture).stat().st_size > 1000

    # The figures are those of the clips, and scale 0 is the plain model.
    plain, scales = (
        read(folder, *key, ["zigzag"], use) for *key, use in (("plain", PLAIN, ""), ("scales", "scale", "0.0"))
    )
    assert [row["cosine"] for row in plain.rows] == [row["cosine"] for row in scales.rows]
    clips = np.load(folder / "plain/without/zigzag.npz")["clips"]
    expected = [object_fidelity(measure_clip(clip), OBJECT_REFERENCES["zigzag"].motion)[0] for clip in clips]
    assert [row["cosine"] for row in plain.rows] == pytest.approx(expected)
    assert [row["leakage"] for row in plain.rows] == [0.0] * len(PROMPTS)


def test_other_settings_and_more_seeds_are_measured_anew(tmp_path, monkeypatch):
    task = Task("methods", "inverted noise", "zigzag")
    pipe = load_tiny_pipeline()
    runner = Runner(pipe, tmp_path, num_seeds=1)
    assert not runner.is_done(task)
    runner.run([task])
    assert runner.is_done(task)
    path = task.path(tmp_path)
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    assert not runner.is_done(task)
    path.write_text(whole)
    more = Runner(pipe, tmp_path, num_seeds=2)
    assert not more.is_done(task)
    more.run([task])
    assert runner.is_done(task)
    monkeypatch.setitem(GROUPS["methods"], "inverted noise", Experiment(InvertedNoise(NoisePrior(share=0.9))))
    assert not runner.is_done(task)


class FailingMethod(InvertedNoise):
    """Stops in its learning."""

    def learn(self, *arguments, **options):
        raise FloatingPointError("the loss is nan")


def test_an_experiment_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    prior = NoisePrior()
    methods = {"failing": Experiment(FailingMethod(prior)), "inverted noise": Experiment(InvertedNoise(prior))}
    monkeypatch.setitem(GROUPS, "methods", methods)
    arguments = ["--references", "zigzag", "--measures", str(tmp_path / "measures"), "--output", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="1 of the measurements failed"):
        main([*arguments, "--groups", "methods"])
    told = capsys.readouterr()
    assert "methods, failing, zigzag" in told.out + told.err
    assert "the loss is nan" in told.out + told.err
    page = (tmp_path / "out/README.md").read_text()
    assert "| inverted noise |" in page
    assert "| failing |" not in page


def test_an_output_folder_of_something_else_is_refused_before_anything_is_measured(tmp_path):
    (tmp_path / "README.md").write_text("# Notes")
    with pytest.raises(FileExistsError, match="is no report"):
        main(["--measures", str(tmp_path / "measures"), "--output", str(tmp_path)])
    assert not (tmp_path / "measures").exists()


def test_measures_of_other_weights_are_kept_apart(tmp_path):
    (tmp_path / "model/unet").mkdir(parents=True)
    names = set()
    for weights in (b"one", b"two"):
        (tmp_path / "model/unet/model.safetensors").write_bytes(weights)
        names.add(measures_of(tmp_path / "model").name)
    assert len(names) == 2
    assert all(name.startswith("model-") for name in names)


def test_figures_of_rows():
    right = {"color": 1.0, "background": 1.0, "shape": 1.0, "present": 1.0}
    rows = [
        {**right, "cosine": 0.5, "lab": [[10.0, 0, 0], [0.0, 0, 0], [20.0, 0, 0]]},
        {**right, "shape": 0.0, "cosine": None, "lab": [[0.0, 0, 0], [0.0, 0, 0], [20.0, 0, 0]]},
    ]
    measured = Measured(rows, 1.0, 4)
    assert measured.mean("cosine").mean == 0.5
    assert measured.text_fidelity().mean == 0.5
    assert measured.shift("lab") == pytest.approx(0.25)  # half the way in one clip, nothing in the other


def test_every_experiment_has_a_file_of_its_own(tmp_path):
    tasks = tasks_of(GROUPS, ["zigzag", "bounce"])
    assert len({task.path(tmp_path) for task in tasks}) == len(tasks)


@pytest.mark.parametrize("folder", [TINY_T2V, TINY_ANIMATEDIFF], ids=lambda folder: folder.name)
def test_ablations_adapt_a_part_of_the_layers(folder):
    model = load_tiny_pipeline(folder).unet
    adapted = len(select_layers(model, MotionEmbeddingConfig()))
    found = {
        name: len(select_layers(model, experiment.method.embedding))
        for name, experiment in ABLATIONS.items()
        if getattr(getattr(experiment.method, "embedding", None), "target_modules", None)
    }
    assert found.pop("attn1 alone") == found.pop("attn2 alone") == adapted / 2
    assert found.pop("down blocks alone") + found.pop("up blocks alone") == adapted
    assert found.pop("deep blocks alone") == adapted / 2  # a level of two, with as many layers in each
    assert not found


def test_settings_tell_experiments_apart():
    method = METHODS["motion embedding"]
    texts = [
        Experiment(each).settings
        for each in (method, replace(method, scale=0.5), replace(method, config=replace(method.config, seed=1)))
    ]
    assert len(set(texts)) == 3
    assert json.dumps(texts)
    assert not any(" at 0x" in text for text in texts)
