"""How the tiny world's base models are trained; `train_*.py` say what differs between them.

The model learns to denoise the latents of endless random clips, by turns whole clips and single frames (of clips and
portraits), with captions of appearance only.
Restarting continues from the last checkpoint. The averaged weights are written as the pipeline folder at every
checkpoint, so that a run can be tried while it goes on.

On processors, with torchrun, one process for each core, of one thread: that is faster than one process of several
threads, and it does not come to a halt when something else runs. Plain `python -m` works as well, and is what an
accelerator takes; there `--dataloader_num_workers` keeps it busy.
"""

import argparse
import copy
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from diffusers import DiffusionPipeline, ModelMixin
from diffusers.training_utils import EMAModel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from benchmarks.tiny_world.checkpoints import load_checkpoint, save_checkpoint
from benchmarks.tiny_world.latents import scene_latents
from benchmarks.tiny_world.muon import Muon
from benchmarks.tiny_world.portable import make_portable
from benchmarks.tiny_world.training_clips import random_portrait, random_scene
from diffusers_motion_embed.commands.base_pipeline import available_device


CAPTION_DROPOUT = 0.1  # share of clips trained with an empty prompt, for classifier-free guidance


@dataclass(frozen=True)
class BaseModel:
    """What differs between the base models.

    Args:
        vae_class: Of the folder given as `--vae`.
        make_pipeline: The pipeline with random weights around a VAE.
        denoiser: Name of the component that denoises, `unet` or `transformer`.
        loss: From the pipeline, latents of frames (clips, channels, frames, height, width) and prompts.
        num_frames: Of a clip.
        phases_in_places: Of `scene_latents`.
        stills_per_clip: As many single frames are trained in the time of a clip.
    """

    vae_class: type[ModelMixin]
    make_pipeline: Callable[[ModelMixin], DiffusionPipeline]
    denoiser: str
    loss: Callable[[DiffusionPipeline, torch.Tensor, list[str]], torch.Tensor]
    num_frames: int
    stills_per_clip: int
    phases_in_places: bool = False

    def trained(self, pipe: DiffusionPipeline, *, frozen_text_encoder: bool = False) -> dict[str, torch.nn.Module]:
        """The components that are trained, by name."""
        trained = {self.denoiser: getattr(pipe, self.denoiser)}
        return trained if frozen_text_encoder else {**trained, "text_encoder": pipe.text_encoder}


