"""What only an accelerator shows: `make test-gpu`. Elsewhere these tests are skipped."""

import pytest
import torch
from diffusers import UNet3DConditionModel, WanPipeline
from diffusers.hooks import apply_group_offloading
from safetensors.torch import load_file

from diffusers_motion_embed import MotionEmbeddingConfig, enable_motion_embedding, load_motion_embedding
from diffusers_motion_embed.adapter.registry import embedding_tensors
from diffusers_motion_embed.architectures.conditioning import seeded
from diffusers_motion_embed.storage.files import to_state_dict
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from tests.conftest import make_text_to_video, make_unet3d
from tests.helpers import NUM_FRAMES, generate
from tests.pipelines.wan import wan_parts


DEVICE = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
CPU = torch.device("cpu")
ROUNDS = 30

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(DEVICE is None, reason="torch finds no accelerator here")]
cuda = pytest.mark.skipif(DEVICE is None or DEVICE.type != "cuda", reason="torch's counters and events of CUDA")


@pytest.fixture
def pipe(embedding_folder):
    """A pipeline with a motion, on the CPU."""
    pipe = enable_motion_embedding(make_text_to_video())
    pipe.load_motion_embedding(embedding_folder(pipe.unet))
    return pipe


def train(pipe, dtype, **settings):
    pipe.to(DEVICE, dtype)
    frames = torch.randint(0, 256, (NUM_FRAMES, 16, 16, 3), dtype=torch.uint8).numpy()
    config = TrainingConfig(max_train_steps=3, **settings)
    train_motion_embedding(pipe, frames, "a red circle", config, adapter_name="trained")


