"""Estimates of whole pipelines: against what the allocator tells of real runs, and from settings alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from diffusers_motion_embed import MotionEmbeddingConfig, VideoError, enable_motion_embedding
from diffusers_motion_embed.errors import UnsupportedModelError
from diffusers_motion_embed.estimate import estimate_memory, parse_memory
from diffusers_motion_embed.estimate.memory import RUNS, need_of_run
from diffusers_motion_embed.estimate.placement import weight_bytes
from diffusers_motion_embed.estimate.stages import Stage
from diffusers_motion_embed.estimate.weightless import weightless_pipeline
from diffusers_motion_embed.training import TrainingConfig, train_motion_embedding
from tests.conftest import make_animatediff, make_text_to_video
from tests.pipelines.conftest import FAMILIES, make_pipe


def allocated(run) -> int:
    """Bytes that a call allocates at its peak, as torch's allocator tells them."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = profiler.profiler.kineto_results.events()
    changes = np.cumsum([event.nbytes() for event in events if event.name() == "[memory]"])
    return int(changes.max())


def settings_of(pipe, folder):
    """The pipeline's folder without weights."""
    pipe.save_pretrained(folder)
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    return str(folder)


MAKERS = {"animatediff": (make_animatediff, (4, 32, 32)), "wan": (FAMILIES["Wan"].make, (9, 32, 64))}


@pytest.mark.parametrize("family", MAKERS)
def test_the_estimate_is_what_the_allocator_tells(family, tmp_path):
    make, clip = MAKERS[family]
    pipe = enable_motion_embedding(make())
    pipe.set_progress_bar_config(disable=True)
    estimate = estimate_memory(settings_of(pipe, tmp_path), *clip)
    frames = np.zeros((*clip, 3), np.uint8)

    def train(recompute):
        config = TrainingConfig(max_train_steps=2, gradient_accumulation_steps=1, gradient_checkpointing=recompute)
        train_motion_embedding(pipe, frames, "a red circle", config, progress_bar=False)
        pipe.unload_motion_embedding()

    def generate():
        size = dict(zip(("num_frames", "height", "width"), clip, strict=True))
        pipe("a red circle", num_inference_steps=1, output_type="latent", **size)

    runs = (lambda: train(False), lambda: train(True), generate)
    for name, run in zip(RUNS, runs, strict=True):
        stages = [stage for stage in estimate.stages[name] if stage.name != "VAE decoding"]
        expected = max(stage.activations for stage in stages)
        assert expected == pytest.approx(allocated(run), rel=0.15), name
    for name in ("vae", "text_encoder"):
        model = getattr(pipe, name)
        assert estimate.weights[name] == sum(each.nbytes for each in [*model.parameters(), *model.buffers()])
    check_rows(estimate)


def test_a_position_part_keeps_queries_and_keys_where_they_are_overwritten(tmp_path):
    """Each turned and not, in float32, for every token and layer: CogVideoX writes over them."""
    pipe = FAMILIES["CogVideoX1.5"].make()
    folder, clip = settings_of(pipe, tmp_path), (13, 16, 32)
    without, with_positions = (
        estimate_memory(folder, *clip, embedding_config=MotionEmbeddingConfig(parts=parts))
        for parts in (("qk", "v"), ("qk", "v", "p"))
    )
    activations = [
        next(stage.activations for stage in estimate.stages["training"] if stage.name == "training steps")
        for estimate in (without, with_positions)
    ]
    latent = (4 // 2) * (16 // 4 // 2) * (32 // 4 // 2)  # pairs of latent frames, then patches of 2 x 2
    widths = [layer.attn1.to_q.out_features for layer in pipe.transformer.transformer_blocks]
    assert activations[1] - activations[0] == 4 * latent * sum(widths) * torch.float32.itemsize


def check_rows(estimate):
    """Less is needed with more offloading, and what does not fit is marked."""
    for bits in ("none", "8 bit", "4 bit"):
        for run in RUNS:
            needs = [estimate.needs[offload, bits, run] for offload in ("none", "model", "group", "sequential")]
            assert needs == sorted(needs, reverse=True)
    whole = estimate.needs["none", "none", "training"]
    assert ("none", "none") in estimate.fits(whole, "training")
    assert ("none", "none") not in estimate.fits(whole - 1, "training")
    (row,) = [line for line in estimate.table(whole - 1).splitlines() if line.startswith("none        none")]
    assert row.split()[2] == "-"
    assert " - " not in estimate.table(10**12).split("\n\n")[1]


@pytest.mark.parametrize(
    ("placement", "offload", "bits", "expected"),
    [
        ("streamed", "model", None, 100 + 4000 + 3 * 4000),
        ("streamed", "group", None, 10 + 4000 + 4000),  # recomputed in any case
        ("streamed", "sequential", None, 10 + 4000 + 4000),
        ("streamed", "group", 8, 100 + 4 * (1000 + 4 * 40)),  # quantized weights stay
        ("whole", "group", None, 100 + 4000 + 3 * 4000),
    ],
)
def test_what_training_needs_of_a_model_that_is_offloaded(placement, offload, bits, expected):
    layers = [nn.Linear(25, 40, bias=False) for _ in range(4)]
    model = nn.ModuleDict({"embedding": layers[0], "blocks": nn.ModuleList(layers[1:])})
    stages = {
        run: [Stage("training steps", "transformer", activations, placement)]
        for run, activations in (("training", 100), ("training, recomputing", 10))
    }
    assert need_of_run(stages, "training", {"transformer": model}, offload, bits) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_can_be_estimated(name, tmp_path):
    family = FAMILIES[name]
    pipe = make_pipe(family)
    folder = settings_of(pipe, tmp_path)
    if name == "HunyuanVideo15":
        with pytest.raises(UnsupportedModelError, match="depends on the numbers"):
            estimate_memory(folder, *family.clip)
        return
    estimate = estimate_memory(folder, *family.clip)
    assert estimate.weights[family.component] == weight_bytes(getattr(pipe, family.component))
    check_rows(estimate)


@pytest.fixture
def settings(tmp_path):
    return settings_of(make_text_to_video(), tmp_path / "base")


def test_half_precision_halves_the_weights(settings):
    whole, half = (weightless_pipeline(Path(settings), dtype) for dtype in (torch.float32, torch.bfloat16))
    for name in ("vae", "text_encoder", "unet"):
        weights = [weight_bytes(getattr(pipe, name)) for pipe in (whole, half)]
        assert weights[1] == pytest.approx(weights[0] / 2, rel=0.01), name


def test_what_cannot_be_estimated_says_why(settings, tmp_path):
    with pytest.raises(VideoError, match="must be a multiple of"):
        estimate_memory(settings, 4, 15, 16)
    with pytest.raises(UnsupportedModelError, match=r"no model_index\.json"):
        estimate_memory(str(tmp_path), 4, 16, 16)
    index = tmp_path / "base/model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"unet": ["diffusers", "UNet9DModel"]}))
    with pytest.raises(UnsupportedModelError, match="UNet9DModel, which is not known"):
        estimate_memory(settings, 4, 16, 16)


@pytest.mark.parametrize(("text", "size"), [("16GB", 16e9), ("1.5 GiB", 1.5 * 2**30), ("900MB", 9e8)])
def test_sizes_of_memory(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["16", "GB", "16gb", "-1GB"])
def test_what_is_no_size_of_memory(text):
    with pytest.raises(ValueError, match="such as 16GB"):
        parse_memory(text)
