"""The arguments of `diffusers-motion-embed train`, most of which `evaluate.py` takes too, and what they stand for."""

import argparse
import json
import math
from collections.abc import Mapping
from typing import Any, get_args

import diffusers
import torch
from accelerate import Accelerator, init_empty_weights
from diffusers import DiffusionPipeline

from diffusers_motion_embed.commands.quantization import QUANTIZATIONS
from diffusers_motion_embed.config import PARTS, MotionEmbeddingConfig
from diffusers_motion_embed.errors import UnsupportedModelError
from diffusers_motion_embed.estimate import parse_memory
from diffusers_motion_embed.functional import DEBIAS_MODES
from diffusers_motion_embed.training import RECIPES, TIMESTEP_SAMPLING, Recipe, TrainingConfig, default_recipe
from diffusers_motion_embed.training.config import LearningRateSchedule, Loss
from diffusers_motion_embed.training.following import ONE_PATH
from diffusers_motion_embed.training.losses import LOSSES
from diffusers_motion_embed.training.recipes import CAMERA_GRID, OF_PARTS, Motion, for_parts
from diffusers_motion_embed.training.tracked import PARTS as TRACKED_PARTS
from diffusers_motion_embed.training.tracked import TIMING as TRACKED_TIMING
from diffusers_motion_embed.values import expanded
from diffusers_motion_embed.video import ReferenceClip


DTYPES = ("float32", "float16", "bfloat16")
FULL_GRIDS = [0, 0]  # as --value_grid
OF_ACCELERATE = ("mixed_precision", "gradient_accumulation_steps")  # accelerate may set them too
OF_TRAINING = (  # besides the options of `TrainingConfig`
    "recipe",
    "features",
    "checkpointing_steps",
    "checkpoints_total_limit",
    "resume_from_checkpoint",
    "save_spatial_lora",
)
NUM_FRAMES = 16
USUAL_FPS = 8  # of pictures without times


