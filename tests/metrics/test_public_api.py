"""What the metrics offer, and what they need."""

import importlib
import sys

import pytest

from diffusers_motion_embed import metrics


def test_all_is_sorted_without_repetition():
    assert metrics.__all__ == sorted(set(metrics.__all__))


@pytest.mark.parametrize("name", sorted(set(metrics.__all__) - {"Video"}))
def test_everything_offered_is_explained(name):
    text = getattr(metrics, name).__doc__
    assert text
    assert not text.startswith(f"{name}(")


def test_without_opencv_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r'pip install "diffusers_motion_embed\[metrics\]"'):
        importlib.reload(metrics)
