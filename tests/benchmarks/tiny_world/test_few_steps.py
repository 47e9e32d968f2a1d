"""The LoRA for few steps: what it learns, and that it loads as people load one."""

import pytest
import torch
from peft import LoraConfig

from benchmarks.fidelity.few_steps import few_steps
from benchmarks.tiny_world import train_few_steps
from benchmarks.tiny_world.pipelines import (
    FEW_STEPS,
    GENERATION,
    TINY_WAN,
    call_arguments,
    generate,
    load_tiny_pipeline,
)
from benchmarks.tiny_world.train_few_steps import ADAPTER, TARGETS, Teacher, make_parser, noise_levels, train


@pytest.fixture
def pipe():
    return load_tiny_pipeline(TINY_WAN)


def test_the_student_is_used_at_the_noise_levels_that_it_is_trained_at(pipe):
    levels = noise_levels(pipe)
    train_few_steps.use_few_steps(pipe)
    seen = []
    pipe.transformer.register_forward_pre_hook(
        lambda model, args, kwargs: seen.append(kwargs["timestep"].item()), with_kwargs=True
    )
    generate(pipe, ["a red ring on a gray background"], [0], num_frames=5)
    assert seen == pytest.approx((levels[:-1] * 1000).tolist())
    assert len(seen) == FEW_STEPS["num_inference_steps"]  # and no guidance
    assert levels[0] == 1
    assert levels[-1] == 0


@torch.no_grad()
def test_the_teacher_is_the_guided_model_without_the_lora(pipe):
    torch.manual_seed(0)
    latents = torch.randn(2, pipe.vae.config.z_dim, 3, 8, 8)
    text, no_text = torch.randn(2, 16, 64), torch.randn(2, 16, 64)
    begin, end = torch.tensor([1.0, 0.6]), torch.tensor([0.8, 0.2])
    expected = []
    for clip, with_text, without, first, last in zip(latents, text, no_text, begin, end, strict=True):
        x, middle = clip[None], (first + last) / 2
        for level, following in ((first, middle), (middle, last)):
            timestep = level[None] * 1000
            found = [pipe.transformer(x, timestep, each[None]).sample for each in (with_text, without)]
            scale = GENERATION["guidance_scale"]
            x = x + (following - level) * (scale * found[0] + (1 - scale) * found[1])
        expected.append((x - clip) / (last - first))
    pipe.transformer.add_adapter(LoraConfig(r=2, target_modules=TARGETS, init_lora_weights=False), ADAPTER)
    before = pipe.transformer(latents, begin * 1000, text).sample
    velocity = Teacher(pipe, 2).velocity(latents, text, no_text, begin, end)
    torch.testing.assert_close(velocity, torch.cat(expected), atol=1e-4, rtol=1e-4)
    assert torch.equal(pipe.transformer(latents, begin * 1000, text).sample, before), "the student lost its LoRA"


@pytest.mark.slow
def test_a_lora_is_trained_goes_on_and_loads(pipe, tmp_path):
    words = ["--train_batch_size", "1", "--rank", "2", "--lr_decay_steps", "1"]
    options = make_parser().parse_args([*words, "--teacher_steps", "1", "--output_dir", str(tmp_path)])
    steps = []
    for options.max_train_steps in (1, 2):
        train(load_tiny_pipeline(TINY_WAN), options)
        steps.append(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"])
    assert steps == [1, 2]
    arguments = (pipe, ["a red ring on a gray background"], [0], 5)
    before, scheduler = generate(*arguments), pipe.scheduler
    with few_steps(pipe, tmp_path):
        assert pipe.get_active_adapters() == [ADAPTER]
        assert call_arguments(pipe)["num_inference_steps"] == FEW_STEPS["num_inference_steps"]
        assert (generate(*arguments) != before).any()
    assert pipe.scheduler is scheduler
    assert (generate(*arguments) == before).all()
