"""Train the tiny world's text encoder and `UNetMotionModel`, and write the whole `AnimateDiffPipeline` folder.

    python -m benchmarks.tiny_world.train_animatediff \
        --vae outputs/tiny-t2v/vae --output_dir outputs/tiny-animatediff

The VAE is that of tiny-t2v. Image and motion layers learn v-prediction together, from scratch; `base_training.py`
tells the rest.
"""

from functools import partial

from diffusers import AnimateDiffPipeline, AutoencoderKL, UNetMotionModel

from benchmarks.tiny_world.base_training import BaseModel, make_parser, train
from benchmarks.tiny_world.latents import LATENT_SIZE
from benchmarks.tiny_world.scene import NUM_FRAMES
from benchmarks.tiny_world.v_prediction import make_scheduler, make_text_encoder, make_tokenizer, v_prediction_loss


def make_pipeline(vae: AutoencoderKL) -> AnimateDiffPipeline:
    tokenizer = make_tokenizer()
    text_encoder = make_text_encoder(tokenizer)
    unet = UNetMotionModel(
        sample_size=LATENT_SIZE,
        in_channels=vae.config.latent_channels,
        out_channels=vae.config.latent_channels,
        block_out_channels=(48, 96),
        down_block_types=("CrossAttnDownBlockMotion",) * 2,
        up_block_types=("CrossAttnUpBlockMotion",) * 2,
        layers_per_block=1,
        cross_attention_dim=64,
        num_attention_heads=(3, 6),
        motion_num_attention_heads=(3, 6),
        motion_max_seq_length=32,
        norm_num_groups=16,
    )
    # The motion layers are part of the UNet's file.
    return AnimateDiffPipeline(vae, text_encoder, tokenizer, unet, motion_adapter=None, scheduler=make_scheduler())


TINY_ANIMATEDIFF = BaseModel(
    vae_class=AutoencoderKL,
    make_pipeline=make_pipeline,
    denoiser="unet",
    loss=partial(v_prediction_loss, text_per_frame=True),
    num_frames=NUM_FRAMES,
    stills_per_clip=NUM_FRAMES,
)


def main() -> None:
    parser = make_parser(__doc__, max_train_steps=8000, train_batch_size=8, learning_rate=1.5e-3, lr_decay_steps=3000)
    train(TINY_ANIMATEDIFF, parser.parse_args())


if __name__ == "__main__":
    main()