def parse_arguments(description: str, arguments: list[str] | None = None) -> argparse.Namespace:
    """The arguments of `diffusers-motion-embed train`."""
    parser = argparse.ArgumentParser(
        prog="diffusers-motion-embed train",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_base(parser.add_argument_group("base model"))
    _add_reference(parser.add_argument_group("reference"))
    training = parser.add_argument_group("training")
    training.add_argument(
        "--tracked",
        action="store_true",
        help="Train nothing: follow points, which gives a path, or a camera on a grid.",
    )
    add_training(training)
    add_embedding(parser.add_argument_group("embedding"))
    _add_output(parser.add_argument_group("output"))
    add_generation(parser.add_argument_group("validation videos"))
    options = parse_with_recipe(parser, arguments, _defaults_of_tracking(parser, arguments))
    _check_company(parser, options, names_given(parser, arguments))
    if options.reference_videos and (options.prompt or options.push_to_hub or options.report_to or options.features):
        parser.error("--reference_videos does not go with --prompt, --features, --push_to_hub or --report_to.")
    if options.select == "best" and not options.validation_prompt:
        parser.error("--select best measures clips of prompts: give --validation_prompt.")
    if options.save_inverted_noise and len(options.reference_video or ()) > 1:
        parser.error("--save_inverted_noise keeps the noise of one --reference_video.")
    return options


def _check_company(parser: argparse.ArgumentParser, options: argparse.Namespace, given: set[str]) -> None:
    """End with an error if an option is given that says nothing without another one."""
    company = (
        ("memory", "--estimate", options.estimate),
        ("checkpoints_total_limit", "--checkpointing_steps", options.checkpointing_steps),
        ("hub_model_id", "--push_to_hub", options.push_to_hub),
        ("license", "--push_to_hub", options.push_to_hub),
        ("spatial_rank", "--loss debiased_hybrid", LOSSES[options.loss].trains_spatial_lora),
        ("spatial_learning_rate", "--loss debiased_hybrid", LOSSES[options.loss].trains_spatial_lora),
        ("seed", "--validation_prompt", not options.tracked or options.validation_prompt),
        ("lr_warmup_steps", "an --lr_scheduler that warms up", options.lr_scheduler != "constant"),
    )
    is_grid = tuple(options.position_grid) != ONE_PATH
    if options.tracked and "motion" in given and options.motion == "object" and is_grid:
        parser.error("--tracked follows the camera on a --position_grid finer than 1 x 1: leave out one of the two.")
    if options.estimate and (unread := given & {"call_arguments", "gguf"}):
        parser.error(f"--estimate reads the settings of the base alone: leave out --{', --'.join(sorted(unread))}.")
    for name, other, is_there in company:
        if name in given and not is_there:
            parser.error(f"--{name} says nothing without {other}.")


def _defaults_of_tracking(parser: argparse.ArgumentParser, arguments: list[str] | None) -> dict[str, Any]:
    """What --tracked has instead of the recipe's values; it ends with an error if options of training are given."""
    options, given = parser.parse_known_args(arguments)[0], names_given(parser, arguments)
    if not options.tracked:
        return {}
    names = [name for name in (*TrainingConfig.__dataclass_fields__, *OF_TRAINING) if name != "seed"]
    if needless := [f"--{name}" for name in names if name in given]:
        parser.error(f"--tracked trains nothing: leave out {', '.join(needless)}.")
    if len(options.reference_video or ()) > 1:
        parser.error("--tracked follows one --reference_video.")
    grid = CAMERA_GRID if options.motion == "camera" else MotionEmbeddingConfig.position_grid
    return {"parts": TRACKED_PARTS, "timing": TRACKED_TIMING, "position_grid": grid}


def parse_with_recipe(
    parser: argparse.ArgumentParser, arguments: list[str] | None, defaults: Mapping[str, Any] | None = None
) -> argparse.Namespace:
    """The arguments, with the recipe's values for those that are not given, unless `defaults` has others.

    It ends with an error if options contradict each other, or one is given for a part that the embedding lacks.
    """
    base, given = parser.parse_known_args(arguments)[0], names_given(parser, arguments)
    if base.recipe and "motion" in given:
        parser.error("--motion chooses the recipe: leave out --recipe, or --motion.")
    name = base.recipe or recipe_of_base(base)
    parser.set_defaults(**{**recipe_defaults(RECIPES[name]), **(defaults or {}), "recipe": name})
    options = parser.parse_args(arguments)
    for part, names in OF_PARTS.items():
        needless = [f"--{name}" for name in names if name in given]
        if needless and part not in options.parts:
            parser.error(
                f"There is no part {part} to which {', '.join(needless)} would apply: "
                f"--parts is {' '.join(options.parts)}, by the recipe {name!r} or as given."
            )
    on_a_grid = "p" in options.parts and tuple(options.position_grid) != ONE_PATH
    if "motion" in given and name == "tracked_camera" and not on_a_grid:
        parser.error("--motion camera moves places on a grid: leave out --parts and --position_grid, or --motion.")
    return options


def names_given(parser: argparse.ArgumentParser, arguments: list[str] | None) -> set[str]:
    """Names of the options that are among the arguments, even where they say what is the default."""
    names, unset = vars(parser.parse_known_args(arguments)[0]), object()
    seen = parser.parse_known_args(arguments, argparse.Namespace(**dict.fromkeys(names, unset)))[0]
    return {name for name, value in vars(seen).items() if value is not unset}


def recipe_of_base(options: argparse.Namespace) -> str:
    """Name of the recipe for the base pipeline's model, whose settings are read, but no weights.

    For a base that cannot be read, this is the recipe "default". Loading that base then says what is wrong.
    """
    folder, revision = options.pretrained_model_name_or_path, {"revision": options.revision}
    try:
        index = DiffusionPipeline.load_config(folder, **revision)
        classes = {name: entry[1] for name, entry in index.items() if isinstance(entry, list) and entry[1:]}
        names = [options.component] if options.component else ["transformer", "transformer_2", "unet"]
        component = next(name for name in names if classes.get(name))  # a place may be empty, without a class
        model_class = getattr(diffusers, classes[component])
        with init_empty_weights():
            model = model_class.from_config(model_class.load_config(folder, subfolder=component, **revision))
        return default_recipe(model, options.motion)
    except UnsupportedModelError:  # an image model, which becomes this one with a motion adapter
        with init_empty_weights():
            return default_recipe(diffusers.UNetMotionModel.from_config({}), options.motion)
    except (OSError, StopIteration, AttributeError):  # AttributeError: a class of another package
        return "default"


def make_configs(options: argparse.Namespace) -> tuple[TrainingConfig, MotionEmbeddingConfig]:
    """The settings of training and embedding that the arguments ask for.

    Raises:
        ValueError: If the value of an argument makes no sense.
    """
    given = {name: getattr(options, name) for name in TrainingConfig.__dataclass_fields__}
    given = {name: value for name, value in given.items() if value is not None}
    training = TrainingConfig(**for_parts({**RECIPES[options.recipe].training, **given}, options.parts))
    settings = {
        "debias": options.debias,
        "position_grid": options.position_grid,
        "value_grid": "full" if options.value_grid == FULL_GRIDS else options.value_grid,
    }
    embedding = MotionEmbeddingConfig(
        component=options.component,
        target_modules=options.target_modules,
        timing=options.timing,
        parts=options.parts,
        **for_parts(settings, options.parts),
        generation={
            "num_inference_steps": options.num_inference_steps,
            "guidance_scale": options.guidance_scale,
        },
    )
    return training, embedding


def stored_form(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `save_motion_embedding` that the arguments ask for."""
    return {"dtype": getattr(torch, options.save_dtype), "max_error": options.max_error}


def take_accelerate_settings(options: argparse.Namespace, accelerator: Accelerator) -> None:
    """Take accelerate's settings where no argument says otherwise; they precede recipe and defaults."""
    if options.mixed_precision is None and accelerator.mixed_precision != "no":
        options.mixed_precision = accelerator.mixed_precision
    if options.gradient_accumulation_steps is None and accelerator.gradient_accumulation_steps > 1:
        options.gradient_accumulation_steps = accelerator.gradient_accumulation_steps


def frame_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `add_frames` as those of `read_reference`."""
    says_length = options.num_seconds is not None and options.reference_fps is not None
    return {
        "num_frames": NUM_FRAMES if options.num_frames is None and not says_length else options.num_frames,
        "height": options.height,
        "width": options.width,
        "start": options.start,
        "stride": options.stride,
        "fps": options.reference_fps,
        "start_seconds": options.start_seconds,
        "num_seconds": options.num_seconds,
        "background": options.background,
    }


def preview_fps(options: argparse.Namespace, clip: ReferenceClip) -> float:
    """Frames per second of videos that are made: what is asked for, or the rate that the reference was read at."""
    fps = options.fps or clip.fps or USUAL_FPS
    return round(fps) if abs(fps - round(fps)) < 0.01 else round(fps, 3)


def recipe_defaults(recipe: Recipe) -> dict[str, Any]:
    """A recipe's settings as defaults of arguments, where two zeros stand for full grids."""
    defaults = {**recipe.training, **recipe.embedding}
    defaults = {name: value for name, value in defaults.items() if name not in OF_ACCELERATE}
    return defaults | ({"value_grid": FULL_GRIDS} if defaults.get("value_grid") == "full" else {})


def timestep_sampling(text: str) -> str | tuple[float, float]:
    if text in TIMESTEP_SAMPLING:
        return text
    try:
        low, high = map(float, text.split("-"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither {', '.join(TIMESTEP_SAMPLING)} nor a range") from error
    return low, high


def tracker(text: str) -> str | None:
    return None if text.lower() == "none" else text


def json_object(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON ({error}).") from error
    if not isinstance(values, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is no JSON object, such as {{"max_sequence_length": 128}}.')
    return values


def count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1.")
    return int(text)


def rate(text: str) -> float:
    if not 0 < _number(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0.")
    return float(text)


def memory(text: str) -> int:
    try:
        return parse_memory(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def share(text: str) -> float:
    if not 0 <= _number(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share from 0 to below 1.")
    return float(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def add_base(group: argparse._ActionsContainer) -> None:
    add = group.add_argument
    add("--pretrained_model_name_or_path", required=True, help="Base pipeline: a folder or a Hub repository.")
    add("--motion_adapter", help="AnimateDiff motion adapter for an image model: a folder or a repository.")
    add("--component", help="Which model to train in a pipeline with two; by default the first.")
    add("--call_arguments", type=json_object, default={}, help="Further arguments of the pipeline's call, as JSON.")
    add("--revision", help="Which revision of the base pipeline's repository.")
    add("--variant", help="Which variant of the base pipeline's files, such as fp16.")
    add("--dtype", choices=DTYPES, default="float32", help="The type of the base's weights.")
    add("--quantization", choices=QUANTIZATIONS, help="Of the base's linear layers, by the package of that name.")
    add("--gguf", type=expanded, help="A GGUF file with the weights of the model that is trained.")
    add("--offload", choices=["none", "model", "group", "sequential"], default="none", help="As diffusers' pipelines.")


def _add_reference(group: argparse._ActionsContainer) -> None:
    sources = group.add_mutually_exclusive_group(required=True)
    add = sources.add_argument
    add("--reference_video", type=expanded, nargs="+", help="Video or folder of pictures; several show one motion.")
    add("--reference_videos", type=expanded, help="Folder of clips, or list in JSON lines: one embedding for each.")
    add = group.add_argument
    add("--features", type=expanded, help="File for text features: read if it is there, else written.")
    add("--prompt", help="What the reference shows; by default the text file beside it, clip.txt for clip.mp4.")
    add_frames(group)


def add_frames(group: argparse._ActionsContainer) -> None:
    """Which part of a video is used, see `read_reference`."""
    add = group.add_argument
    add("--num_frames", type=int, help=f"{NUM_FRAMES} by default, or what --num_seconds and --reference_fps give.")
    add("--num_seconds", type=float, help="Length of what is used; --num_frames are spread over it.")
    add("--reference_fps", type=float, help="Frames per second to read; the video's own by default.")
    add("--height", type=int, help="In pixels; the video's own by default.")
    add("--width", type=int, help="In pixels; the video's own by default.")
    add("--start", type=int, default=0, help="First frame that is used, counted at the rate that is read.")
    add("--start_seconds", type=float, help="The same in seconds.")
    add("--stride", type=int, default=1, help="Every how many frames one is used, counted at the rate that is read.")
    add("--background", default="black", help='Colour under transparent pixels, a name or "#rrggbb".')


def add_training(group: argparse._ActionsContainer) -> None:
    def add(name: str, **settings: Any) -> None:
        default = None if name in OF_ACCELERATE else getattr(TrainingConfig, name)
        group.add_argument(f"--{name}", default=default, **settings)

    motion = "What moves in the reference, for which the base's model class may have a recipe of its own."
    group.add_argument("--motion", choices=get_args(Motion), default="object", help=motion)
    recipe = "Defaults for the options that follow; by default the recipe for the base's model class."
    group.add_argument("--recipe", choices=RECIPES, help=recipe)
    add("max_train_steps", type=int)
    add("learning_rate", type=float)
    add("qk_learning_rate", type=float, help="The rate of the query-key part, if it differs.")
    add("v_learning_rate", type=float, help="The rate of the value part, if it differs.")
    add("p_learning_rate", type=float, help="The rate of the position part, in tokens of the model.")
    add("lr_scheduler", choices=get_args(LearningRateSchedule))
    add("lr_warmup_steps", type=int)
    add("weight_decay", type=float)
    add("max_grad_norm", type=float, help="Longer gradients are shortened to this norm.")
    add("loss", choices=get_args(Loss))
    add("spatial_learning_rate", type=float, help="The rate of the LoRA that debiased_hybrid also trains.")
    add("spatial_rank", type=int, help="The rank of that LoRA.")
    add(
        "timestep_sampling",
        type=timestep_sampling,
        help=f"{', '.join(TIMESTEP_SAMPLING)}, or a range such as 0.3-0.9, where 1 is noise alone.",
    )
    add("timestep_power", type=float, help="Above 1, high noise levels of that range are drawn more often.")
    switch = argparse.BooleanOptionalAction
    add("antithetic_noise", action=switch, help="Every second sample gets the opposite of the noise before.")
    add("color_negative", action=switch, help="Half of the samples show the colour negative, with an empty prompt.")
    add("center_qk", action=switch, help="Leave out of the query-key part what all frames share.")
    add("tracked_start", action=switch, help="Begin the position part with what is followed in the clip.")
    add("debias_in_training", action=switch, help="Train the value part through its debiasing.")
    add("train_batch_size", type=int, help="Samples in one pass, each with a noise level of its own.")
    add("gradient_accumulation_steps", type=int, help="Passes to a step; by default accelerate's or TrainingConfig's.")
    add("gradient_checkpointing", action="store_true", help="Less memory, more time.")
    add("mixed_precision", choices=["no", "fp16", "bf16"], help="Default: as for accelerate.")
    add("seed", type=int)


def add_embedding(group: argparse._ActionsContainer) -> None:
    add = group.add_argument
    add("--target_modules", help="Regular expression for the paths of the attention layers to adapt.")
    add(
        "--value_grid",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        default=MotionEmbeddingConfig.value_grid,
        help="1 1 is one vector per frame; 0 0 is full grids. By default as the model class needs it.",
    )
    add("--parts", nargs="+", choices=PARTS, default=MotionEmbeddingConfig.parts, help="Which parts it has.")
    add("--position_grid", type=int, nargs=2, metavar=("H", "W"), default=MotionEmbeddingConfig.position_grid)
    add("--debias", choices=DEBIAS_MODES, default=MotionEmbeddingConfig.debias)
    add("--timing", type=float, nargs=2, metavar=("START", "END"), help="Part of the schedule in which it acts.")
    add("--save_dtype", choices=DTYPES, default="float32", help="Half precision halves the file.")
    add("--max_error", type=share, help="Store the embedding in compact form, with this relative error at most.")


def _add_output(group: argparse._ActionsContainer) -> None:
    add = group.add_argument
    add("--output_dir", type=expanded, required=True)
    add("--estimate", action="store_true", help="Only say what training and generation need, without any weights.")
    add("--memory", type=memory, help="Of your device, such as 16GB: --estimate marks what does not fit.")
    add("--checkpointing_steps", type=int, help="Save a checkpoint, checkpoint-N, after every this many steps.")
    add("--checkpoints_total_limit", type=int, help="Keep at most this many checkpoints.")
    add("--resume_from_checkpoint", help='Folder or name of a checkpoint, or "latest" for the last of --output_dir.')
    add("--save_spatial_lora", action="store_true", help="Keep the LoRA of debiased_hybrid, as spatial_lora.")
    add("--save_inverted_noise", action="store_true", help="Keep the reference's noise, see docs/training.md.")
    add("--report_to", type=tracker, help="A tracker of accelerate, such as tensorboard or wandb; or none.")
    add("--validation_prompt", nargs="+", default=[], help="Videos of these are made with the trained embedding.")
    add("--select", choices=["last", "best"], default="last", help="best: the checkpoint and scale that measure best.")
    add("--push_to_hub", action="store_true", help="Upload the embedding, with a model card and a preview.")
    add("--hub_model_id", help="Repository to upload to; by default the output folder's name, in your account.")
    add("--hub_token", help="Access token; by default that of the current login.")
    add("--license", default="other", help="The license that the model card names.")


def add_generation(group: argparse._ActionsContainer) -> None:
    """How videos are made."""
    add = group.add_argument
    add("--num_inference_steps", type=count, default=25)
    add("--guidance_scale", type=float, default=7.5)
    add("--fps", type=rate, help=f"By default that of the reference, or {USUAL_FPS} of pictures without times.")
