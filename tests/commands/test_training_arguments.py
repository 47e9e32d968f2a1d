"""What the training script's arguments stand for."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from diffusers_motion_embed import MotionEmbeddingConfig
from diffusers_motion_embed.commands.training_arguments import (
    frame_settings,
    make_configs,
    parse_arguments,
    preview_fps,
    take_accelerate_settings,
)
from diffusers_motion_embed.training import RECIPES, TrainingConfig
from diffusers_motion_embed.training.checks import ignored_settings
from diffusers_motion_embed.training.recipes import for_parts


EXAMPLES = Path(__file__).parents[2] / "examples"
NEEDED = ("--pretrained_model_name_or_path", "base", "--reference_video", "clip.mp4", "--output_dir", "out")

CAMERA = ("--motion", "camera", "--pretrained_model_name_or_path", EXAMPLES / "tiny-wan")


def configs(*arguments):
    return make_configs(parse_arguments("", [*NEEDED, *map(str, arguments)]))


def test_without_arguments_everything_is_as_in_python():
    training, embedding = configs()
    assert training == TrainingConfig(**RECIPES["default"].training)
    in_python = MotionEmbeddingConfig(**RECIPES["default"].embedding)
    for name in ("target_modules", "value_grid", "debias", "timing", "parts", "position_grid"):
        assert getattr(embedding, name) == getattr(in_python, name), name


@pytest.mark.parametrize(
    ("base", "recipe"), [("tiny-t2v", "default"), ("tiny-animatediff", "default"), ("tiny-wan", "rotary")]
)
def test_the_base_says_by_which_recipe_it_learns(base, recipe):
    arguments = ("--pretrained_model_name_or_path", str(EXAMPLES / base))
    training, embedding = configs(*arguments)
    assert training == TrainingConfig(**RECIPES[recipe].training)
    assert embedding.parts == RECIPES[recipe].embedding.get("parts", ("qk", "v"))
    training, embedding = configs(*arguments, "--recipe", "full_attention", "--parts", "p", "--position_grid", 2, 2)
    assert training == TrainingConfig(**for_parts(RECIPES["full_attention"].training, ("p",)))
    assert (embedding.parts, embedding.position_grid) == (("p",), (2, 2))


def test_an_image_model_learns_as_the_animatediff_model_that_it_becomes(tmp_path):
    (tmp_path / "unet").mkdir()
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "unet/config.json").write_text(json.dumps({"_class_name": "UNet2DConditionModel"}))
    arguments = ("--pretrained_model_name_or_path", tmp_path, "--motion_adapter", "someone/adapter")
    assert configs(*arguments)[0] == TrainingConfig(**RECIPES["default"].training)
    assert configs(*arguments, "--motion", "camera")[0] == TrainingConfig(**RECIPES["camera"].training)


def test_every_option_of_training_is_an_argument():
    values = {"max_train_steps": 7, "lr_warmup_steps": 3, "timestep_power": 2.0, "gradient_checkpointing": True}
    values |= {"loss": "debiased_hybrid", "timestep_sampling": (0.2, 0.4), "spatial_rank": 4, "seed": 9}
    arguments = ["--gradient_checkpointing", "--timestep_sampling", "0.2-0.4"]
    for name, value in values.items():
        if f"--{name}" not in arguments:
            arguments += [f"--{name}", value]
    training, _ = configs(*arguments)
    assert training == TrainingConfig(**{**RECIPES["default"].training, **values})


@pytest.mark.parametrize(("base", "recipe"), [("tiny-t2v", "camera"), ("tiny-wan", "tracked_camera")])
def test_cameras_have_a_recipe_of_their_own(base, recipe):
    base = ("--pretrained_model_name_or_path", str(EXAMPLES / base))
    training, embedding = configs("--motion", "camera", *base)
    assert training == TrainingConfig(**RECIPES[recipe].training)
    assert embedding.parts == RECIPES[recipe].embedding.get("parts", ("qk", "v"))
    tracked = configs("--motion", "camera", "--tracked", *base)[1]
    assert (tracked.parts, tracked.position_grid) == (("p",), (4, 4))


def test_tracking_an_object_may_be_said_in_full():
    tracked = configs("--tracked", "--motion", "object", "--position_grid", 1, 1)[1]
    assert tracked == configs("--tracked")[1]


def test_the_papers_recipe_has_a_name_and_gives_way_to_arguments():
    training, embedding = configs("--recipe", "paper")
    assert training == TrainingConfig(
        max_train_steps=400,
        learning_rate=0.02,
        lr_scheduler="constant",
        timestep_sampling="uniform",
        antithetic_noise=False,
        debias_in_training=False,
        gradient_accumulation_steps=1,
        weight_decay=0.01,
    )
    assert embedding.value_grid == "full"
    assert embedding.timing == (0.0, 1.0)
    training, embedding = configs("--learning_rate", 0.5, "--recipe", "paper", "--value_grid", 2, 3)
    assert (training.learning_rate, training.max_train_steps) == (0.5, 400)
    assert embedding.value_grid == (2, 3)


def test_the_recipe_for_full_attention_learns_from_the_negative_too():
    training, embedding = configs("--recipe", "full_attention")
    assert training.color_negative
    assert embedding.value_grid == (3, 3)
    assert not configs("--recipe", "full_attention", "--no-color_negative")[0].color_negative


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {"num_frames": 16, "fps": None}),
        (("--reference_fps", 12), {"num_frames": 16, "fps": 12}),
        (("--num_seconds", 2), {"num_frames": 16, "num_seconds": 2}),
        (("--num_seconds", 2, "--reference_fps", 12), {"num_frames": None, "num_seconds": 2, "fps": 12}),
        (("--start_seconds", 1.5, "--background", "white"), {"start_seconds": 1.5, "background": "white"}),
    ],
)
def test_what_is_read_of_a_reference(arguments, expected):
    settings = frame_settings(parse_arguments("", [*NEEDED, *map(str, arguments)]))
    assert {name: settings[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("given", "read", "expected"),
    [(None, 12.0, 12), (None, 29.97002997, 29.97), (None, None, 8), (10.0, 12.0, 10), (None, 12.5, 12.5)],
)
def test_previews_have_the_rate_of_the_reference(given, read, expected):
    options, clip = parse_arguments("", [*NEEDED]), SimpleNamespace(fps=read)
    options.fps = given
    assert preview_fps(options, clip) == expected


def test_full_grids_are_asked_for_with_zeros():
    assert configs("--value_grid", 0, 0)[1].value_grid == "full"


@pytest.fixture
def accelerate_settings():
    """As a configuration of accelerate says them."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=3)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(
    ("arguments", "expected", "ignored"),
    [
        ([], ("bf16", 3), 0),
        (["--recipe", "paper"], ("bf16", 3), 0),
        (["--mixed_precision", "no"], ("no", 3), 1),
        (["--mixed_precision", "fp16", "--gradient_accumulation_steps", 2], ("fp16", 2), 2),
    ],
)
def test_what_accelerate_was_told_counts_unless_arguments_say_otherwise(
    accelerate_settings, arguments, expected, ignored
):
    options = parse_arguments("", [*NEEDED, *map(str, arguments)])
    take_accelerate_settings(options, accelerate_settings)
    training, _ = make_configs(options)
    assert (training.mixed_precision, training.gradient_accumulation_steps) == expected
    assert len(ignored_settings(accelerate_settings, training)) == ignored


