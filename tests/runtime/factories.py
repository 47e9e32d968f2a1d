"""More tiny pipelines than those of the other tests, how to run them, and the motion written out by hand.

Every feature is tried four times, see `check_feature`: on plain diffusers, on plain diffusers whose projections add
the motion by hand, and with the package, where the embedding is loaded before or after the feature is switched on. A
failure of the package is so told apart from one of diffusers.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    AnimateDiffControlNetPipeline,
    AnimateDiffPAGPipeline,
    AnimateDiffSDXLPipeline,
    AnimateDiffSparseControlNetPipeline,
    AnimateDiffVideoToVideoControlNetPipeline,
    AnimateDiffVideoToVideoPipeline,
    ControlNetModel,
    DDIMScheduler,
    MotionAdapter,
    SparseControlNetModel,
    UNet2DConditionModel,
)
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from diffusers_motion_embed import enable_motion_embedding
from diffusers_motion_embed.architectures import find_architecture
from tests.conftest import make_animatediff, make_text_components, make_text_to_video, make_vae
from tests.helpers import NUM_FRAMES, generate


BLOCKS = (8, 16)

# A motion that is there moves the latents, whose standard deviation is about 1, by more than this somewhere; rounding
# of the features that change nothing but the order of sums stays below a thousandth of it.
CLEAR = 1e-1


def assert_motion_acts(moved: Tensor, plain: Tensor) -> None:
    """Fail if the motion was dropped on the way to `moved`."""
    assert torch.isfinite(moved).all()
    assert (moved.float() - plain.float()).abs().max() > CLEAR


# Pipelines. The small factories of tests/conftest.py are seeded: two calls give the same weights.


def make_video_variant(pipeline_class: type, **components: Any):
    """One of the pipelines around the model of AnimateDiff, with the weights of `make_animatediff`."""
    accepted = inspect.signature(pipeline_class.__init__).parameters
    shared = {name: part for name, part in make_animatediff().components.items() if name in accepted}
    pipe = pipeline_class(**shared, **components)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def make_video_to_video():
    return make_video_variant(AnimateDiffVideoToVideoPipeline)


def make_controlnet(pipeline_class: type = AnimateDiffControlNetPipeline):
    torch.manual_seed(1)
    controlnet = ControlNetModel(
        block_out_channels=BLOCKS,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
        conditioning_embedding_out_channels=(4, 8),
    )
    return make_video_variant(pipeline_class, controlnet=controlnet.eval())


def make_sparse_control():
    torch.manual_seed(1)
    controlnet = SparseControlNetModel(
        block_out_channels=BLOCKS,
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
        motion_num_attention_heads=2,
        conditioning_embedding_out_channels=(4, 8),
        use_simplified_condition_embedding=True,
    )
    return make_video_variant(AnimateDiffSparseControlNetPipeline, controlnet=controlnet.eval())


def make_perturbed_guidance():
    layers = ["mid_block.attentions.*attn1", "mid_block.motion_modules.*attn1"]  # in space, and where motion enters
    return make_video_variant(AnimateDiffPAGPipeline, pag_applied_layers=layers)


def make_motion_adapter(**settings: Any) -> MotionAdapter:
    adapter = MotionAdapter(
        block_out_channels=BLOCKS,
        motion_layers_per_block=1,
        motion_norm_num_groups=4,
        motion_num_attention_heads=2,
        **settings,
    )
    for parameter in adapter.parameters():  # its projections start at zero, where nothing would be seen
        nn.init.normal_(parameter, std=0.1)
    return adapter


def make_animatediff_xl():
    torch.manual_seed(0)
    text, second_text = make_text_components(), make_text_components()
    config: CLIPTextConfig = second_text["text_encoder"].config
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=BLOCKS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=32,  # of both text encoders together
        attention_head_dim=(2, 4),
        norm_num_groups=4,
        use_linear_projection=True,
        transformer_layers_per_block=(1, 2),
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=16 + 6 * 4,
    )
    pipe = AnimateDiffSDXLPipeline(
        vae=make_vae(),
        unet=unet,
        motion_adapter=make_motion_adapter(use_motion_mid_block=False),
        scheduler=DDIMScheduler(clip_sample=False),
        text_encoder_2=CLIPTextModelWithProjection(config).eval(),
        tokenizer_2=second_text["tokenizer"],
        **text,
    )
    pipe.unet.eval()
    pipe.set_progress_bar_config(disable=True)
    return pipe


VARIANTS = {
    "video-to-video": make_video_to_video,
    "controlnet": make_controlnet,
    "video-to-video with controlnet": lambda: make_controlnet(AnimateDiffVideoToVideoControlNetPipeline),
    "sparse control": make_sparse_control,
    "xl": make_animatediff_xl,
    "perturbed attention guidance": make_perturbed_guidance,
}

# Both model classes, by a pipeline of each.
BOTH = {"text-to-video": make_text_to_video, "animatediff": make_animatediff}


# Running them.


def pictures(num_frames: int = NUM_FRAMES, size: int = 16) -> list[Image.Image]:
    """A clip to start from, or to be guided by."""
    shades = torch.linspace(0, 255, num_frames).int().tolist()
    return [Image.new("RGB", (size, size), (shade, 0, 128)) for shade in shades]


def run(pipe, num_frames: int = NUM_FRAMES, size: int = 16, **arguments: Any) -> Tensor:
    """The latents of a clip; `generate` for pipelines that also, or instead, want pictures."""
    arguments = {"output_type": "latent", **arguments}
    accepted = inspect.signature(type(pipe).__call__).parameters
    if "conditioning_frames" in accepted:
        frames = pictures(1 if "controlnet_frame_indices" in accepted else num_frames, size)
        arguments.setdefault("conditioning_frames", frames)
    if isinstance(pipe, (AnimateDiffVideoToVideoPipeline, AnimateDiffVideoToVideoControlNetPipeline)):
        settings = {"num_inference_steps": 4, "guidance_scale": 3.0, **arguments}
        settings.setdefault("generator", torch.Generator().manual_seed(0))
        return pipe(video=pictures(num_frames, size), prompt="a red circle", **settings).frames
    return generate(pipe, num_frames=num_frames, size=size, **arguments)


def denoise(
    model: nn.Module, timestep: Any = 500, num_frames: int = NUM_FRAMES, size: int = 8, gradients: bool = False
) -> Tensor:
    """One forward pass of a bare model, with random inputs that are always the same."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, model.config.in_channels, num_frames, size, size, generator=generator)
    text = torch.randn(1, 3, model.config.cross_attention_dim, generator=generator)
    text = find_architecture(model).text_features(text, num_frames)
    with torch.set_grad_enabled(gradients):
        return model(latents, timestep, text).sample


