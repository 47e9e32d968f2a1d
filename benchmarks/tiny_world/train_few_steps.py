"""Train a LoRA with which tiny-wan makes clips in four steps without guidance, as people have them for Wan.

    python -m benchmarks.tiny_world.train_few_steps --output_dir outputs/tiny-wan-few-steps

Each step of the student learns where several guided steps of the plain model lead from the same noisy clip
(progressive distillation, arXiv 2202.00512, of a guided model, arXiv 2210.03142). An interrupted run goes on.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline
from diffusers.training_utils import EMAModel
from peft import LoraConfig, get_peft_model_state_dict
from torch import Tensor
from tqdm import tqdm

from benchmarks.tiny_world.base_training import draw_clips, set_rates
from benchmarks.tiny_world.checkpoints import load_checkpoint, save_checkpoint
from benchmarks.tiny_world.latents import pair_frames
from benchmarks.tiny_world.pipelines import FEW_STEPS, GENERATION, TINY_WAN, load_tiny_pipeline, use_one_thread
from benchmarks.tiny_world.train_wan import MAX_SEQUENCE_LENGTH, NUM_FRAMES
from diffusers_motion_embed.commands.base_pipeline import available_device


ADAPTER = "few-steps"
TARGETS = r"blocks\.\d+\.(attn[12]\.(to_q|to_k|to_v|to_out\.0)|ffn\.net\.(0\.proj|2))"
CHECKPOINTING_STEPS = 50


def use_few_steps(pipe: WanPipeline) -> None:
    """Give the pipeline the scheduler of the student: Euler's method, with the shift that it has."""
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=pipe.scheduler.config.flow_shift)


def noise_levels(pipe: WanPipeline) -> Tensor:
    """The student's noise levels from 1 to 0, (steps + 1,)."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=pipe.scheduler.config.flow_shift)
    scheduler.set_timesteps(FEW_STEPS["num_inference_steps"])
    return scheduler.sigmas


class Teacher:
    """The plain model, guided.

    Args:
        pipe: With a LoRA named `ADAPTER` on its transformer, which it leaves out.
        num_steps: Steps of the teacher for each of the student's.
    """

    def __init__(self, pipe: WanPipeline, num_steps: int) -> None:
        self.transformer, self.num_steps = pipe.transformer, num_steps
        self.num_train_timesteps = pipe.scheduler.config.num_train_timesteps

    @torch.no_grad()
    def velocity(self, latents: Tensor, text: Tensor, no_text: Tensor, begin: Tensor, end: Tensor) -> Tensor:
        """The mean velocity of its way from one noise level to a lower one.

        Args:
            latents: Noisy, (clips, channels, frames, height, width).
            text: Features of the prompts, (clips, tokens, width).
            no_text: Features of the empty prompt, of the same shape.
            begin: Noise levels of the latents, (clips,).
            end: Lower ones, (clips,).
        """
        self.transformer.disable_adapters()
        found, span = latents, ((end - begin) / self.num_steps).view(-1, 1, 1, 1, 1)
        for number in range(self.num_steps):
            level = begin + (end - begin) * number / self.num_steps
            timestep = (level * self.num_train_timesteps).repeat(2)
            both = torch.cat([text, no_text])
            with_text, without = self.transformer(found.repeat(2, 1, 1, 1, 1), timestep, both).sample.chunk(2)
            found = found + span * (without + GENERATION["guidance_scale"] * (with_text - without))
        self.transformer.enable_adapters()
        return (found - latents) / (span * self.num_steps)


def distillation_loss(pipe: WanPipeline, teacher: Teacher, frames: Tensor, prompts: list[str]) -> Tensor:
    """How far the student's velocities are from the teacher's, each clip at one of the student's noise levels.

    Args:
        pipe: The student.
        teacher: The teacher.
        frames: Latents of frames, (clips, channels, frames, height, width).
        prompts: One for each clip.
    """
    latents, levels = pair_frames(frames), noise_levels(pipe).to(frames.device)
    chosen = torch.randint(len(levels) - 1, (len(latents),), device=frames.device)
    begin, end = levels[chosen], levels[chosen + 1]
    wide = begin.view(-1, 1, 1, 1, 1)
    noisy = (1 - wide) * latents + wide * torch.randn_like(latents)
    text, no_text = pipe.encode_prompt(prompts, "", True, max_sequence_length=MAX_SEQUENCE_LENGTH)
    wanted = teacher.velocity(noisy, text, no_text, begin, end)
    found = pipe.transformer(noisy, begin * pipe.scheduler.config.num_train_timesteps, text).sample
    return F.mse_loss(found, wanted)


def save_lora(pipe: WanPipeline, parameters: list[torch.nn.Parameter], average: EMAModel, folder: Path) -> None:
    """Write the averaged LoRA as `pytorch_lora_weights.safetensors`, in float16."""
    average.store(parameters)
    average.copy_to(parameters)
    layers = get_peft_model_state_dict(pipe.transformer, adapter_name=ADAPTER)
    pipe.save_lora_weights(folder, {name: tensor.half() for name, tensor in layers.items()})
    average.restore(parameters)


def train(pipe: WanPipeline, options: argparse.Namespace) -> None:
    """Train the LoRA and write it; the options are those of `make_parser`."""
    torch.manual_seed(options.seed)
    device = available_device()
    pipe.to(device)
    for model in (pipe.transformer, pipe.text_encoder):
        model.requires_grad_(False)
    pipe.transformer.add_adapter(LoraConfig(r=options.rank, lora_alpha=options.rank, target_modules=TARGETS), ADAPTER)
    parameters = [parameter for parameter in pipe.transformer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=options.learning_rate, weight_decay=0.0)
    average = EMAModel(parameters, decay=0.99, use_ema_warmup=True, foreach=True)
    parts: dict[str, Any] = {
        "lora": torch.nn.ParameterList(parameters),
        "average": average,
        "optimizer": optimizer,
    }
    first_step = load_checkpoint(options.output_dir / "checkpoint.pt", parts)
    average.to(device)
    torch.manual_seed(options.seed + first_step)
    rng = np.random.default_rng(options.seed + first_step)
    teacher = Teacher(pipe, options.teacher_steps)
    progress = tqdm(range(first_step, options.max_train_steps), "few steps", mininterval=10)
    for step in progress:
        set_rates([optimizer], step, options)
        latents, prompts = draw_clips(rng, NUM_FRAMES, options.train_batch_size)
        loss = distillation_loss(pipe, teacher, latents.to(device), prompts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(parameters)
        progress.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
        if step + 1 == options.max_train_steps or (step + 1) % CHECKPOINTING_STEPS == 0:
            save_checkpoint(options.output_dir / "checkpoint.pt", parts, step + 1)
            save_lora(pipe, parameters, average, options.output_dir)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--pretrained_model_name_or_path", type=Path, default=TINY_WAN)
    add("--output_dir", type=Path, required=True)
    add("--max_train_steps", type=int, default=600)
    add("--lr_decay_steps", type=int, default=300, help="Last steps, over which the rate falls to 0.")
    add("--train_batch_size", type=int, default=4)
    add("--learning_rate", type=float, default=1e-3)
    add("--rank", type=int, default=32)
    add("--teacher_steps", type=int, default=3, help="Steps of the teacher for each of the student's.")
    add("--seed", type=int, default=0)
    return parser


def main() -> None:
    options = make_parser().parse_args()
    use_one_thread()
    train(load_tiny_pipeline(options.pretrained_model_name_or_path), options)


if __name__ == "__main__":
    main()
