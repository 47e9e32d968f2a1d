"""Train the tiny world's text encoder and `UNet3DConditionModel`, and write the whole `TextToVideoSDPipeline` folder.

    torchrun --nproc_per_node 2 -m examples.tiny_world.train_unet \
        --vae outputs/tiny-t2v/vae --output_dir outputs/tiny-t2v

One process for each core, of one thread: that is faster than one process of several threads, and it does not come to a
halt when something else runs. Plain `python -m` works as well.

Clips are rendered once, as the thumbnails that are the latents here. Then the model learns v-prediction on them, by
turns on whole clips and on single frames (of clips and portraits), with captions of appearance only.
Restarting continues from the last checkpoint. The averaged weights are written as the pipeline folder at every
checkpoint, so that a run can be tried while it goes on.
"""

import argparse
import copy
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from diffusers import AutoencoderKL, DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel
from diffusers.training_utils import EMAModel
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from examples.tiny_world.checkpoints import load_checkpoint, save_checkpoint
from examples.tiny_world.latents import PATCH_SIZE, SCALING_FACTOR, THUMBNAIL_SIZE, shows_object, thumbnail_latents
from examples.tiny_world.scene import NUM_FRAMES, Scene, all_appearances, random_portrait, random_scene


CAPTION_DROPOUT = 0.1  # share of clips trained with an empty prompt, for classifier-free guidance
OBJECT_WEIGHT = 4.0  # of the object's latents beside the background's, where hardly any noise is left


