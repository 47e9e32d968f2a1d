"""The table of experiments, on the tiny model with hardly any training: each is measured once, and told."""

import json
from dataclasses import astuple, replace

import numpy as np
import pytest

from benchmarks.fidelity import experiments, report
from benchmarks.fidelity.__main__ import main
from benchmarks.fidelity.experiments import GROUPS, PLAIN
from benchmarks.fidelity.few_steps import FewSteps
from benchmarks.fidelity.lab import Lab
from benchmarks.fidelity.learned import Learned, by_step, changed, ours, scaled
from benchmarks.fidelity.regions import Regions
from benchmarks.fidelity.rows import rows_of
from benchmarks.fidelity.runner import Runner, Task, measures_of, tasks_of
from benchmarks.fidelity.summary import SHARES, Measured, read, summary_of
from benchmarks.peers import METHODS
from benchmarks.peers.motion_embedding import MotionEmbedding
from benchmarks.tiny_world import train_few_steps, train_wan_i2v
from benchmarks.tiny_world.measures import measure_clip, object_fidelity, text_fidelity
from benchmarks.tiny_world.pipelines import GENERATION, TINY_ANIMATEDIFF, TINY_T2V, TINY_WAN, load_tiny_pipeline
from benchmarks.tiny_world.references import OBJECT_REFERENCES, PROMPTS
from benchmarks.tiny_world.reporting import REPORTING
from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.adapter.selection import select_layers
from diffusers_motion_embed.training import RECIPES, TrainingConfig
from tests.versions import skip_before


ONE_STEP = TrainingConfig(max_train_steps=1, gradient_accumulation_steps=1)
ABLATIONS = dict(GROUPS["ablations"])  # as they are, before the tests make them few


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(GENERATION, "num_inference_steps", 2)
    monkeypatch.setattr("benchmarks.tiny_world.references.PROMPTS", PROMPTS[:2])
    monkeypatch.setattr("benchmarks.fidelity.arithmetic.PROMPTS", PROMPTS[:1])
    few = {
        "methods": {
            experiments.DEFAULT: Learned(MotionEmbedding(), num_samples=4),
            "weak": Learned(MotionEmbedding(scale=0.5), num_samples=4),
        },
        "ablations": {},
        "sizes": {},
        "steps": {"default, 4 samples": Learned(MotionEmbedding(), num_samples=4)},
        "scales": {"scale": Learned(MotionEmbedding(), 4, {"0.0": scaled(0.0), "1.0": scaled(1.0)})},
    }
    for group, members in few.items():
        monkeypatch.setitem(GROUPS, group, members)


@pytest.mark.slow
def test_what_is_measured_is_measured_once_and_told(tmp_path, capsys):
    options = ["--references", "zigzag", "--measures", str(tmp_path / "measures")]
    main(["methods", *options])
    folder = tmp_path / "measures" / measures_of(TINY_T2V).name
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    assert len(before) == 3
    main(["methods", "steps", "scales", *options])
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    printed = capsys.readouterr().out
    assert "5 measurements, 2 to do" in printed
    assert "scales/scale, zigzag; learned in" in printed
    assert printed.count("Rank correlation") == 8

    report.main([*options[2:], "--output", str(tmp_path / "out")])
    page = (tmp_path / "out/README.md").read_text()
    assert "python -m benchmarks.fidelity methods steps scales --references zigzag --num_seeds 1\n" in page
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
    expected = [
        object_fidelity(measure_clip(clip, look), OBJECT_REFERENCES["zigzag"].motion)[0]
        for clip, look in zip(clips, PROMPTS, strict=False)
    ]
    assert [row["cosine"] for row in plain.rows] == pytest.approx(expected)
    assert [row["leakage"] for row in plain.rows] == [0.0] * 2


@pytest.mark.slow
def test_other_settings_and_more_seeds_are_measured_anew(tmp_path, monkeypatch):
    task = Task("methods", "weak", "zigzag")
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
    monkeypatch.setitem(GROUPS["methods"], "weak", Learned(MotionEmbedding(scale=0.6), num_samples=4))
    assert not runner.is_done(task)


class FailingMethod(MotionEmbedding):
    """Stops in its learning."""

    def learn(self, *arguments, **options):
        raise FloatingPointError("the loss is nan")


