"""Train the tiny world's text encoder and `UNet3DConditionModel`, and write the whole `TextToVideoSDPipeline` folder.

    torchrun --nproc_per_node 2 -m benchmarks.tiny_world.train_unet \
        --vae outputs/tiny-t2v/vae --output_dir outputs/tiny-t2v

The model learns v-prediction; `base_training.py` tells the rest.
"""

from diffusers import AutoencoderKL, TextToVideoSDPipeline, UNet3DConditionModel

from benchmarks.tiny_world.base_training import BaseModel, make_parser, train
from benchmarks.tiny_world.latents import LATENT_SIZE
from benchmarks.tiny_world.scene import NUM_FRAMES
from benchmarks.tiny_world.v_prediction import make_scheduler, make_text_encoder, make_tokenizer, v_prediction_loss


def make_pipeline(vae: AutoencoderKL) -> TextToVideoSDPipeline:
    tokenizer = make_tokenizer()
    text_encoder = make_text_encoder(tokenizer)
    unet = UNet3DConditionModel(
        sample_size=LATENT_SIZE,
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
    return TextToVideoSDPipeline(vae, text_encoder, tokenizer, unet, make_scheduler())


TINY_T2V = BaseModel(
    vae_class=AutoencoderKL,
    make_pipeline=make_pipeline,
    denoiser="unet",
    loss=v_prediction_loss,
    num_frames=NUM_FRAMES,
    stills_per_clip=NUM_FRAMES,
)


def main() -> None:
    parser = make_parser(__doc__, max_train_steps=4500, train_batch_size=8, learning_rate=1.5e-3, lr_decay_steps=2000)
    train(TINY_T2V, parser.parse_args())


if __name__ == "__main__":
    main()
