"""The demo, on the model as shipped."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusers_motion_embed import read_video


ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_demo_writes_what_it_says(tmp_path):
    command = [sys.executable, "-m", "examples.demo", "--output_dir", str(tmp_path)]
    command += ["--max_train_steps", "15", "--num_inference_steps", "6"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "Motion fidelity to the reference" in done.stdout
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert len(metrics["prompts"]) >= 4
    with_motion, without = (
        np.mean([row[f"fidelity_{mode}"] for row in metrics["prompts"]]) for mode in ("with", "without")
    )
    assert with_motion > without + 0.2
    assert all(abs(row["leakage"]) < 0.1 for row in metrics["prompts"])
    for kind in ("mp4", "gif"):
        clips = sorted(tmp_path.glob(f"*.{kind}"))
        assert len(clips) == 1 + 3 * len(metrics["prompts"])
        assert all(read_video(clip, 16).shape == (16, 256, 256, 3) for clip in clips)
    for picture in ("comparison.webp", "contact_sheet.png", "paths.png"):
        with Image.open(tmp_path / picture) as image:
            assert min(image.size) >= 300
            assert getattr(image, "n_frames", 1) == (16 if picture.endswith("webp") else 1)
    assert (tmp_path / "embedding/adapter_model.safetensors").stat().st_size == metrics["embedding_bytes"]