def test_an_experiment_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    methods = {"failing": Learned(FailingMethod()), "weak": GROUPS["methods"]["weak"]}
    monkeypatch.setitem(GROUPS, "methods", methods)
    with pytest.raises(SystemExit, match="1 of the measurements failed"):
        main(["methods", "--references", "zigzag", "--measures", str(tmp_path)])
    told = capsys.readouterr()
    assert "methods, failing, zigzag" in told.out + told.err
    assert "the loss is nan" in told.out + told.err
    assert "methods/weak, zigzag; learned" in told.out
    assert "methods/failing, zigzag; learned" not in told.out


def test_measures_of_other_weights_are_kept_apart(tmp_path):
    (tmp_path / "model/unet").mkdir(parents=True)
    names = set()
    for weights in (b"one", b"two"):
        (tmp_path / "model/unet/model.safetensors").write_bytes(weights)
        names.add(measures_of(tmp_path / "model").name)
    assert len(names) == 2
    assert all(name.startswith("model-") for name in names)


def test_objects_and_cameras_are_told_together(tmp_path):
    tasks = [Task("methods", "weak", reference) for reference in ("zigzag", "swing")]
    colors = {"lab": [[1, 2, 3]] * 3, "background_lab": [[1, 2, 3]] * 3, "color_error": 1.0, "right": 1.0}
    cameras = [
        {"cosine": 1.0, "told_cosine": 1.0, "same_pattern": True},
        {"cosine": 0.0, "told_cosine": 0.5, "same_pattern": False},
    ]
    motions = [[{"cosine": 0.5, "distance": 0.25}] * 2, cameras]
    for task, seen in zip(tasks, motions, strict=True):
        rows = [
            {"use": "", "reference": task.reference, "prompt": "", "seed": seed, **motion, "leakage": 0.0}
            | {"lk_fidelity": 0.5, **colors, **dict.fromkeys(SHARES, 1.0)}
            for seed, motion in enumerate(seen)
        ]
        task.path(tmp_path).parent.mkdir(parents=True, exist_ok=True)
        task.path(tmp_path).write_text(json.dumps({"seconds": 1.0, "num_bytes": 4, "rows": rows}))
    told = summary_of(tmp_path, tasks)
    assert "|  | 4 | 0.500 (0.125 to 0.875) | 0.250 (0.250 to 0.250) |" in told
    assert "|  | the reference's | cosine | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) |" in told
    assert "|  | another | cosine | 0.00 (0.00 to 0.00) | 0.00 (0.00 to 0.00) |" in told
    assert "|  | another | told_cosine | 0.50 (0.50 to 0.50) | 0.50 (0.50 to 0.50) |" in told


def test_a_missing_lora_for_few_steps_is_told_with_the_command_that_trains_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m benchmarks\.tiny_world\.train_few_steps --output_dir"):
        _ = FewSteps(MotionEmbedding(), tmp_path, {"whole": scaled(1.0)}).settings


def test_figures_of_rows():
    right = {"right": 1.0}
    rows = [
        {**right, "cosine": 0.5, "lab": [[10.0, 0, 0], [0.0, 0, 0], [20.0, 0, 0]]},
        {**right, "right": 0.0, "cosine": None, "lab": [[0.0, 0, 0], [0.0, 0, 0], [20.0, 0, 0]]},
    ]
    measured = Measured(rows, 1.0, 4)
    assert measured.mean("cosine").mean == 0.5
    assert measured.mean("right").mean == 0.5
    assert measured.shift("lab").share == pytest.approx(0.25)  # half the way in one clip, nothing in the other


def test_every_experiment_has_a_file_of_its_own(tmp_path):
    tasks = tasks_of([(group, name) for group in GROUPS for name in GROUPS[group]], ["zigzag", "bounce"])
    assert len(tasks) == len(set(tasks))
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
        Learned(each).settings
        for each in (method, replace(method, scale=0.5), replace(method, config=TrainingConfig(seed=1)))
    ]
    assert len(set(texts)) == 3
    assert json.dumps(texts)
    assert not any(" at 0x" in text for text in texts)


@pytest.mark.slow
def test_an_embedding_is_used_as_it_was_after_some_steps(tmp_path):
    """Those of one training, and not of a shorter one."""
    lab = Lab(load_tiny_pipeline(), tmp_path, 1)
    whole = by_step(ours({"max_train_steps": 3, "gradient_accumulation_steps": 1}), 1, 3)
    outcome = replace(whole, num_samples=3).run(lab, "zigzag")
    early, late = outcome.clips
    assert [early.use, late.use] == ["after 1 steps", "after 3 steps"]
    assert not np.array_equal(early.frames, late.frames)
    last = Learned(replace(whole.method, at_steps=()), 3).run(lab, "zigzag")
    assert np.array_equal(last.clips[0].frames, late.frames)
    assert not lab.pipe.get_list_motion_embeddings()


