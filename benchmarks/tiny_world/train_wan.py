r"""Train the tiny world's text encoder and `WanTransformer3DModel`, and write the whole `WanPipeline` folder.

    python -m benchmarks.tiny_world.train_wan --vae outputs/tiny-wan/vae --output_dir outputs/tiny-wan \
        --muon --compile --learning_rate 2e-3

The model learns flow matching on latents of two frames each. The card of `examples/tiny-wan` has the numbers,
`base_training.py` tells the rest.
"""

from dataclasses import replace
from functools import partial

import torch
from diffusers import (
    AutoencoderKLWan,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
    WanTransformer3DModel,
)
from transformers import T5Tokenizer, UMT5Config, UMT5EncoderModel

from benchmarks.tiny_world.base_training import BaseModel, make_parser, train
from benchmarks.tiny_world.captions import LETTERS, caption_words, check_words
from benchmarks.tiny_world.latents import NOISE_SHIFT, NOISE_SPREAD, pair_frames


NUM_FRAMES = 17  # the first alone, and 8 pairs
MAX_SEQUENCE_LENGTH = 16  # of the text, with room for every caption
DEFAULT_SEQUENCE_LENGTH = 512  # what the pipeline pads texts to if nothing is said
LONG_TEXT_SHARE = 1 / 8  # of the steps on clips, so that padding makes no difference


def make_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer with one token for each word of the captions, and single letters for all other words."""
    special = [(token, 0.0) for token in ("<pad>", "</s>", "<unk>")]
    words = [("▁" + word, -1.0) for word in caption_words()]
    letters = [(letter, -10.0) for letter in ["▁", *LETTERS]]
    tokenizer = T5Tokenizer(vocab=special + words + letters, extra_ids=0, model_max_length=DEFAULT_SEQUENCE_LENGTH)
    check_words(tokenizer)
    return tokenizer


def make_pipeline(vae: AutoencoderKLWan, patch_size: int = 1, given_channels: int = 0) -> WanPipeline:
    """The pipeline with random weights around a VAE.

    Args:
        vae: The tiny world's VAE.
        patch_size: Size of tokens, in latents.
        given_channels: Channels of the transformer's input beside the noisy latents.
    """
    tokenizer = make_tokenizer()
    text_encoder = UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(tokenizer),
            d_model=64,
            d_kv=16,
            d_ff=128,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    transformer = WanTransformer3DModel(
        patch_size=(1, patch_size, patch_size),
        num_attention_heads=5,
        attention_head_dim=32,
        in_channels=vae.config.z_dim + given_channels,
        out_channels=vae.config.z_dim,
        text_dim=text_encoder.config.d_model,
        freq_dim=64,
        ffn_dim=640,
        num_layers=6,
        rope_max_seq_len=64,
    )
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=NOISE_SHIFT
    )
    return WanPipeline(tokenizer, text_encoder, vae, scheduler, transformer)


def flow_matching_loss(
    pipe: WanPipeline | WanImageToVideoPipeline,
    frames: torch.Tensor,
    prompts: list[str],
    given: torch.Tensor | None = None,
    first_weight: float = 1.0,
    noise_spread: float = NOISE_SPREAD,
) -> torch.Tensor:
    """The loss of one batch.

    Noise levels are drawn from a logit-normal distribution (arXiv 2403.03206), then shifted: mostly those at which
    motion and outlines are decided.

    Args:
        pipe: With `transformer`, `text_encoder`, `tokenizer` and `scheduler`.
        frames: Latents of frames, (clips, channels, frames, height, width).
        prompts: One for each clip.
        given: Channels that the transformer gets beside the noisy latents, (clips, channels, latent frames, height,
            width).
        first_weight: What the first latent frame's errors count for.
        noise_spread: Standard deviation of the logit-normal distribution.
    """
    latents = pair_frames(frames)
    is_clip = latents.shape[2] > 1
    long_text = is_clip and torch.rand(()) < LONG_TEXT_SHARE
    length = DEFAULT_SEQUENCE_LENGTH if long_text else MAX_SEQUENCE_LENGTH
    text, _ = pipe.encode_prompt(prompts, do_classifier_free_guidance=False, max_sequence_length=length)
    noise = torch.randn_like(latents)
    level = torch.sigmoid(noise_spread * torch.randn(len(latents), device=latents.device))
    shift = pipe.scheduler.config.flow_shift
    sigma = shift * level / (1 + (shift - 1) * level)
    wide_sigma = sigma.view(-1, 1, 1, 1, 1)
    noisy_latents = (1 - wide_sigma) * latents + wide_sigma * noise
    timesteps = sigma * pipe.scheduler.config.num_train_timesteps
    model_input = noisy_latents if given is None else torch.cat([noisy_latents, given], dim=1)
    prediction = pipe.transformer(model_input, timesteps, encoder_hidden_states=text).sample
    error = (prediction - noise + latents).square().mean((0, 1, 3, 4))  # of each latent frame
    error[0] *= first_weight
    return error.mean()


TINY_WAN = BaseModel(
    vae_class=AutoencoderKLWan,
    make_pipeline=make_pipeline,
    denoiser="transformer",
    loss=flow_matching_loss,
    num_frames=NUM_FRAMES,
    stills_per_clip=1 + (NUM_FRAMES - 1) // 2,
    phases_in_places=True,
)


def main() -> None:
    parser = make_parser(__doc__, max_train_steps=4200, train_batch_size=8, learning_rate=7e-4, lr_decay_steps=1200)
    parser.add_argument(
        "--patch_size", type=int, default=1, help="Of tokens, in latents; 2 takes a quarter of the work."
    )
    options = parser.parse_args()
    train(replace(TINY_WAN, make_pipeline=partial(make_pipeline, patch_size=options.patch_size)), options)


if __name__ == "__main__":
    main()
