"""The demo and the model that it runs on, as shipped."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import TextToVideoSDPipeline
from PIL import Image
from safetensors.torch import load_file

from diffusers_motion_embed import read_video
from examples.tiny_world.evaluation import TINY_T2V, generate, load_tiny_pipeline, text_fidelity
from examples.tiny_world.measure import measure_clip
from examples.tiny_world.references import PROMPTS


ROOT = Path(__file__).parents[2]


def test_the_embedded_model_is_an_ordinary_small_pipeline_folder():
    files = [file for file in TINY_T2V.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 12e6
    assert {file.suffix for file in files} == {".json", ".md", ".safetensors"}
    for file in TINY_T2V.rglob("*.safetensors"):
        assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float16}
    for file in TINY_T2V.rglob("*.json"):
        assert not json.loads(file.read_text()).get("_name_or_path"), "the path of a machine was published"
    assert type(load_tiny_pipeline()) is TextToVideoSDPipeline


def test_the_embedded_model_draws_what_the_prompt_says():
    # The real measurement is examples/tiny_world/evaluate_base.py; this would notice a broken file.
    clips = generate(load_tiny_pipeline(), [appearance.prompt for appearance in PROMPTS], list(range(len(PROMPTS))))
    found = text_fidelity([measure_clip(clip) for clip in clips], list(PROMPTS))
    assert found["color"] >= 5 / 6
    assert found["present"] >= 5 / 6


def test_the_demo_writes_what_it_says(tmp_path):
    command = [sys.executable, "-m", "examples.demo", "--max_train_steps", "150", "--output_dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "Displacement cosine" in done.stdout
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert len(metrics["prompts"]) >= 4
    with_motion, without = (
        np.mean([row[f"cosine_{mode}"] for row in metrics["prompts"]]) for mode in ("with", "without")
    )
    assert with_motion > without + 0.2
    for kind in ("mp4", "gif"):
        clips = sorted(tmp_path.glob(f"*.{kind}"))
        assert len(clips) == 1 + 2 * len(metrics["prompts"])
        assert all(read_video(clip, 16).shape == (16, 256, 256, 3) for clip in clips)
    for picture in ("contact_sheet.png", "paths.png"):
        with Image.open(tmp_path / picture) as image:
            assert min(image.size) > 300
    assert (tmp_path / "embedding/adapter_model.safetensors").stat().st_size == metrics["embedding_bytes"]