def make_parser(description: str, **defaults: float) -> argparse.ArgumentParser:
    """The command line of a training script, whose own defaults are given by name."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vae", type=Path, required=True, help="Folder written by the script that trains the VAE.")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--max_train_steps", type=int)
    parser.add_argument("--train_batch_size", type=int, help="Clips per step, of all processes together.")
    parser.add_argument("--learning_rate", type=float)
    parser.add_argument("--lr_decay_steps", type=int, help="Last steps, over which the rate falls to 0.")
    parser.add_argument("--checkpointing_steps", type=int, default=250)
    parser.add_argument("--initial_weights", type=Path, help="Pipeline folder to start from, where shapes agree.")
    parser.add_argument(
        "--stills_every", type=int, default=2, help="One step in so many is on single frames; 0 for none."
    )
    parser.add_argument(
        "--muon", action="store_true", help="Muon for the matrices and kernels of the denoiser's blocks."
    )
    parser.add_argument(
        "--frozen_text_encoder", action="store_true", help="Train the denoiser alone, so that words stay as they are."
    )
    parser.add_argument("--compile", action="store_true", help="Minutes to start, a third faster steps.")
    parser.add_argument(
        "--dataloader_num_workers", type=int, default=0, help="Processes that draw clips; 0 draws them between steps."
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.set_defaults(**defaults)
    return parser


def draw_clips(model: BaseModel, rng: np.random.Generator, num_clips: int) -> tuple[torch.Tensor, list[str]]:
    """Latents of random clips, (clips, channels, frames, height, width), and their captions."""
    scenes = [random_scene(rng, model.num_frames) for _ in range(num_clips)]
    latents = torch.stack([scene_latents(scene, in_places=model.phases_in_places) for scene in scenes])
    return latents.transpose(1, 2), [scene.appearance.prompt for scene in scenes]


def draw_stills(model: BaseModel, rng: np.random.Generator, num_stills: int) -> tuple[torch.Tensor, list[str]]:
    """The same of single frames: half are portraits, half are of clips.

    They show many more appearances at the cost of a clip, and appearance is most of what there is to learn.
    """
    latents, captions = [], []
    for number in range(num_stills):
        scene = random_portrait(rng) if number % 2 == 0 else random_scene(rng, model.num_frames)
        index = int(rng.integers(len(scene.motion.center)))
        latents.append(scene_latents(scene, slice(index, index + 1), in_places=model.phases_in_places))
        captions.append(scene.appearance.prompt)
    return torch.stack(latents).transpose(1, 2), captions


def without_some(captions: list[str], rng: np.random.Generator) -> list[str]:
    """The captions, some of them left empty."""
    return ["" if rng.uniform() < CAPTION_DROPOUT else caption for caption in captions]


@dataclass(frozen=True)
class Batches(Dataset):
    """What each step is trained on: latents and captions, the same whatever process draws them.

    Args:
        model: The base model.
        num_clips: Clips of a step, in this process.
        stills_every: One step in so many is on single frames; 0 for none.
        seed: One for each training, and each of its processes.
    """

    model: BaseModel
    num_clips: int
    stills_every: int
    seed: tuple[int, int]

    def __getitem__(self, step: int) -> tuple[torch.Tensor, list[str]]:
        rng = np.random.default_rng([*self.seed, step])
        on_stills = self.stills_every and step % self.stills_every == 0
        draw, per_clip = (draw_stills, self.model.stills_per_clip) if on_stills else (draw_clips, 1)
        latents, captions = draw(self.model, rng, self.num_clips * per_clip)
        return latents, without_some(captions, rng)


def widened(weight: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """A weight with zeros for the input channels, its second axis, that it lacks; as it is if it differs in more."""
    if weight.ndim < 2 or weight.shape[:1] + weight.shape[2:] != shape[:1] + shape[2:] or weight.shape[1] >= shape[1]:
        return weight
    wide = weight.new_zeros(shape)
    wide[:, : weight.shape[1]] = weight
    return wide


def load_matching(trained: dict[str, torch.nn.Module], pipe: DiffusionPipeline, other: DiffusionPipeline) -> None:
    """Copy another pipeline's weights into the trained components of `pipe`, but for those of other shapes.

    Input channels that the other model lacks, which come last, begin without effect. Words keep what was learned of
    them, whatever their number in the vocabulary.
    """
    for name, module in trained.items():
        shapes = {key: value.shape for key, value in module.state_dict().items()}
        weights = {key: value for key, value in getattr(other, name).state_dict().items() if key in shapes}
        weights = {key: widened(value, shapes[key]) for key, value in weights.items()}
        matching = {key: value for key, value in weights.items() if shapes[key] == value.shape}
        module.load_state_dict(matching, strict=False)
    embeddings, others = (each.text_encoder.get_input_embeddings().weight.data for each in (pipe, other))
    numbers = other.tokenizer.get_vocab()
    for word, number in pipe.tokenizer.get_vocab().items():
        if word in numbers:
            embeddings[number] = others[numbers[word]]


def make_optimizers(
    denoiser: torch.nn.Module, parameters: list[torch.nn.Parameter], learning_rate: float, muon: bool
) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon for the matrices and kernels of the denoiser's blocks and AdamW for the rest."""
    matrices = [p for name, p in denoiser.named_parameters() if muon and p.ndim in (2, 4, 5) and "block" in name]
    chosen = set(map(id, matrices))
    rest = [parameter for parameter in parameters if id(parameter) not in chosen]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(rest, lr=learning_rate, weight_decay=1e-2)]
    return [*optimizers, Muon(matrices, lr=learning_rate)] if matrices else optimizers


