"""Train the tiny world's text encoder and `UNet3DConditionModel`, and write the whole `TextToVideoSDPipeline` folder.

    python -m examples.tiny_world.train_unet --vae outputs/tiny-t2v/vae --output_dir outputs/tiny-t2v

Clips are rendered and encoded once, then the model learns v-prediction on them, by turns on whole clips and on single
frames, with captions of appearance only.
Restarting continues from the last checkpoint. The averaged weights are written as the pipeline folder at every
checkpoint, so that a run can be tried while it goes on.
"""

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, TextToVideoSDPipeline, UNet3DConditionModel
from diffusers.training_utils import EMAModel
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from examples.tiny_world.checkpoints import load_checkpoint, save_checkpoint
from examples.tiny_world.scene import FRAME_SIZE, all_appearances, random_scene


CAPTION_DROPOUT = 0.1  # share of clips trained with an empty prompt, for classifier-free guidance


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
        sample_size=FRAME_SIZE // 8,
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


@torch.no_grad()
def encode_clips(vae: AutoencoderKL, num_clips: int, seed: int) -> tuple[torch.Tensor, list[str]]:
    """Scaled latents of random clips, (clips, channels, frames, height, width) in float16, and their captions."""
    latents, prompts = [], []
    rng = np.random.default_rng(seed)
    for _ in tqdm(range(num_clips), desc="encoding clips", mininterval=5):
        scene = random_scene(rng)
        pixels = torch.from_numpy(scene.render()).permute(0, 3, 1, 2) * 2 - 1
        mean = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
        latents.append(mean.permute(1, 0, 2, 3).half())
        prompts.append(scene.appearance.prompt)
    return torch.stack(latents), prompts


def cached_clips(path: Path, vae: AutoencoderKL, num_clips: int, seed: int) -> tuple[torch.Tensor, list[str]]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(encode_clips(vae, num_clips, seed), path)
    return torch.load(path, weights_only=True)


def denoising_loss(pipe, unet, text_encoder, latents: torch.Tensor, prompts: list[str]) -> torch.Tensor:
    tokens = pipe.tokenizer(prompts, padding="max_length", max_length=16, return_tensors="pt").input_ids
    noise = torch.randn_like(latents)
    timesteps = torch.randint(0, pipe.scheduler.config.num_train_timesteps, (len(latents),))
    noisy_latents = pipe.scheduler.add_noise(latents, noise, timesteps)
    prediction = unet(noisy_latents, timesteps, encoder_hidden_states=text_encoder(tokens)[0]).sample
    return F.mse_loss(prediction, pipe.scheduler.get_velocity(latents, noise, timesteps))


def draw_batch(
    latents: torch.Tensor, batch_size: int, single_frames: bool, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Random clips, or as many single frames of different clips, and the numbers of their clips.

    Single frames show many more appearances at the same cost, and appearance is most of what there is to learn.
    """
    num_frames = latents.shape[2]
    if single_frames:
        chosen = torch.randint(len(latents), (batch_size * num_frames,), generator=generator)
        frame = torch.randint(num_frames, (batch_size * num_frames,), generator=generator)
        return latents[chosen, :, frame].float().unsqueeze(2), chosen
    chosen = torch.randint(len(latents), (batch_size,), generator=generator)
    batch = latents[chosen].float()
    reverse = torch.rand(batch_size, generator=generator) < 0.5  # played backwards, a path is as likely as before
    batch[reverse] = batch[reverse].flip(2)
    return batch, chosen


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
    parser.add_argument("--num_clips", type=int, default=8192)
    parser.add_argument("--max_train_steps", type=int, default=8000)
    parser.add_argument("--train_batch_size", type=int, default=8)
    parser.add_argument("--learning_rate", type=float, default=1.5e-3)
    parser.add_argument("--lr_decay_steps", type=int, default=2000, help="Last steps, over which the rate falls to 0.")
    parser.add_argument("--checkpointing_steps", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    vae = AutoencoderKL.from_pretrained(options.vae).requires_grad_(False)
    vae.register_to_config(_name_or_path="")  # or the path on this machine would be published with the pipeline
    work = options.output_dir / "work"
    latents, prompts = cached_clips(work / "clips.pt", vae, options.num_clips, options.seed + 1)
    pipe = make_pipeline(vae)
    unet, text_encoder = pipe.unet, pipe.text_encoder
    trained = torch.nn.ModuleList([unet, text_encoder])

    optimizer = torch.optim.AdamW(trained.parameters(), lr=options.learning_rate, weight_decay=1e-2)
    average = EMAModel(trained.parameters(), decay=0.999, use_ema_warmup=True)
    parts = {"trained": trained, "optimizer": optimizer, "average": average}
    first_step = load_checkpoint(work / "checkpoint.pt", parts)
    generator = torch.Generator().manual_seed(options.seed + first_step)
    torch.manual_seed(options.seed + first_step)

    progress = tqdm(range(first_step, options.max_train_steps), desc="UNet", mininterval=10)
    losses = []
    for step in progress:
        warmup = min(1.0, (step + 1) / 200)
        decay = min(1.0, (options.max_train_steps - step) / options.lr_decay_steps)
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * warmup * decay
        batch, chosen = draw_batch(latents, options.train_batch_size, step % 2 == 0, generator)
        drop = torch.rand(len(batch), generator=generator) < CAPTION_DROPOUT
        captions = ["" if dropped else prompts[index] for index, dropped in zip(chosen, drop, strict=True)]
        loss = denoising_loss(pipe, unet, text_encoder, batch, captions)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(trained.parameters())
        losses.append(loss.item())
        if len(losses) == 100:
            images, clips = losses[::2], losses[1::2]
            progress.write(f"step {step + 1}: loss {sum(images) / 50:.4f} of frames, {sum(clips) / 50:.4f} of clips")
            losses.clear()
        if (step + 1) % options.checkpointing_steps == 0 or step + 1 == options.max_train_steps:
            save_checkpoint(work / "checkpoint.pt", parts, step + 1)
            write_pipeline(pipe, average, trained, options.output_dir)


if __name__ == "__main__":
    main()
