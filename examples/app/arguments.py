"""The arguments of the page's command, and what the embedded models need instead of the defaults."""

import argparse
from pathlib import Path
from typing import Any

import torch

from diffusers_motion_embed.commands.base_pipeline import available_device
from diffusers_motion_embed.commands.training_arguments import NUM_FRAMES, add_base, add_generation
from diffusers_motion_embed.training import TrainingConfig


EXAMPLES = Path(__file__).parents[1]
DAY = 24 * 3600
# What the embedded models draw, how, and how much training their motions need.
TINY_SIZE = {"height": 64, "width": 64, "num_inference_steps": 12, "guidance_scale": 2.0, "fps": 8}
TINY: dict[str, dict[str, Any]] = {
    "tiny-t2v": {**TINY_SIZE, "num_frames": 16, "max_train_steps": 30},
    "tiny-animatediff": {**TINY_SIZE, "num_frames": 16, "max_train_steps": 50},
    "tiny-wan": {
        **TINY_SIZE,
        "num_frames": 17,
        "max_train_steps": 50,
        "call_arguments": {"max_sequence_length": 16},
    },
}


def parse_arguments(description: str | None, arguments: list[str]) -> argparse.Namespace:
    """The command's options. An embedded model goes by its name, and brings the settings that fit it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_base(parser.add_argument_group("base model"))
    _add_clips(parser.add_argument_group("clips"))
    _add_server(parser.add_argument_group("server"))
    given = ["--pretrained_model_name_or_path", "tiny-t2v", *arguments]  # the last one counts
    name = Path(parser.parse_args(given).pretrained_model_name_or_path).name
    parser.set_defaults(**TINY.get(name, {}))
    options = parser.parse_args(given)
    if options.pretrained_model_name_or_path in TINY:
        options.pretrained_model_name_or_path = str(EXAMPLES / name)
    return options


def _add_clips(group: argparse._ActionsContainer) -> None:
    add = group.add_argument
    add("--num_frames", type=int, default=NUM_FRAMES, help="The usual length of the base's clips.")
    add("--max_frames", type=int, default=48, help="The longest clip that a visitor can ask for.")
    add("--height", type=int, default=512, help="The usual size of the base's clips, in pixels.")
    add("--width", type=int, default=512)
    steps = TrainingConfig.max_train_steps
    add("--max_train_steps", type=int, default=steps, help="Steps at first; visitors can ask for up to 1,000.")
    add("--device", default=available_device())
    add_generation(group)


def _add_server(group: argparse._ActionsContainer) -> None:
    add = group.add_argument
    add("--server_name", help="Address to listen at; by default this machine alone can reach the page.")
    add("--server_port", type=int, help="By default the first free one from 7860 on.")
    add("--library", type=Path, default=Path("outputs/app"), help="Folder for the motions of visitors.")
    add("--keep_days", type=float, default=7.0, help="How long motions are kept after their visitor was last here.")
    add("--max_gigabytes", type=float, default=4.0, help="The size of all visitors' files; the oldest go first.")
    add("--max_queue", type=int, default=20, help="How many visitors may wait.")
    add("--threads", type=int, default=torch.get_num_threads(), help="Threads of the processor for the base model.")
    add("--max_upload", default="100mb", help="The size of one uploaded file.")
