"""An image prompt (IP-Adapter) beside a motion; diffusers replaces every attention processor and casts the model."""

import torch
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from diffusers_motion_embed import enable_motion_embedding
from tests.conftest import make_animatediff
from tests.runtime.factories import CLEAR, assert_motion_acts, check_feature, pictures, run


WIDTH = 16  # of the image features and of the text features


def make_pipe():
    pipe = make_animatediff()
    torch.manual_seed(1)
    config = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=16,
        patch_size=8,
    )
    pipe.register_modules(
        image_encoder=CLIPVisionModelWithProjection(config).eval(),
        feature_extractor=CLIPImageProcessor(size=16, crop_size=16),
    )
    return pipe


def ip_adapter(unet) -> dict:
    """Random weights in the layout of IP-Adapter's files: one pair of projections for each layer that reads text."""
    generator = torch.Generator().manual_seed(2)

    def random(*shape):
        return torch.randn(shape, generator=generator)

    projections = {}
    readers = [name for name in unet.attn_processors if "motion_modules" not in name and ".attn2." in name]
    for number, name in enumerate(readers):
        channels = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        projections[f"{2 * number + 1}.to_k_ip.weight"] = random(channels, WIDTH)
        projections[f"{2 * number + 1}.to_v_ip.weight"] = random(channels, WIDTH)
    tokens = 4  # as many as diffusers counts on
    image_proj = {
        "proj.weight": random(tokens * WIDTH, WIDTH),
        "proj.bias": random(tokens * WIDTH),
        "norm.weight": torch.ones(WIDTH),
        "norm.bias": torch.zeros(WIDTH),
    }
    return {"image_proj": image_proj, "ip_adapter": projections}


def load_ip_adapter(pipe):
    pipe.load_ip_adapter(ip_adapter(pipe.unet), subfolder="", weight_name="", image_encoder_folder=None)


def run_with_image(pipe):
    has_adapter = pipe.unet.config.encoder_hid_dim_type == "ip_image_proj"
    return run(pipe, ip_adapter_image=pictures()[1]) if has_adapter else run(pipe)


def test_the_motion_acts_beside_an_image_prompt(motion):
    clips = check_feature(make_pipe, motion, load_ip_adapter, run=run_with_image)
    assert (clips.plain_with - clips.plain).abs().max() > CLEAR  # the image prompt does something


def test_taking_the_image_prompt_off_keeps_the_motion(motion):
    plain_pipe = make_pipe()
    plain = run(plain_pipe)
    load_ip_adapter(plain_pipe)
    plain_pipe.unload_ip_adapter()
    torch.testing.assert_close(run(plain_pipe), plain, atol=0, rtol=0)

    pipe = enable_motion_embedding(make_pipe())
    pipe.load_motion_embedding(motion(pipe.unet))
    moved = run(pipe)
    load_ip_adapter(pipe)
    pipe.unload_ip_adapter()
    assert torch.equal(run(pipe), moved)
    assert_motion_acts(moved, plain)
