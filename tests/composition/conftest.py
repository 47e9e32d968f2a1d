"""Silence, so that the report of a failed sequence is not buried under the warnings of hundreds of loaded LoRAs."""

import warnings

import pytest
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging


@pytest.fixture(autouse=True)
def _quiet():
    before = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    diffusers_logging.set_verbosity(diffusers_logging.CRITICAL)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of PEFT, about deleted and merged adapters
        yield
    diffusers_logging.set_verbosity(before[0])
    transformers_logging.set_verbosity(before[1])
    transformers_logging.enable_progress_bar()
