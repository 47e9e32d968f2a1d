"""Training while the pipeline's components are offloaded."""

import itertools
import tempfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import cpu_offload, cpu_offload_with_hook, dispatch_model
from accelerate.hooks import CpuOffload
from diffusers import DiffusionPipeline, UNet3DConditionModel

from diffusers_motion_embed import UnsupportedModelError, enable_motion_embedding
from diffusers_motion_embed.architectures import find_architecture, offloading
from diffusers_motion_embed.architectures.offloading import is_offloaded
from diffusers_motion_embed.training import TrainingConfig, recompute, train_motion_embedding
from tests.conftest import make_animatediff, make_text_to_video
from tests.helpers import NUM_FRAMES, generate, make_config
from tests.pipelines.wan import wan
from tests.versions import offload_groups


CPU = torch.device("cpu")


def offload_every_component(pipe):
    """What enable_sequential_cpu_offload does; itself it asks accelerate for the device "cpu:0", and fails."""
    for component in pipe.components.values():
        if isinstance(component, torch.nn.Module):
            cpu_offload(component, CPU, offload_buffers=len(component._parameters) > 0)


def offload_to_files(pipe):
    """The folder lives as long as the pipeline."""
    pipe.folder_of_weights = tempfile.TemporaryDirectory()
    settings = {"offload_type": "block_level", "num_blocks_per_group": 1}
    offload_groups(pipe, **settings, offload_to_disk_path=pipe.folder_of_weights.name)


OFFLOADS = {
    "model": lambda pipe: pipe.enable_model_cpu_offload(device="cpu"),
    "sequential": offload_every_component,
    "leaves": lambda pipe: offload_groups(pipe, offload_type="leaf_level"),
    "blocks": lambda pipe: offload_groups(pipe, offload_type="block_level", num_blocks_per_group=1),
    "files": offload_to_files,
}


def assert_same(found, expected, name):
    """Bit for bit, but for weights from files, which are read to other addresses."""
    tolerance = {"atol": 1e-5, "rtol": 1e-4} if name == "files" else {"atol": 0, "rtol": 0}
    torch.testing.assert_close(found, expected, **tolerance)


def make_wan():
    torch.manual_seed(0)
    return enable_motion_embedding(wan())


def train(pipe, callback=None, num_frames=NUM_FRAMES):
    frames = np.random.default_rng(0).integers(0, 256, (num_frames, 16, 16, 3), dtype=np.uint8)
    config = TrainingConfig(max_train_steps=2, gradient_accumulation_steps=1)
    train_motion_embedding(
        pipe, frames, "a red circle", config, embedding_config=make_config(), callback=callback, progress_bar=False
    )
    return generate(pipe, num_frames)


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

        assert_same(train(pipe, look), expected, name)
        assert seen == [True, True], name
        if name == "sequential":  # on a CPU the only kind whose weights can be seen to be away
            assert {device.type for device in others} == {"meta"}
        assert all(is_offloaded(each) for each in (pipe.unet, pipe.vae, pipe.text_encoder)), name


@pytest.mark.parametrize("name", OFFLOADS)
def test_layers_of_a_transformer_come_and_go_where_the_rest_of_it_does(name, monkeypatch):
    """Weights that are away are useless here, so that whoever computes with them is found out."""
    expected = train(make_wan(), num_frames=5)
    pipe = make_wan()
    plain = generate(pipe, 5)
    OFFLOADS[name](pipe)
    fetched, weights, place = [], {}, offloading._place

    def place_uselessly(*arguments):
        placed = place(*arguments)
        for weight in (weight for layer in placed.away for weight in layer.parameters()):
            weights[weight.data_ptr()] = weight.data.clone()
            weight.data.fill_(torch.nan)
        return placed

    def fetch(weight, device):
        fetched.append(weight)
        return weights[weight.data_ptr()].clone()

    def restore(progress):
        if progress.step == progress.max_train_steps:
            for weight in pipe.transformer.parameters():
                weight.data.copy_(weights.get(weight.data_ptr(), weight.data))

    monkeypatch.setattr(offloading, "_place", place_uselessly)
    monkeypatch.setattr(recompute, "_fetched", fetch)
    torch.testing.assert_close(train(pipe, restore, 5), expected, atol=1e-5, rtol=1e-4)
    assert bool(fetched) == (name != "model")
    assert all(is_offloaded(each) for each in (pipe.transformer, pipe.vae, pipe.text_encoder))
    pipe.unload_motion_embedding()
    assert_same(generate(pipe, 5), plain, name)