def make_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer with one token for each word of the captions, and single letters for all other words."""
    words = sorted({word for appearance in all_appearances() for word in appearance.prompt.split()})
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = letters + [letter + "</w>" for letter in letters]
    merges = []
    for word in words:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges.append((parts[-2], parts[-1]))  # from the end, so that no word's merges spoil another's
            parts[-2:] = ["".join(parts[-2:])]
            pieces.append(parts[-1])
    merges = list(dict.fromkeys(merges))
    tokens = ["<|startoftext|>", "<|endoftext|>", *dict.fromkeys(pieces)]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=16)
    split = [word for word in words if len(tokenizer.tokenize(word)) != 1]
    if split:
        raise AssertionError(f"These words are not one token each: {split}.")
    return tokenizer


def make_pipeline(vae: AutoencoderKL) -> TextToVideoSDPipeline:
    tokenizer = make_tokenizer()
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            projection_dim=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet3DConditionModel(
        sample_size=THUMBNAIL_SIZE // PATCH_SIZE,
        in_channels=vae.config.latent_channels,
        out_channels=vae.config.latent_channels,
        block_out_channels=(48, 96),
        down_block_types=("CrossAttnDownBlock3D",) * 2,
        up_block_types=("CrossAttnUpBlock3D",) * 2,
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=16,
        norm_num_groups=16,
    )
    scheduler = DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
    return TextToVideoSDPipeline(vae, text_encoder, tokenizer, unet, scheduler)


def render_scenes(
    random_scene: Callable[[np.random.Generator], Scene], num_scenes: int, seed: int
) -> tuple[torch.Tensor, list[str]]:
    """Scaled latents of random scenes, (scenes, channels, frames, height, width) in float16, and their captions."""
    latents, prompts = [], []
    rng = np.random.default_rng(seed)
    for _ in tqdm(range(num_scenes), desc="rendering", mininterval=5):
        scene = random_scene(rng)
        pixels = torch.from_numpy(scene.render()).permute(0, 3, 1, 2) * 2 - 1
        latents.append((thumbnail_latents(pixels) * SCALING_FACTOR).permute(1, 0, 2, 3).half())
        prompts.append(scene.appearance.prompt)
    return torch.stack(latents), prompts


def denoising_loss(pipe, unet, text_encoder, latents: torch.Tensor, prompts: list[str]) -> torch.Tensor:
    tokens = pipe.tokenizer(prompts, padding="max_length", max_length=16, return_tensors="pt").input_ids
    noise = torch.randn_like(latents)
    timesteps = torch.randint(0, pipe.scheduler.config.num_train_timesteps, (len(latents),))
    noisy_latents = pipe.scheduler.add_noise(latents, noise, timesteps)
    prediction = unet(noisy_latents, timesteps, encoder_hidden_states=text_encoder(tokens)[0]).sample
    error = (prediction - pipe.scheduler.get_velocity(latents, noise, timesteps)) ** 2
    # Outlines are few, and decided late. Early, while nobody knows where the object is, a weight would draw it
    # everywhere.
    late = pipe.scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1, 1)
    return (error * (1 + (OBJECT_WEIGHT - 1) * late * shows_object(latents / SCALING_FACTOR))).mean()


def draw_clips(
    latents: torch.Tensor, prompts: list[str], num_clips: int, generator: torch.Generator
) -> tuple[torch.Tensor, list[str]]:
    """Random clips and their captions."""
    chosen = torch.randint(len(latents), (num_clips,), generator=generator)
    batch = latents[chosen].float()
    reverse = torch.rand(num_clips, generator=generator) < 0.5  # played backwards, a path is as likely as before
    batch[reverse] = batch[reverse].flip(2)
    return batch, [prompts[index] for index in chosen]


def draw_frames(
    latents: torch.Tensor, prompts: list[str], num_frames: int, generator: torch.Generator
) -> tuple[torch.Tensor, list[str]]:
    """Random frames of different clips, as clips of one frame, and their captions.

    They show many more appearances at the cost of a clip, and appearance is most of what there is to learn.
    """
    chosen = torch.randint(len(latents), (num_frames,), generator=generator)
    frame = torch.randint(latents.shape[2], (num_frames,), generator=generator)
    return latents[chosen, :, frame].float().unsqueeze(2), [prompts[index] for index in chosen]


def average_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Give every process the mean of all processes' gradients."""
    if dist.is_initialized():
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def write_pipeline(pipe: TextToVideoSDPipeline, average: EMAModel, trained: torch.nn.ModuleList, folder: Path) -> None:
    averaged = copy.deepcopy(trained)
    average.copy_to(averaged.parameters())
    unet, text_encoder = averaged
    components = {**pipe.components, "unet": unet, "text_encoder": text_encoder, "vae": copy.deepcopy(pipe.vae)}
    TextToVideoSDPipeline(**components).to(dtype=torch.float16).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vae", type=Path, required=True, help="Folder written by train_vae.py.")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--num_clips", type=int, default=16384)
    parser.add_argument("--max_train_steps", type=int, default=4500)
    parser.add_argument("--train_batch_size", type=int, default=8, help="Clips per step, of all processes together.")
    parser.add_argument("--learning_rate", type=float, default=1.5e-3)
    parser.add_argument("--lr_decay_steps", type=int, default=2000, help="Last steps, over which the rate falls to 0.")
    parser.add_argument("--checkpointing_steps", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    rank, num_processes = 0, 1
    if "LOCAL_RANK" in os.environ:  # started by torchrun
        dist.init_process_group("gloo")
        rank, num_processes = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(options.seed)
    vae = AutoencoderKL.from_pretrained(options.vae).requires_grad_(False)
    vae.register_to_config(_name_or_path="")  # or the path on this machine would be published with the pipeline
    clips = render_scenes(random_scene, options.num_clips, options.seed + 1)
    portraits = render_scenes(random_portrait, 2 * options.num_clips, options.seed + 2)
    pipe = make_pipeline(vae)
    unet, text_encoder = pipe.unet, pipe.text_encoder
    trained = torch.nn.ModuleList([unet, text_encoder])

    optimizer = torch.optim.AdamW(trained.parameters(), lr=options.learning_rate, weight_decay=1e-2)
    average = EMAModel(trained.parameters(), decay=0.999, use_ema_warmup=True)
    parts = {"trained": trained, "optimizer": optimizer, "average": average}
    checkpoint = options.output_dir / "checkpoint.pt"
    first_step = load_checkpoint(checkpoint, parts)
    seed = (options.seed + first_step) * num_processes + rank
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)

    progress = tqdm(range(first_step, options.max_train_steps), desc="UNet", mininterval=10, disable=rank > 0)
    losses = []
    for step in progress:
        warmup = min(1.0, (step + 1) / 200)
        decay = min(1.0, (options.max_train_steps - step) / options.lr_decay_steps)
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * warmup * decay
        num_clips = options.train_batch_size // num_processes
        if step % 2:
            batch, captions = draw_clips(*clips, num_clips, generator)
        else:
            half = num_clips * NUM_FRAMES // 2
            halves = [draw_frames(*source, half, generator) for source in (clips, portraits)]
            batch, captions = torch.cat([halves[0][0], halves[1][0]]), halves[0][1] + halves[1][1]
        drop = torch.rand(len(batch), generator=generator) < CAPTION_DROPOUT
        captions = ["" if dropped else caption for caption, dropped in zip(captions, drop, strict=True)]
        loss = denoising_loss(pipe, unet, text_encoder, batch, captions)
        loss.backward()
        average_gradients(list(trained.parameters()))
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(trained.parameters())
        losses.append(loss.item())
        if rank == 0 and len(losses) == 100:
            of_frames, of_clips = sum(losses[::2]) / 50, sum(losses[1::2]) / 50
            progress.write(f"step {step + 1}: loss {of_frames:.4f} of frames, {of_clips:.4f} of clips")
            losses.clear()
        done = step + 1 == options.max_train_steps
        if rank == 0 and (done or (step + 1) % options.checkpointing_steps == 0):
            save_checkpoint(checkpoint, parts, step + 1)
            write_pipeline(pipe, average, trained, options.output_dir)


if __name__ == "__main__":
    main()
