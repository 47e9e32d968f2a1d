"""What the tiny models of Stable Diffusion's kind share: text, noise schedule and loss."""

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DiffusionPipeline
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from benchmarks.tiny_world.captions import LETTERS, caption_words, check_words
from benchmarks.tiny_world.latents import NOISE_SHIFT, NOISE_SPREAD


def make_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer with one token for each word of the captions, and single letters for all other words."""
    pieces = LETTERS + [letter + "</w>" for letter in LETTERS]
    merges = []
    for word in caption_words():
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges.append((parts[-2], parts[-1]))  # from the end, so that no word's merges spoil another's
            parts[-2:] = ["".join(parts[-2:])]
            pieces.append(parts[-1])
    merges = list(dict.fromkeys(merges))
    tokens = ["<|startoftext|>", "<|endoftext|>", *dict.fromkeys(pieces)]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=16)
    check_words(tokenizer)
    return tokenizer


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    return CLIPTextModel(
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


def make_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )


def draw_timesteps(scheduler: DDIMScheduler, number: int, device: torch.device | None = None) -> torch.Tensor:
    """Random timesteps, (number,), at which there is as much noise beside the signal as in `flow_matching_loss`."""
    noise = NOISE_SHIFT * (NOISE_SPREAD * torch.randn(number, device=device)).exp()
    noise_of_timesteps = (1 / scheduler.alphas_cumprod.to(noise.device) - 1).sqrt()
    return torch.searchsorted(noise_of_timesteps, noise).clamp(max=len(noise_of_timesteps) - 1)


def v_prediction_loss(
    pipe: DiffusionPipeline, latents: torch.Tensor, prompts: list[str], *, text_per_frame: bool = False
) -> torch.Tensor:
    """The loss of one batch, at the noise levels of `draw_timesteps`.

    Args:
        pipe: With `unet`, `text_encoder`, `tokenizer` and `scheduler`.
        latents: (clips, channels, frames, height, width).
        prompts: One for each clip.
        text_per_frame: Whether the UNet wants the text features of each frame rather than of each clip.
    """
    tokens = pipe.tokenizer(prompts, padding="max_length", max_length=16, return_tensors="pt").input_ids
    tokens = tokens.to(latents.device)
    noise = torch.randn_like(latents)
    timesteps = draw_timesteps(pipe.scheduler, len(latents), latents.device)
    noisy_latents = pipe.scheduler.add_noise(latents, noise, timesteps)
    text = pipe.text_encoder(tokens)[0]
    if text_per_frame:
        text = text.repeat_interleave(latents.shape[2], dim=0)
    prediction = pipe.unet(noisy_latents, timesteps, encoder_hidden_states=text).sample
    return F.mse_loss(prediction, pipe.scheduler.get_velocity(latents, noise, timesteps))