@pytest.mark.parametrize(("mixed_precision", "dtype"), [("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_training_in_half_precision_is_finite(mixed_precision, dtype, tmp_path):
    pipe = enable_motion_embedding(make_text_to_video())
    train(pipe, dtype, mixed_precision=mixed_precision)
    pipe.save_motion_embedding(tmp_path, "trained")
    learned = load_file(tmp_path / "adapter_model.safetensors")
    assert learned
    assert all(each.dtype == torch.float32 and each.isfinite().all() and each.any() for each in learned.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_motion_computes_what_it_computes_on_the_cpu(pipe, dtype):
    expected = generate(pipe)
    found = generate(pipe.to(DEVICE, dtype)).float().cpu()
    assert found.isfinite().all()
    assert (found - expected).abs().mean() < (1e-3 if dtype == torch.float32 else 0.1)


def test_one_device_computes_the_same_twice(pipe):
    pipe.to(DEVICE)
    assert torch.equal(generate(pipe), generate(pipe))


def test_a_compiled_model_moves_alike(pipe):
    pipe.to(DEVICE)
    expected = generate(pipe)
    pipe.unet.compile(fullgraph=True)
    torch.testing.assert_close(generate(pipe), expected, atol=1e-3, rtol=1e-3)


OFFLOADING = {
    "model": lambda pipe: pipe.enable_model_cpu_offload(device=DEVICE),
    "sequential": lambda pipe: pipe.enable_sequential_cpu_offload(device=DEVICE),
    "groups": lambda pipe: apply_group_offloading(
        pipe.unet, DEVICE, CPU, offload_type="leaf_level", use_stream=DEVICE.type == "cuda"
    ),
}


@pytest.mark.parametrize("kind", OFFLOADING)
def test_offloading_keeps_the_motion(pipe, kind):
    pipe.to(DEVICE)
    expected = generate(pipe)
    if kind != "groups":
        pipe.to(CPU)
    OFFLOADING[kind](pipe)
    torch.testing.assert_close(generate(pipe), expected, atol=1e-3, rtol=1e-3)


@cuda
def test_memory_of_training_and_generation(pipe, record_property):
    pipe.to(DEVICE)
    peaks = {}
    for name, run in (("generation", lambda: generate(pipe)), ("training", lambda: train(pipe, torch.float32))):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        peaks[name] = torch.cuda.max_memory_allocated() - before
        record_property(f"peak bytes of {name}", peaks[name])
    assert all(peaks.values())


STREAMING = {
    "groups": lambda pipe: pipe.enable_group_offload(DEVICE, CPU, offload_type="block_level", num_blocks_per_group=1),
    "groups, stream": lambda pipe: pipe.enable_group_offload(DEVICE, CPU, offload_type="leaf_level", use_stream=True),
    "sequential": lambda pipe: pipe.enable_sequential_cpu_offload(device=DEVICE),
}


@cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", STREAMING)
def test_a_transformer_larger_than_the_device_learns_what_a_whole_one_does(kind, dtype, record_property):
    """Its weights are in its blocks, of which one is there at a time.

    They are large beside the megabytes that kernels take for themselves, whatever the dtype.
    """

    def learn(offload):
        torch.manual_seed(0)
        pipe = enable_motion_embedding(WanPipeline(**wan_parts(num_layers=32, ffn_dim=32768)).to(dtype=dtype))
        offload(pipe)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        train_motion_embedding(pipe, frames, "a red circle", TrainingConfig(max_train_steps=3))
        peak = torch.cuda.max_memory_allocated() - before
        learned = embedding_tensors(pipe.transformer, "default").values()
        return [each.cpu() for parts in learned for each in parts.values()], peak, pipe.transformer

    frames = torch.randint(0, 256, (5, 16, 16, 3), dtype=torch.uint8).numpy()
    expected, _, _ = learn(lambda pipe: pipe.to(DEVICE))
    found, peak, transformer = learn(STREAMING[kind])
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=1e-2)
    share = peak / sum(weight.nbytes for weight in transformer.parameters())
    record_property("peak over weights", share)
    assert share < 0.5


def milliseconds(model, inputs):
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    with torch.no_grad():
        model(*inputs)
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


@cuda
def test_a_forward_with_an_embedding_takes_little_longer(make_embedding, record_property):
    """At the widths of ZeroScope, in float16."""
    wide = {
        "block_out_channels": (320, 640, 1280, 1280),
        "down_block_types": ("CrossAttnDownBlock3D",) * 3 + ("DownBlock3D",),
        "up_block_types": ("UpBlock3D",) + ("CrossAttnUpBlock3D",) * 3,
        "attention_head_dim": 64,
        "norm_num_groups": 32,
    }
    plain, moved = (make_unet3d(**wide).to(DEVICE, torch.float16) for _ in range(2))
    assert isinstance(plain, UNet3DConditionModel)
    load_motion_embedding(moved, to_state_dict(make_embedding(moved)), config=MotionEmbeddingConfig(num_frames=4))
    inputs = (torch.randn(1, 4, 16, 32, 32), torch.tensor([500]), torch.randn(1, 77, 16))
    inputs = [each.to(DEVICE, torch.float16) for each in inputs]
    for model in (plain, moved):
        milliseconds(model, inputs)  # warms up
    ratios = [milliseconds(moved, inputs) / milliseconds(plain, inputs) for _ in range(ROUNDS)]
    median = sorted(ratios)[ROUNDS // 2]
    record_property("forward, with over without", median)
    assert median < 1.1


@pytest.mark.filterwarnings("error")
def test_random_numbers_of_every_device_go_on_as_if_none_had_been_drawn():
    module = torch.get_device_module(DEVICE)
    devices = range(torch.accelerator.device_count())
    before = [module.get_rng_state(device) for device in devices]
    drawn = []
    for _ in range(2):
        with seeded(0):
            drawn.append([torch.randn(2, device=torch.device(DEVICE.type, device)).cpu() for device in devices])
    assert all(torch.equal(*pair) for pair in zip(*drawn, strict=True))
    assert all(torch.equal(*pair) for pair in zip(before, map(module.get_rng_state, devices), strict=True))
