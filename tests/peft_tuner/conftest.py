"""PEFT's own calls are tested where they work."""

from pathlib import Path

import pytest

from diffusers_motion_embed._compat import tuner_refusal


def pytest_collection_modifyitems(items):
    refusal = tuner_refusal()
    for item in items:
        if refusal and item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.skip(reason=refusal))
