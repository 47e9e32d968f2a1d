"""Offloading, tried out on a CPU: weights go away between uses, the embedding stays and acts."""

import pytest
import torch
from accelerate import cpu_offload

from diffusers_motion_embed import enable_motion_embedding
from tests.runtime.factories import BOTH, assert_motion_acts, check_feature, make_lora, run
from tests.versions import offload_groups


CPU = torch.device("cpu")


def offload_every_component(pipe):
    # What enable_sequential_cpu_offload does; itself it asks accelerate for the device "cpu:0", and fails.
    for component in pipe.components.values():
        if isinstance(component, torch.nn.Module):
            cpu_offload(component, CPU, offload_buffers=len(component._parameters) > 0)


# Sequential offloading keeps the weights on torch's meta device, and group offloading to disk in a file, so that
# whoever touches them at the wrong moment gets no numbers.
FEATURES = {
    "enable_model_cpu_offload": lambda pipe, folder: pipe.enable_model_cpu_offload(device="cpu"),
    "sequential offload": lambda pipe, folder: offload_every_component(pipe),
    "enable_group_offload": lambda pipe, folder: offload_groups(pipe, offload_type="leaf_level"),
    "group offload, leaves": lambda pipe, folder: offload_groups(pipe.unet, offload_type="leaf_level"),
    "group offload, blocks": lambda pipe, folder: offload_groups(
        pipe.unet, offload_type="block_level", num_blocks_per_group=1
    ),
    "group offload, leaves, disk": lambda pipe, folder: offload_groups(
        pipe.unet, offload_type="leaf_level", offload_to_disk_path=str(folder)
    ),
    "group offload, blocks, disk": lambda pipe, folder: offload_groups(
        pipe.unet, offload_type="block_level", num_blocks_per_group=1, offload_to_disk_path=str(folder)
    ),
}


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("make_pipe", BOTH.values(), ids=BOTH)
def test_offloading_keeps_the_motion(make_pipe, feature, motion, tmp_path_factory):
    def switch_on(pipe):
        FEATURES[feature](pipe, tmp_path_factory.mktemp("offload"))

    clips = check_feature(make_pipe, motion, switch_on)
    assert torch.equal(clips.plain_with, clips.plain)
    assert torch.equal(clips.moved_with, clips.moved)


def test_a_lora_and_a_motion_under_group_offloading(motion):
    # diffusers takes the offloading off to load a LoRA, and puts it back. (Plain diffusers loses its weights there
    # when they are offloaded to disk.)
    def offload(pipe):
        offload_groups(pipe, offload_type="leaf_level")

    make_pipe = BOTH["animatediff"]
    plain_pipe, offloaded = make_pipe(), make_pipe()
    lora = make_lora(plain_pipe.unet)
    offload(offloaded)
    for pipe in (plain_pipe, offloaded):
        pipe.load_lora_weights(dict(lora), adapter_name="style")
    plain = run(plain_pipe)
    assert torch.equal(run(offloaded), plain)

    clips = []
    for name in ("never", "first", "second"):
        pipe = enable_motion_embedding(make_pipe())
        if name == "first":
            offload(pipe)
        pipe.load_motion_embedding(motion(pipe.unet))
        if name == "second":
            offload(pipe)
        pipe.load_lora_weights(dict(lora), adapter_name="style")
        clips.append(run(pipe))
        pipe.unload_motion_embedding()
        assert torch.equal(run(pipe), plain)
    assert torch.equal(clips[1], clips[0])
    assert torch.equal(clips[2], clips[0])
    assert_motion_acts(clips[0], plain)
