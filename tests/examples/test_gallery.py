"""The collection of motions: what the repository has of it loads, and the command makes such folders and pictures."""

import pytest
import yaml
from diffusers import DiffusionPipeline
from PIL import Image

from diffusers_motion_embed import load_motion_embedding, unload_motion_embedding
from diffusers_motion_embed.storage.files import WEIGHTS_NAME
from examples.gallery import EXAMPLES, MOTIONS, TOGETHER, main


NAMES = [motion.name for motion in MOTIONS]
COLLECTION, PICTURES = EXAMPLES / "collection", EXAMPLES.parent / "docs/images/gallery"


def test_the_collection_is_complete():
    assert sorted(path.name for path in COLLECTION.iterdir() if path.is_dir()) == sorted(NAMES)
    expected = {*NAMES, *("-and-".join(pair) for pair in TOGETHER)}
    assert {path.stem for path in PICTURES.iterdir()} == expected


@pytest.mark.parametrize("base", dict.fromkeys(motion.base for motion in MOTIONS))
def test_its_motions_load(base):
    pipe = DiffusionPipeline.from_pretrained(EXAMPLES / base)
    for name in (motion.name for motion in MOTIONS if motion.base == base):
        assert load_motion_embedding(pipe, COLLECTION / name).num_layers
        unload_motion_embedding(pipe)


@pytest.mark.parametrize("name", NAMES)
def test_its_cards_have_a_moving_preview_and_figures(name):
    text = (COLLECTION / name / "README.md").read_text(encoding="utf-8")
    data = yaml.safe_load(text.split("---")[1])
    tag = "image-to-video" if name.startswith("tiny-wan-i2v") else "text-to-video"
    assert (data["pipeline_tag"], data["license"]) == (tag, "apache-2.0")
    assert {entry["output"]["url"] for entry in data["widget"]} == {"preview.gif", "preview.mp4"}
    assert "## What it reaches" in text
    with Image.open(COLLECTION / name / "preview.gif") as picture:
        assert picture.n_frames >= 16
    assert (COLLECTION / name / WEIGHTS_NAME).stat().st_size < 100_000


@pytest.mark.slow
def test_the_command_makes_what_is_missing(tmp_path):
    names = NAMES[:2]
    folders = {name: tmp_path / name for name in ("collection_dir", "pictures_dir", "output_dir")}
    given = [text for name, folder in folders.items() for text in (f"--{name}", str(folder))]
    quick = [*given, "--max_train_steps", "1", "--num_inference_steps", "1"]
    main(["--motions", *names, *quick])
    learned = [folders["collection_dir"] / name / WEIGHTS_NAME for name in names]
    written = [path.stat().st_mtime_ns for path in learned]
    main(["--motions", *names[:1], *quick])
    assert [path.stat().st_mtime_ns for path in learned] == written
    for picture in (*names, "-and-".join(names)):
        with Image.open(folders["pictures_dir"] / f"{picture}.webp") as found:
            assert found.n_frames == 16
