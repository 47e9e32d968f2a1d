"""Training while the pipeline's components are offloaded."""

import numpy as np
import pytest
import torch
from accelerate import cpu_offload
from diffusers import UNet3DConditionModel

from diffusers_motion_embed import UnsupportedModelError, enable_motion_embedding
from diffusers_motion_embed.architectures.offloading import is_offloaded
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from tests.conftest import make_animatediff, make_text_to_video
from tests.helpers import NUM_FRAMES, generate, make_config
from tests.versions import offload_groups


CPU = torch.device("cpu")


def offload_every_component(pipe):
    """What enable_sequential_cpu_offload does; itself it asks accelerate for the device "cpu:0", and fails."""
    for component in pipe.components.values():
        if isinstance(component, torch.nn.Module):
            cpu_offload(component, CPU, offload_buffers=len(component._parameters) > 0)


OFFLOADS = {
    "model": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
    "sequential": offload_every_component,
    "leaves": lambda pipe: offload_groups(pipe, offload_type="leaf_level"),
    "blocks": lambda pipe: offload_groups(pipe, offload_type="block_level", num_blocks_per_group=1),
}


def train(pipe, callback=None):
    frames = np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, 16, 16, 3), dtype=np.uint8)
    config = TrainingConfig(max_train_steps=2, gradient_accumulation_steps=1)
    train_motion_embedding(
        pipe, frames, "a red circle", config, embedding_config=make_config(), callback=callback, progress_bar=False
    )
    return generate(pipe)


@pytest.mark.parametrize("make_pipe", [make_text_to_video, make_animatediff], ids=["text-to-video", "animatediff"])
def test_an_offloaded_pipeline_learns_the_same_and_stays_offloaded(make_pipe):
    expected = train(enable_motion_embedding(make_pipe()))
    for name, offload in OFFLOADS.items():
        pipe = enable_motion_embedding(make_pipe())
        offload(pipe)
        seen, others = [], []

        def look(progress, pipe=pipe, seen=seen, others=others):
            weights = list(pipe.unet.parameters())
            seen.append(not is_offloaded(pipe.unet) and all(weight.device == CPU for weight in weights))
            others += [weight.device for each in (pipe.vae, pipe.text_encoder) for weight in each.parameters()]

        assert torch.equal(train(pipe, look), expected), name
        assert seen == [True, True], name
        if name == "sequential":  # on a CPU the only kind whose weights can be seen to be away
            assert {device.type for device in others} == {"meta"}
        assert all(is_offloaded(each) for each in (pipe.unet, pipe.vae, pipe.text_encoder)), name


@pytest.mark.parametrize("offload", OFFLOADS.values(), ids=OFFLOADS)
def test_a_run_that_fails_leaves_the_pipeline_offloaded_and_as_it_was(offload):
    pipe = enable_motion_embedding(make_text_to_video())
    plain = generate(pipe)
    offload(pipe)

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(pipe, stop)
    assert is_offloaded(pipe.unet)
    assert pipe.get_list_motion_embeddings() in ({}, [])
    assert torch.equal(generate(pipe), plain)


def test_a_device_map_of_one_device_is_no_hindrance_and_one_of_several_is(tmp_path):
    pipe = make_text_to_video()
    pipe.unet.save_pretrained(tmp_path)
    pipe.register_modules(unet=UNet3DConditionModel.from_pretrained(tmp_path, device_map={"": "cpu"}))
    enable_motion_embedding(pipe)
    train(pipe)
    pipe.unload_motion_embedding()
    pipe.unet.hf_device_map |= {"mid_block": "disk"}  # as diffusers notes it
    with pytest.raises(UnsupportedModelError, match="spread over devices by a device map"):
        train(pipe)
