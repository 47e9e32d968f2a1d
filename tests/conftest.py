"""Real pipelines with tiny random models, seeded, offline."""

import os


os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported
# Before torch is imported, here and in the processes that tests start: tiny models are faster so, and test processes
# that want both cores bring each other to a halt.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKL,
    DDIMScheduler,
    MotionAdapter,
    TextToVideoSDPipeline,
    UNet2DConditionModel,
    UNet3DConditionModel,
    VideoToVideoSDPipeline,
)
from hypothesis import settings
from transformers import CLIPTextConfig, CLIPTextModel

from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed.adapter.selection import embedding_shapes, select_layers
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import to_state_dict, write_embedding
from tests.helpers import make_config, make_tokenizer


# Random tests draw a seeded few; thousands, and others every time, with `pytest --hypothesis-profile=all`.
settings.register_profile("few", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("all", max_examples=5000, deadline=None)
settings.load_profile("few")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make_unet3d(**changes) -> UNet3DConditionModel:
    settings = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (8, 16),
        "down_block_types": ("CrossAttnDownBlock3D", "CrossAttnDownBlock3D"),
        "up_block_types": ("CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        "layers_per_block": 1,
        "cross_attention_dim": 16,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
    return UNet3DConditionModel(**{**settings, **changes}).eval()


def make_text_components() -> dict:
    tokenizer = make_tokenizer()
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        projection_dim=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return {"tokenizer": tokenizer, "text_encoder": CLIPTextModel(config).eval()}


def make_vae() -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=16,
        latent_channels=4,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
    ).eval()


def make_text_to_video(pipeline_class=TextToVideoSDPipeline):
    torch.manual_seed(0)
    pipe = pipeline_class(
        vae=make_vae(), unet=make_unet3d(), scheduler=DDIMScheduler(clip_sample=False), **make_text_components()
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def make_animatediff():
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    adapter = MotionAdapter(
        block_out_channels=(8, 16),
        motion_layers_per_block=1,
        motion_norm_num_groups=4,
        motion_num_attention_heads=2,
    )
    for parameter in adapter.parameters():  # its projections start at zero, where nothing would be seen
        torch.nn.init.normal_(parameter, std=0.1)
    pipe = AnimateDiffPipeline(
        vae=make_vae(),
        unet=unet,
        motion_adapter=adapter,
        scheduler=DDIMScheduler(clip_sample=False),
        **make_text_components(),
    )
    pipe.unet.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe


PIPELINES = {
    "text-to-video": make_text_to_video,
    "video-to-video": lambda: make_text_to_video(VideoToVideoSDPipeline),
    "animatediff": make_animatediff,
}


@pytest.fixture(params=PIPELINES)
def pipe(request):
    """Every supported kind of pipeline, with the motion embedding methods."""
    return enable_motion_embedding(PIPELINES[request.param]())


@pytest.fixture
def text_to_video():
    return enable_motion_embedding(make_text_to_video())


@pytest.fixture
def animatediff():
    return enable_motion_embedding(make_animatediff())


@pytest.fixture
def make_embedding():
    """A function from a model to a random embedding that fits it."""

    def make(model, seed=1, **settings):
        config = make_config(**settings)
        paths = select_layers(model, config)
        config.target_modules = paths
        config.model_class = type(model).__name__
        generator = torch.Generator().manual_seed(seed)
        tensors = {}
        for path, shape in embedding_shapes(model, config, paths).items():
            # Positions move by tenths of the picture.
            strengths = {"qk": 1.0, "v": 1.0, "p": 0.1}
            tensors[path] = {
                part: strengths[part] * torch.randn(size, generator=generator)
                for part, size in shape.tensor_shapes().items()
            }
        return Embedding(config, tensors)

    return make


@pytest.fixture
def embedding_folder(tmp_path, make_embedding):
    """A function from a model to a folder with a random embedding that fits it."""

    def make(model, name="embedding", max_error=None, **settings):
        return write_embedding(tmp_path / name, make_embedding(model, **settings), max_error=max_error)

    return make


@pytest.fixture
def embedding_dict(make_embedding):
    """A function from a model to a random embedding as a dictionary of tensors."""

    def make(model, **settings):
        return to_state_dict(make_embedding(model, **settings))

    return make


@pytest.fixture
def kills():
    """How often a test kills a process that starts slowly."""
    return 20 if settings.get_current_profile_name() == "all" else 2