@pytest.mark.slow
def test_a_model_s_own_recipe_is_what_is_measured_by_default(tmp_path):
    outcome = Learned(METHODS["motion embedding"], 4).run(Lab(load_tiny_pipeline(TINY_WAN), tmp_path, 1), "zigzag")
    own = replace(ours(*astuple(RECIPES["rotary"])), num_samples=4)
    expected = own.run(Lab(load_tiny_pipeline(TINY_WAN), tmp_path, 1), "zigzag")
    assert np.array_equal(outcome.clips[0].frames, expected.clips[0].frames)


@pytest.mark.slow
def test_a_pipeline_that_begins_with_pictures_gets_those_of_the_looks(tmp_path):
    skip_before("transformers", "5.0", "makes no tokenizer of words in memory")
    pipe = train_wan_i2v.make_pipeline(load_tiny_pipeline(TINY_WAN).vae)
    lab = Lab(pipe, tmp_path, 1)
    outcome = replace(GROUPS["positions"]["rotary"], num_samples=4).run(lab, "zigzag")
    (clips,) = outcome.clips
    assert not np.array_equal(clips.frames, clips.plain)
    (row, _) = rows_of(lab, "zigzag", outcome)
    assert row["first_frame"] > 0
    for picture, look in zip(clips.pictures, PROMPTS, strict=False):
        seen = measure_clip(picture[None].repeat(2, 0), look)
        assert text_fidelity([seen])["right"] == 1
        assert seen.center[0] == pytest.approx(OBJECT_REFERENCES["zigzag"].motion.screen_center[0], abs=0.02)


@pytest.mark.slow
def test_what_was_learned_is_used_in_few_steps_too(tmp_path):
    words = ["--train_batch_size", "1", "--rank", "1", "--max_train_steps", "1"]
    options = ["--teacher_steps", "1", "--output_dir", str(tmp_path / "lora")]
    train_few_steps.train(load_tiny_pipeline(TINY_WAN), train_few_steps.make_parser().parse_args([*words, *options]))
    experiment = FewSteps(MotionEmbedding(), tmp_path / "lora", {"whole": scaled(1.0), "nothing": scaled(0.0)}, 4)
    plain, whole, nothing = experiment.run(Lab(load_tiny_pipeline(TINY_WAN), tmp_path, 1), "zigzag").clips
    assert np.array_equal(plain.frames, nothing.frames)
    assert not np.array_equal(plain.frames, whole.frames)
    (tmp_path / "pytorch_lora_weights.safetensors").write_bytes(b"others")
    other = replace(experiment, lora=tmp_path)
    assert other.settings != experiment.settings


@pytest.mark.slow
def test_an_embedding_in_compact_form_is_used_as_it_is_stored(tmp_path):
    compact = GROUPS["uses"]["compact"]
    outcome = replace(compact, num_samples=4).run(Lab(load_tiny_pipeline(), tmp_path, 1), "zigzag")
    whole, fine, coarse = outcome.clips
    plain = Learned(compact.method, 4).run(Lab(load_tiny_pipeline(), tmp_path, 1), "zigzag").clips[0]
    assert np.array_equal(whole.frames, plain.frames)
    assert not np.array_equal(whole.frames, coarse.frames)
    assert (whole.figures["file_share"], whole.figures["value_error"]) == (1.0, 0.0)
    assert whole.figures["file_share"] > fine.figures["file_share"] >= coarse.figures["file_share"]
    assert 0 < fine.figures["value_error"] <= 0.25
    assert fine.figures["value_error"] <= coarse.figures["value_error"] <= 0.4


@pytest.mark.slow
def test_rendered_clips_have_the_answers_that_are_known(tmp_path):
    runner, tasks = Runner(load_tiny_pipeline(), tmp_path, 1), tasks_of([("trackers", "known answers")], ["zigzag"])
    assert tasks == [Task("trackers", "known answers", "zigzag")]  # which the plain model is not compared with
    assert runner.run(tasks) == []
    found = read(tmp_path, "trackers", "known answers", ["zigzag"], None).by("use")
    means = {use: each.mean("lk_fidelity").mean for use, each in found.items()}
    assert means["same clip"] == 1.0
    assert means["same motion, other look"] > 0.9
    assert means["another motion"] < 0.6
    assert means["static"] == means["noise"] == 0.0
    assert "| same motion, other look | 2 |" in summary_of(tmp_path, tasks)


