"""All metrics of one clip against the metrics one by one."""

from pathlib import Path

import pytest

from diffusers_motion_embed import read_video
from diffusers_motion_embed.metrics import ClipFeatures, measure_clip, motion_fidelity, track
from tests.metrics.clip_model import make_clip_model


ASSETS = Path(__file__).parents[2] / "examples/assets"
PROMPT = "a yellow ring on a gray background"


def test_a_clip_model_adds_consistency_and_text(tmp_path):
    for part in make_clip_model():
        part.save_pretrained(tmp_path)
    features = ClipFeatures.from_pretrained(str(tmp_path))
    paths = [ASSETS / f"{name}.mp4" for name in ("arc", "bounce", "zigzag")]
    plain, generated, reference = (read_video(path, 16) for path in paths)
    found = measure_clip(generated, reference, plain, PROMPT, features, track(reference))
    frames, text = features(generated), features.of_text(PROMPT)
    assert found["temporal consistency"] == pytest.approx((frames[1:] * frames[:-1]).sum(1).mean())
    assert found["text similarity"] == pytest.approx((frames @ text).mean())
    of_clip = [(features(clip) @ features(reference).T).mean() for clip in (generated, plain)]
    assert found["leakage (clip)"] == pytest.approx(of_clip[0] - of_clip[1], abs=1e-6)
    assert found["motion fidelity (lk)"] == pytest.approx(motion_fidelity(generated, reference).score)