@pytest.mark.parametrize(("text", "expected"), [("none", None), ("None", None), ("wandb", "wandb")])
def test_no_tracker_has_a_name_too(text, expected):
    assert parse_arguments("", [*NEEDED, "--report_to", text]).report_to == expected


@pytest.mark.parametrize("other", [("--prompt", "a"), ("--push_to_hub",), ("--report_to", "tensorboard")])
def test_fleets_do_not_take_what_belongs_to_one_embedding(other, capsys):
    arguments = [*NEEDED[:2], *NEEDED[4:], "--reference_videos", "folder", *other]
    with pytest.raises(SystemExit):
        parse_arguments("", arguments)
    assert "--reference_videos does not go with" in capsys.readouterr().err


def test_selecting_the_best_needs_something_to_measure(capsys):
    with pytest.raises(SystemExit):
        configs("--select", "best")
    assert "give --validation_prompt" in capsys.readouterr().err
    assert parse_arguments("", [*NEEDED, "--select", "best", "--validation_prompt", "a"]).select == "best"


def test_tracking_has_a_path_alone_and_trains_nothing():
    base = ("--pretrained_model_name_or_path", str(EXAMPLES / "tiny-wan"))
    _, embedding = configs("--tracked", *base)
    assert (embedding.parts, embedding.timing, embedding.position_grid) == (("p",), (0.0, 0.5), (1, 1))
    assert configs("--tracked", "--timing", 0.1, 0.6)[1].timing == (0.1, 0.6)
    assert configs("--tracked", "--position_grid", 4, 4)[1].position_grid == (4, 4)  # of a camera
    assert configs("--tracked", "--seed", 3, "--validation_prompt", "a ring")[0].seed == 3  # of the validation videos


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max_train_steps", 7, "--recipe", "camera"), "leave out --max_train_steps, --recipe"),
        (("--features", "text.safetensors"), "leave out --features"),
        (("--gradient_accumulation_steps", 2), "leave out --gradient_accumulation_steps"),
        (("--reference_video", "one.mp4", "two.mp4"), "follows one --reference_video"),
        (("--seed", 3), "--seed says nothing without --validation_prompt"),
    ],
)
def test_tracking_refuses_what_belongs_to_training(arguments, message, capsys):
    with pytest.raises(SystemExit):
        configs("--tracked", *arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--parts", "qk", "--v_learning_rate", 0.1, "--value_grid", 2, 2), "v"),
        (("--parts", "qk", "--no-debias_in_training"), "v"),
        (("--parts", "qk", "--debias", "identity"), "v"),
        (("--parts", "qk", "--debias", "difference"), "v"),  # which is the default
        (("--parts", "v", "--qk_learning_rate", 0.1), "qk"),
        (("--parts", "v", "--center_qk"), "qk"),
        (("--recipe", "default", "--position_grid", 2, 2), "p"),
        (("--recipe", "default", "--p_learning_rate", 0.1), "p"),
        (("--recipe", "rotary", "--parts", "qk", "p", "--value_grid", 2, 2), "v"),
    ],
)
def test_what_is_said_of_a_part_needs_that_part(arguments, part, capsys):
    with pytest.raises(SystemExit):
        configs(*arguments)
    assert f"There is no part {part} to which" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--motion", "camera", "--recipe", "paper"), "--motion chooses the recipe"),
        ((*CAMERA, "--position_grid", 1, 1), "--motion camera moves places on a grid"),
        ((*CAMERA, "--tracked", "--position_grid", 1, 1), "--motion camera moves places on a grid"),
        ((*CAMERA, "--parts", "qk", "v"), "--motion camera moves places on a grid"),
        (("--motion", "object", "--tracked", "--position_grid", 4, 4), "--tracked follows the camera on a"),
        (("--memory", "16GB"), "--memory says nothing without --estimate"),
        (("--memory", "lots"), "--memory: A size of memory is a number and a unit (MB, GB, MiB, GiB), such as 16GB"),
        (("--checkpoints_total_limit", 2), "says nothing without --checkpointing_steps"),
        (("--hub_model_id", "someone/motion"), "--hub_model_id says nothing without --push_to_hub"),
        (("--license", "other"), "--license says nothing without --push_to_hub"),
        (("--spatial_rank", 4), "--spatial_rank says nothing without --loss debiased_hybrid"),
        (("--spatial_learning_rate", 0.1), "--spatial_learning_rate says nothing without --loss debiased_hybrid"),
        (("--lr_scheduler", "constant", "--lr_warmup_steps", 3), "says nothing without an --lr_scheduler that warms"),
        (("--reference_video", "one.mp4", "two.mp4", "--save_inverted_noise"), "the noise of one --reference_video"),
        (("--estimate", "--gguf", "model.gguf", "--call_arguments", "{}"), "leave out --call_arguments, --gguf"),
        (("--max_error", 1.5), "'1.5' is no share from 0 to below 1"),
        (("--max_error", "much"), "'much' is no share"),
        (("--num_inference_steps", 0), "'0' is no whole number of at least 1"),
        (("--fps", "nan"), "'nan' is no number above 0"),
        (("--fps", 0), "'0' is no number above 0"),
        (("--call_arguments", "[1]"), r"'[1]' is no JSON object, such as"),
        (("--call_arguments", "null"), "'null' is no JSON object"),
        (("--call_arguments", "{bad"), "'{bad' is not JSON (Expecting"),
    ],
)
def test_what_would_change_nothing_or_fail_after_training_is_refused_before(arguments, message, capsys):
    with pytest.raises(SystemExit):
        configs(*arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("component", ["text_encoder", "tokenizer", "vae", "nothing"])
def test_a_component_of_another_kind_is_left_to_the_error_of_loading(component):
    base = ("--pretrained_model_name_or_path", str(EXAMPLES / "tiny-t2v"))
    assert configs(*base, "--component", component)[1].component == component


@pytest.mark.parametrize("component", [None, "transformer", "boundary_ratio"])
def test_an_empty_place_of_a_pipeline_has_no_recipe(tmp_path, component):
    entry = ["diffusers", "WanTransformer3DModel"]
    index = {"transformer": [None, None], "transformer_2": entry, "boundary_ratio": 0.875}
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline", **index}))
    shutil.copytree(EXAMPLES / "tiny-wan/transformer", tmp_path / "transformer_2", ignore=lambda *_: ["*.safetensors"])
    given = ("--component", component) if component else ()
    options = parse_arguments("", [*NEEDED, "--pretrained_model_name_or_path", str(tmp_path), *given])
    assert options.recipe == ("default" if component else "rotary")


def test_the_users_folder_may_be_written_as_a_tilde(monkeypatch, tmp_path):
    """Shells leave it as it is in --output_dir=~/out."""
    monkeypatch.setenv("HOME", str(tmp_path))
    options = parse_arguments("", [*NEEDED, "--output_dir=~/out", "--reference_video", "~/a.mp4", "--features=~/f"])
    assert (options.output_dir, options.features) == (tmp_path / "out", tmp_path / "f")
    assert options.reference_video == [tmp_path / "a.mp4"]


def test_what_a_recipe_says_of_a_part_may_stay_without_it():
    assert not configs("--recipe", "rotary", "--parts", "p")[0].center_qk
    assert configs("--recipe", "rotary", "--parts", "p")[0].p_learning_rate == TrainingConfig.p_learning_rate
    assert configs("--recipe", "default", "--parts", "qk")[0].v_learning_rate is None
    assert configs("--recipe", "full_attention", "--parts", "qk")[1].value_grid is None