def test_only_layers_of_transformers_come_and_go_and_no_lora_is_trained_in_them():
    config = TrainingConfig()
    assert recompute.streamed_layers(make_text_to_video().unet, config) is None
    transformer = wan().transformer
    assert recompute.streamed_layers(transformer, config) == find_architecture(transformer).layers
    assert recompute.streamed_layers(transformer, replace(config, loss="debiased_hybrid")) is None


def test_quantized_weights_do_not_come_and_go():
    model = wan().transformer
    linear = model.blocks[0].attn1.to_q
    linear.weight = type("Quantized", (torch.nn.Parameter,), {})(linear.weight.data)
    layers = find_architecture(model).layers
    assert offloading._place(model, CPU, layers).away == []
    assert offloading._place(whole := wan().transformer, CPU, layers).away == list(whole.blocks)


def test_what_others_share_with_layers_does_not_come_and_go_with_them():
    model = wan().transformer
    shared = torch.nn.Parameter(torch.zeros(16))
    model.blocks[0].attn1.to_q.bias = model.proj_out.bias = shared
    of_blocks = {id(weight) for weight in model.blocks.parameters()}
    assert id(shared) in of_blocks
    assert offloading.only_in(model, list(model.blocks)) == of_blocks - {id(shared)}


def test_a_run_whose_weights_do_not_fit_leaves_them_as_they_were(monkeypatch):
    pipe = make_wan()
    OFFLOADS["blocks"](pipe)
    plain, fetch, number = generate(pipe, 5), recompute._fetched, itertools.count()
    before = {name: (id(weight), weight.requires_grad) for name, weight in pipe.transformer.named_parameters()}

    def fail(weight, device):
        if next(number) == 40:
            raise torch.OutOfMemoryError("no more")
        return fetch(weight, device)

    monkeypatch.setattr(recompute, "_fetched", fail)
    with pytest.raises(torch.OutOfMemoryError):
        train(pipe, num_frames=5)
    after = {name: (id(weight), weight.requires_grad) for name, weight in pipe.transformer.named_parameters()}
    assert after == before
    assert is_offloaded(pipe.transformer)
    assert torch.equal(generate(pipe, 5), plain)


@pytest.mark.parametrize("name", OFFLOADS)
def test_a_run_that_fails_leaves_the_pipeline_offloaded_and_as_it_was(name):
    pipe = enable_motion_embedding(make_text_to_video())
    plain = generate(pipe)
    OFFLOADS[name](pipe)

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(pipe, stop)
    assert is_offloaded(pipe.unet)
    assert pipe.get_list_motion_embeddings() in ({}, [])
    assert_same(generate(pipe), plain, name)


def hooks(module):
    return [type(each._hf_hook) for each in module.modules() if hasattr(each, "_hf_hook")]


def test_a_model_that_only_its_owner_offloads_stays_offloaded_as_a_whole():
    """As models of modular pipelines are by a manager, or those of two pipelines through the other one."""
    expected = train(enable_motion_embedding(make_text_to_video()))
    pipe = enable_motion_embedding(make_text_to_video())
    cpu_offload_with_hook(pipe.unet, CPU)
    before = hooks(pipe.unet)
    assert torch.equal(train(pipe), expected)
    assert hooks(pipe.unet) == before == [CpuOffload]


def test_a_pipeline_whose_device_map_is_the_name_of_a_device_learns_the_same(tmp_path):
    pipe = make_text_to_video()
    expected = train(enable_motion_embedding(pipe))
    pipe.unload_motion_embedding()
    pipe.save_pretrained(tmp_path)
    pipe = enable_motion_embedding(DiffusionPipeline.from_pretrained(tmp_path, device_map="cpu"))
    assert pipe.hf_device_map == "cpu"
    pipe.set_progress_bar_config(disable=True)
    assert torch.equal(train(pipe), expected)


def test_hooks_of_a_device_map_of_one_device_are_left_alone():
    expected = train(enable_motion_embedding(make_text_to_video()))
    pipe = enable_motion_embedding(make_text_to_video())
    for component in (pipe.unet, pipe.vae, pipe.text_encoder):
        dispatch_model(component, {"": "cpu"}, force_hooks=True)  # as a pipeline's device map does
    before = hooks(pipe.unet)
    assert before
    assert torch.equal(train(pipe), expected)
    assert hooks(pipe.unet) == before
    assert all(weight.device == CPU for weight in pipe.unet.parameters())


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
