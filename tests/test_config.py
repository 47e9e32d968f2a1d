"""The settings: defaults, what is refused with which message, and the way through PEFT's JSON."""

import json

import numpy as np
import pytest
from peft import PeftConfig

from diffusers_motion_embed import MotionEmbeddingConfig


def test_defaults_are_as_documented():
    config = MotionEmbeddingConfig()
    assert config.peft_type == "MOTION_EMBEDDING"
    assert config.num_frames == config.num_latent_frames == 16
    assert config.value_grid is None
    assert config.parts == ("qk", "v")
    assert config.debias == "difference"
    assert config.format_version == 1
    assert config.generation == config.training == {}
    unknown = ("height", "width", "latent_height", "latent_width", "target_modules", "exclude_modules")
    assert all(getattr(config, name) is None for name in (*unknown, "model_class", "component"))


def test_latent_frames_are_the_frames_unless_said_otherwise():
    assert MotionEmbeddingConfig(num_frames=9).num_latent_frames == 9
    assert MotionEmbeddingConfig(num_frames=9, num_latent_frames=3).num_latent_frames == 3


def test_dictionaries_are_not_shared():
    MotionEmbeddingConfig().training["prompt"] = "a red circle"
    assert MotionEmbeddingConfig().training == {}


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        pytest.param("parts", ["v", "qk"], ("qk", "v"), id="parts-in-order"),
        pytest.param("parts", {"v"}, ("v",), id="parts-as-a-set"),
        pytest.param("parts", ["qk", "qk"], ("qk",), id="parts-twice"),
        pytest.param("value_grid", [2, 3], (2, 3), id="grid-as-a-list"),
        pytest.param("value_grid", "full", "full", id="full-grid"),
        pytest.param("target_modules", {"b", "a"}, ["a", "b"], id="targets-as-a-set"),
        pytest.param("exclude_modules", ("b", "a"), ["a", "b"], id="exclusions-as-a-tuple"),
        pytest.param("target_modules", r"up_blocks\..*", r"up_blocks\..*", id="targets-as-a-pattern"),
    ],
)
def test_settings_get_one_form(name, given, kept):
    config = MotionEmbeddingConfig(**{name: given})
    assert getattr(config, name) == kept
    assert type(getattr(config, name)) is type(kept)


def test_whole_numbers_of_numpy_are_plain_ones_afterwards():
    config = MotionEmbeddingConfig(num_frames=np.int64(9), height=np.int32(64), value_grid=(np.int64(2), 3))
    assert json.loads(json.dumps(config.to_dict(), default=str))["num_frames"] == 9
    assert [type(number) for number in (config.num_frames, config.height, *config.value_grid)] == [int] * 4


COUNTS = ["num_frames", "num_latent_frames", "height", "width", "latent_height", "latent_width"]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, 1.5, "4", True], ids=repr)
def test_sizes_are_whole_numbers_of_at_least_one(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must be a whole number of at least 1, got {value!r}\.$"):
        MotionEmbeddingConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        pytest.param("num_frames", None, "num_frames must be a whole number", id="no-frames"),
        pytest.param("value_grid", 4, "value_grid must be two whole numbers .* got 4", id="grid-number"),
        pytest.param("value_grid", (4,), "value_grid must be two whole numbers", id="grid-one-side"),
        pytest.param("value_grid", (4, 0), "value_grid must be two whole numbers of at least 1", id="grid-zero"),
        pytest.param("value_grid", "44", "value_grid must be two whole numbers", id="grid-text"),
        pytest.param("position_grid", (1,), "position_grid must be two whole numbers", id="positions-one-side"),
        pytest.param("position_grid", None, "position_grid must be two whole numbers", id="positions-none"),
        pytest.param("parts", [], 'parts must be some of "qk", "v" and "p"', id="no-parts"),
        pytest.param("parts", "qk", "parts must be some of .* as a list; got 'qk'", id="parts-text"),
        pytest.param("parts", ["qk", "k"], 'parts must be some of "qk", "v" and "p"', id="unknown-part"),
        pytest.param("debias", "none", "debias must be one of identity, difference, .* got 'none'", id="debias"),
        pytest.param("timing", (0.5, 0.5), "timing must be", id="timing-empty"),
        pytest.param("timing", (0.5,), "timing must be", id="timing-one-edge"),
        pytest.param("timing", "01", "timing must be", id="timing-text"),
        pytest.param("timing", (0.6, 0.4), "timing must be .* shares of the noise schedule", id="timing-backwards"),
        pytest.param("timing", (-0.1, 1), "timing must be", id="timing-negative"),
        pytest.param("timing", (0, 1.1), "timing must be", id="timing-beyond"),
        pytest.param("timing", (0, None), "timing must be", id="timing-half"),
        pytest.param("timing", ("0", 1), "timing must be", id="timing-mixed"),
        pytest.param("timing", (0.0, float("nan")), "timing must be", id="timing-nan"),
        pytest.param(
            "frame_policy", "cut", "frame_policy must be one of resample, loop, hold, error; got 'cut'", id="policy"
        ),
        pytest.param("target_modules", "(", "target_modules must be a regular expression, got", id="pattern"),
        pytest.param("target_modules", 3, "target_modules must be a regular expression, a list", id="targets-number"),
        pytest.param("target_modules", ["a", 3], "target_modules must be a regular expression", id="targets-mixed"),
        pytest.param(
            "exclude_modules", "[", "exclude_modules must be a regular expression, got", id="exclude-pattern"
        ),
        pytest.param("exclude_modules", [None], "exclude_modules must be a regular", id="exclude-mixed"),
        pytest.param("generation", [], r"generation must be a dictionary, got \[\]", id="generation"),
        pytest.param("training", None, "training must be a dictionary, got None", id="training"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        MotionEmbeddingConfig(**{name: value})


def test_json_gives_the_same_settings_back(tmp_path):
    config = MotionEmbeddingConfig(
        num_frames=24,
        num_latent_frames=6,
        height=320,
        width=576,
        latent_height=40,
        latent_width=72,
        value_grid=(1, 1),
        target_modules=["attn1"],
        exclude_modules=r"mid_block\..*",
        parts=("v",),
        debias="identity",
        timing=(0.0, 0.301),
        frame_policy="hold",
        model_class="UNet3DConditionModel",
        component="unet",
        generation={"fps": 8},
        training={"prompt": "a red circle", "betas": [0.9, 0.99]},
        base_model_name_or_path="someone/base",
    )
    config.save_pretrained(str(tmp_path))
    read = PeftConfig.from_pretrained(str(tmp_path))
    assert type(read) is MotionEmbeddingConfig
    assert {**read.to_dict(), "peft_version": None} == {**config.to_dict(), "peft_version": None}