# Other adapters.


def make_lora(model: nn.Module, seed: int = 3, strength: float = 0.3, component: str = "unet") -> dict[str, Tensor]:
    """A random LoRA of rank 2 on every projection into which a motion enters, as the file of a pipeline."""
    generator = torch.Generator().manual_seed(seed)
    lora = {}
    for path in find_architecture(model).attention_paths(model):
        for name in ("to_q", "to_k", "to_v"):
            projection = model.get_submodule(f"{path}.{name}")
            sizes = {"lora_A": (2, projection.in_features), "lora_B": (projection.out_features, 2)}
            for part, size in sizes.items():
                lora[f"{component}.{path}.{name}.{part}.weight"] = strength * torch.randn(size, generator=generator)
    return lora


# The motion by hand.


class AddedByHand(nn.Module):
    """A projection whose input gets an offset first: W(x + m), as anyone would write it without the package.

    Args:
        projection: W.
        offset: (positions, f, c), repeated for every clip of a batch.
        acts: Says whether to add it, at every call.
    """

    def __init__(self, projection: nn.Module, offset: Tensor, acts: Callable[[], bool]) -> None:
        super().__init__()
        self.projection = projection
        self.offset = [offset]  # in a list, where casts do not find it
        self.acts = acts

    def forward(self, hidden_states: Tensor) -> Tensor:
        if self.acts():
            offset = self.offset[0].to(hidden_states.dtype)
            hidden_states = hidden_states + offset.repeat(len(hidden_states) // len(offset), 1, 1)
        return self.projection(hidden_states)


def add_by_hand(
    model: nn.Module, motion: Mapping[str, Tensor], acts_at: Callable[[float], bool] = lambda timestep: True
) -> None:
    """Put a motion on a plain model, without the package. The clip must have the size that `motion` is for.

    Args:
        model: To change.
        motion: Tensors under the keys of the file format.
        acts_at: Says at which timesteps it acts.
    """
    timesteps = []

    def note_timestep(module: nn.Module, args: tuple, kwargs: dict) -> None:
        timesteps.append(float(kwargs["timestep"] if "timestep" in kwargs else args[1]))

    def acts() -> bool:
        return acts_at(timesteps[-1])

    model.register_forward_pre_hook(note_timestep, with_kwargs=True)
    for key, tensor in motion.items():
        path, _, part = key.removeprefix("base_model.model.").rpartition(".motion_embedding_")
        attention = model.get_submodule(path)
        if part == "qk":
            attention.to_q = AddedByHand(attention.to_q, tensor[None], acts)
            attention.to_k = AddedByHand(attention.to_k, tensor[None], acts)
        else:
            attention.to_v = AddedByHand(attention.to_v, tensor.flatten(0, 1), acts)


# A feature and the motion together.


@dataclass
class Clips:
    """What a feature gives without and with the motion."""

    plain: Tensor
    moved: Tensor
    plain_with: Tensor
    moved_with: Tensor


def check_feature(
    make_pipe: Callable[[], Any],
    motion: Callable[[nn.Module], dict[str, Tensor]],
    switch_on: Callable[[Any], Any],
    run: Callable[[Any], Tensor] = run,
) -> Clips:
    """Check a feature with a motion that is loaded before it, and with one that is loaded after it.

    Both must give, bit for bit, what plain diffusers gives with the feature and the motion by hand; and after
    unloading, what plain diffusers gives with the feature.

    Args:
        make_pipe: Gives a new plain pipeline, always the same.
        motion: Gives the motion for a model.
        switch_on: Switches the feature on in a pipeline.
        run: Gives the clip.
    """
    plain_pipe, by_hand = make_pipe(), make_pipe()
    plain = run(plain_pipe)
    switch_on(plain_pipe)
    plain_with = run(plain_pipe)
    source = motion(by_hand.unet)
    switch_on(by_hand)
    add_by_hand(by_hand.unet, source)
    moved_with = run(by_hand)
    assert_motion_acts(moved_with, plain_with)

    motion_first = enable_motion_embedding(make_pipe())
    motion_first.load_motion_embedding(source, debias="identity")
    moved = run(motion_first)
    assert_motion_acts(moved, plain)
    switch_on(motion_first)
    feature_first = enable_motion_embedding(make_pipe())
    switch_on(feature_first)
    feature_first.load_motion_embedding(source, debias="identity")
    for pipe in (motion_first, feature_first):
        assert torch.equal(run(pipe), moved_with)
        pipe.unload_motion_embedding()
        assert torch.equal(run(pipe), plain_with)
    return Clips(plain, moved, plain_with, moved_with)
