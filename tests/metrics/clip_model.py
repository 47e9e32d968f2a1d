"""A tiny CLIP model."""

import torch
from transformers import CLIPConfig, CLIPModel, CLIPProcessor

from tests.helpers import make_tokenizer
from tests.versions import CLIPImageProcessorPil


def make_clip_model():
    """Model and processor, of random weights."""
    tokenizer = make_tokenizer()
    layers = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {"image_size": 32, "patch_size": 8}
    model = CLIPModel(CLIPConfig(text_config=layers | text, vision_config=layers | vision, projection_dim=12)).eval()
    for parameter in model.parameters():  # as first drawn, they make nearly the same of every picture
        torch.nn.init.normal_(parameter, std=0.5)
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return model, CLIPProcessor(pictures, tokenizer)