@pytest.mark.slow
def test_a_question_is_asked_of_all_references_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.fidelity.lab.TrainingConfig", lambda **options: ONE_STEP)
    runner, tasks = Runner(load_tiny_pipeline(), tmp_path, 1), tasks_of([("arithmetic", "negative_scale")], ["zigzag"])
    assert runner.run(tasks) == []
    assert len(list((tmp_path / "embeddings").iterdir())) == len(OBJECT_REFERENCES)
    told = summary_of(tmp_path, tasks)
    assert "| -1 · zigzag | mirrored |" in told
    assert "| -1 · spiral | reversed |" in told


@pytest.mark.slow
def test_regions_are_measured_by_sides(tmp_path, monkeypatch):
    monkeypatch.setitem(GROUPS["regions"], "sides", Regions(ONE_STEP))
    runner, tasks = Runner(load_tiny_pipeline(), tmp_path, 1), tasks_of([("regions", "sides")], ["zigzag"])
    assert runner.run(tasks) == []
    assert "| up in the left half, down in the right | 6 |" in summary_of(tmp_path, tasks)
    assert not runner.lab.pipe.get_list_motion_embeddings()


def test_settings_can_be_changed_and_unknown_ones_are_refused():
    vmc = Learned(METHODS["VMC"])
    method = changed(vmc, {"learning_rate": 0.5}, {}, {"timing": (0.1, 0.2)}).method
    assert (method.config.learning_rate, method.timing) == (0.5, (0.1, 0.2))
    assert method.config == replace(METHODS["VMC"].config, learning_rate=0.5)
    assert changed(ours(), {}, {"value_grid": (1, 1)}, {}).method.embedding.value_grid == (1, 1)
    with pytest.raises(ValueError, match="the model's own recipe"):
        changed(Learned(METHODS["motion embedding"]), {"learning_rate": 0.5}, {}, {})
    with pytest.raises(ValueError, match="no setting embedding, rank"):
        changed(vmc, {}, {"value_grid": (1, 1)}, {"rank": 3})
    with pytest.raises(ValueError, match="config"):
        changed(Learned(METHODS["DMT"]), {"learning_rate": 0.5}, {}, {})
    with pytest.raises(ValueError, match="config"):
        changed(GROUPS["arithmetic"]["sums"], {"learning_rate": 0.5}, {}, {})


@pytest.mark.slow
def test_a_changed_experiment_takes_no_other_s_place(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(GROUPS, "methods", {"motion embedding": replace(ours(), num_samples=4)})
    options = ["--references", "zigzag", "--measures", str(tmp_path), "--config", '{"learning_rate": 0.5}']
    main(["methods/motion embedding", *options, "--num_samples", "8", "--at_steps", "1", "2"])
    printed = capsys.readouterr().out
    assert "| after 1 steps | 2 |" in printed
    assert 'methods/motion embedding {"config": {"learning_rate": 0.5}, "num_samples": 8' in printed
    names = {path.parent.name for path in tmp_path.rglob("*.json")}
    assert "motion_embedding" not in names
    assert len(names) == 2


def test_an_experiment_that_there_is_not_is_refused(capsys):
    for name in ("method", "methods/LoRA"):
        with pytest.raises(SystemExit):
            main([name])
        assert f"there is no {name!r}" in capsys.readouterr().err


def test_references_for_reporting_are_measured_but_nothing_is_chosen_by_them(tmp_path, capsys):
    options = ["--half", "report", "--measures", str(tmp_path)]
    name = next(iter(REPORTING.scenes(2)))
    main(["plain", *options, "--references", name])
    assert f"plain/without, {name}; learned" in capsys.readouterr().out
    refused = {
        "--config": ["methods", "--config", '{"learning_rate": 0.5}'],
        "figure_eight": ["methods", "--references", "figure_eight"],
        "several references at once": ["arithmetic"],
    }
    for told, arguments in refused.items():
        with pytest.raises(SystemExit):
            main([*arguments, *options])
        assert told in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["methods", "--references", name, "--measures", str(tmp_path)])
    assert f"--half choose has no reference {name}" in capsys.readouterr().err