def set_rates(optimizers: list[torch.optim.Optimizer], step: int, options: argparse.Namespace) -> None:
    """The learning rate of a step: it rises over the first 200, and falls over the last."""
    warmup = min(1.0, (step + 1) / 200)
    decay = min(1.0, (options.max_train_steps - step) / options.lr_decay_steps)
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group["lr"] = options.learning_rate * warmup * decay


def average_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Give every process the mean of all processes' gradients."""
    if dist.is_initialized():
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def write_pipeline(
    pipe: DiffusionPipeline, trained: dict[str, torch.nn.Module], average: EMAModel, folder: Path
) -> None:
    """Write the pipeline with the averaged weights, in float16, in a form that loads everywhere."""
    averaged = torch.nn.ModuleDict(copy.deepcopy(trained))
    average.copy_to(averaged.parameters())
    frozen = {name: copy.deepcopy(getattr(pipe, name)) for name in ("vae", "text_encoder") if name not in trained}
    components = {**pipe.components, **averaged, **frozen}
    type(pipe)(**components).to(dtype=torch.float16).save_pretrained(folder)
    make_portable(folder)


def train(model: BaseModel, options: argparse.Namespace) -> None:
    """Train a base model and write its pipeline folder; the options are those of `parse_options`."""
    rank, num_processes = 0, 1
    if "LOCAL_RANK" in os.environ:  # started by torchrun
        dist.init_process_group("gloo")
        rank, num_processes = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(options.seed)
    vae = model.vae_class.from_pretrained(options.vae).requires_grad_(False)
    vae.register_to_config(_name_or_path="")  # or the path on this machine would be published with the pipeline
    pipe = model.make_pipeline(vae)
    if options.initial_weights:
        other = type(pipe).from_pretrained(options.initial_weights, dtype=torch.float32)
        load_matching(model.trained(pipe), pipe, other)
    trained = model.trained(pipe, frozen_text_encoder=options.frozen_text_encoder)
    pipe.text_encoder.requires_grad_("text_encoder" in trained)
    torch.backends.cuda.matmul.allow_tf32 = True  # as for convolutions
    device = available_device()
    pipe.to(device)
    parameters = list(torch.nn.ModuleDict(trained).parameters())
    if options.compile:
        trained[model.denoiser].compile(dynamic=False)  # once for clips, once for single frames

    optimizers = make_optimizers(trained[model.denoiser], parameters, options.learning_rate, options.muon)
    average = EMAModel(parameters, decay=0.999, use_ema_warmup=True, foreach=True)
    parts = {"trained": torch.nn.ModuleDict(trained), "average": average}
    parts |= {f"optimizer_{number}": optimizer for number, optimizer in enumerate(optimizers)}
    checkpoint = options.output_dir / "checkpoint.pt"
    first_step = load_checkpoint(checkpoint, parts)
    average.to(device)
    torch.manual_seed((options.seed + first_step) * num_processes + rank)
    num_clips = options.train_batch_size // num_processes
    batches = Batches(model, num_clips, options.stills_every, (options.seed, rank))
    steps = range(first_step, options.max_train_steps)
    loader = DataLoader(batches, batch_size=None, sampler=steps, num_workers=options.dataloader_num_workers)

    progress = tqdm(zip(steps, loader, strict=True), "base", len(steps), mininterval=10, disable=rank > 0)
    losses: list[torch.Tensor] = []
    for step, (latents, captions) in progress:
        set_rates(optimizers, step, options)
        loss = model.loss(pipe, latents.to(device), captions)
        loss.backward()
        average_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        average.step(parameters)
        losses.append(loss.detach())
        if rank == 0 and len(losses) == 100:
            progress.write(f"step {step + 1}: loss {torch.stack(losses).mean().item():.4f}")
            losses.clear()
        done = step + 1 == options.max_train_steps
        if rank == 0 and (done or (step + 1) % options.checkpointing_steps == 0):
            save_checkpoint(checkpoint, parts, step + 1)
            write_pipeline(pipe, trained, average, options.output_dir)
