"""Parts of tiny random pipelines: tokenizers made in code, text and picture encoders, VAEs."""

import torch
from diffusers import AutoencoderKL, AutoencoderKLWan
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from tests.helpers import make_tokenizer
from tests.versions import CLIPImageProcessorPil, is_older


TEXT_WIDTH = 16
WORDS = ["<pad>", "</s>", "<unk>", "a", "red", "blue", "circle", "square", "on", "black"]
CHAT_TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"


class QwenTokenizer(PreTrainedTokenizerFast):
    """Called as Qwen's processor is, which takes pictures too."""

    def __call__(self, *args, images=None, videos=None, **settings):
        return super().__call__(*args, **settings)


def word_tokenizer(tokenizer_class=PreTrainedTokenizerFast, **settings) -> PreTrainedTokenizerFast:
    """One token for each word, and one that ends the text, as of T5; language models have theirs without it."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer_class(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=CHAT_TEMPLATE,
        **{"model_max_length": 16, "padding_side": "right", **settings},
    )


def t5_settings() -> dict:
    return {
        "vocab_size": len(WORDS),
        "d_model": TEXT_WIDTH,
        "d_kv": 8,
        "d_ff": 16,
        "num_layers": 1,
        "num_heads": 2,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "dropout_rate": 0.0,
    }


def t5() -> dict:
    return {"tokenizer": word_tokenizer(), "text_encoder": T5EncoderModel(T5Config(**t5_settings()))}


def umt5() -> dict:
    return {"tokenizer": word_tokenizer(), "text_encoder": UMT5EncoderModel(UMT5Config(**t5_settings()))}


def clip_text(suffix: str = "", model_class: type = CLIPTextModel, **settings) -> dict:
    """`tokenizer` and `text_encoder` of CLIP, their names ending in `suffix`."""
    tokenizer = make_tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=16,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **{"max_position_embeddings": tokenizer.model_max_length, **settings},
    )
    return {f"tokenizer{suffix}": tokenizer, f"text_encoder{suffix}": model_class(config)}


def sdxl_text() -> dict:
    return {**clip_text(), **clip_text("_2", CLIPTextModelWithProjection)}


def clip_vision(size: int = 8, model_class: type = CLIPVisionModelWithProjection) -> tuple:
    """A picture encoder of CLIP and what prepares pictures for it."""
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=size,
        patch_size=size // 2,
    )
    sizes = {"crop_size": {"height": size, "width": size}, "size": {"shortest_edge": size}}
    return model_class(config), CLIPImageProcessorPil(**sizes)


def picture_vae() -> AutoencoderKL:
    """Of Stable Diffusion: frame by frame, a quarter of the size."""
    return AutoencoderKL(
        sample_size=16,
        latent_channels=4,
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        norm_num_groups=4,
    )


def wan_vae(**settings) -> AutoencoderKLWan:
    """A quarter of the frames after the first, and of the size."""
    return AutoencoderKLWan(
        **{
            "base_dim": 4,
            "z_dim": 4,
            "dim_mult": [1, 1, 1],
            "num_res_blocks": 1,
            "temperal_downsample": [True, True],
            "scale_factor_temporal": 4,
            "scale_factor_spatial": 4,
            "latents_mean": [-0.3, 0.1, 0.2, 0.4],
            "latents_std": [0.5, 1.5, 2.0, 0.8],
            **settings,
        }
    )


def randomise(pipe) -> None:
    """Every weight random, also those that begin at zero, and all models in evaluation mode."""
    generator = torch.Generator().manual_seed(1)
    for model in pipe.components.values():
        if isinstance(model, torch.nn.Module):
            model.eval()
            for parameter in model.parameters():
                if not parameter.any():
                    parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1


def llama() -> dict:
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=TEXT_WIDTH,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=1,
    )
    return {"tokenizer": word_tokenizer(), "text_encoder": LlamaModel(config)}


def gemma2() -> dict:
    config = Gemma2Config(
        vocab_size=len(WORDS),
        hidden_size=TEXT_WIDTH,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=1,
    )
    return {"tokenizer": word_tokenizer(), "text_encoder": Gemma2Model(config)}


def _qwen_settings(**settings) -> dict:
    rotations = {"rope_type": "default", "mrope_section": [1, 1, 2]}
    if is_older("transformers", "5.0"):
        positions = {"rope_scaling": rotations, "rope_theta": 1e4}
    else:
        positions = {"rope_parameters": {**rotations, "rope_theta": 1e4}}
    return {
        "vocab_size": len(WORDS),
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        **positions,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 1,
        **settings,
    }


def qwen_text() -> Qwen2_5_VLTextModel:
    return Qwen2_5_VLTextModel(Qwen2_5_VLTextConfig(**_qwen_settings()))


def qwen_vl(model_class, config_class):
    vision = {
        "depth": 1,
        "num_heads": 2,
        "hidden_size": 16,
        "embed_dim": 16,
        "intermediate_size": 16,
        "out_hidden_size": 16,
    }
    config = config_class(text_config=_qwen_settings(), vision_config=vision)
    return model_class(config)
