"""What pipelines give their models, caught and used again, against real calls."""

import inspect

import pytest
import torch

from diffusers_motion_embed.architectures.conditioning import batches, capture_conditioning
from diffusers_motion_embed.architectures.encoding import encode_frames
from diffusers_motion_embed.architectures.noising import noising_of


PROMPTS = ("a red circle", "a blue square on black")


def capture(pipe, family, seed=0, prompt=PROMPTS[0]):
    return capture_conditioning(pipe, family.component, family.frames(seed), prompt, family.settings)


def same(first, second):
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.fixture
def first_call(family, pipe, model):
    """Arguments and output of the model's first call in a real call of the pipeline."""
    found = {}

    def note_input(module, args, kwargs):
        arguments = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        name = "sample" if "sample" in arguments else "hidden_states"
        found.setdefault("arguments", {**arguments, name: arguments[name].clone()})  # some go on in the same tensor

    def note_output(module, args, output):
        found.setdefault("output", output[0].clone())

    handles = [
        model.register_forward_pre_hook(note_input, with_kwargs=True),
        model.register_forward_hook(note_output),
    ]
    family.generate(pipe)
    for handle in handles:
        handle.remove()
    return found


def test_it_is_what_the_pipeline_gives_its_model(family, pipe, first_call):
    conditioning = capture(pipe, family)
    arguments = dict(first_call["arguments"])
    model_input, timestep = arguments.pop(conditioning.input_name), arguments.pop("timestep")
    arguments.pop("return_dict", None)
    assert same(conditioning.arguments, arguments)
    assert torch.equal(conditioning.model_input, model_input)
    assert torch.equal(conditioning.timestep, timestep)


@torch.no_grad()
def test_with_its_noise_and_timestep_the_model_predicts_the_same(family, pipe, model, first_call):
    conditioning = capture(pipe, family)
    latents = encode_frames(pipe, family.frames())
    noisy = conditioning.layout.restore(conditioning.model_input, latents.shape)[:, : latents.shape[1]]
    inputs = conditioning.inputs(noisy, conditioning.timestep.flatten().max().reshape(1))
    prediction = conditioning.prediction(model(**inputs), noisy)
    expected = conditioning.prediction((first_call["output"],), noisy)
    torch.testing.assert_close(prediction, expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_two_clips_at_once_are_as_one_by_one(family, pipe, model):
    latents = torch.cat([encode_frames(pipe, family.frames(seed)) for seed in (0, 1)])
    levels = torch.tensor([0.9, 0.6], dtype=torch.float64)
    noisy, timesteps, _ = noising_of(pipe.scheduler).add_noise(latents, torch.randn_like(latents), levels)

    def predict(numbers, conditioning):
        inputs = conditioning.inputs(noisy[numbers], timesteps[numbers])
        return conditioning.prediction(model(**inputs), latents[numbers])

    # Sums of two clips are taken in another order, and what is rounded afterwards can fall to the other side.
    atol = 1e-3 if family.rounds else 1e-5
    for prompts in (PROMPTS, (PROMPTS[0], "a blue square")):  # of different lengths, and of the same
        conditionings = [capture(pipe, family, *pair) for pair in enumerate(prompts)]
        apart = torch.cat([predict([number], conditioning) for number, conditioning in enumerate(conditionings)])
        together = torch.empty_like(apart)
        for numbers, conditioning in batches(conditionings):
            together[numbers] = predict(numbers, conditioning)
        torch.testing.assert_close(together, apart, atol=atol, rtol=1e-4)
    assert len(list(batches(conditionings))) == 1


def test_frames_that_are_given_are_told(family, pipe):
    given = capture(pipe, family).given_frames(3)
    assert given.tolist() == [family.gives_first_frame, False, False]


def test_the_random_numbers_of_the_process_stay_as_they_are(family, pipe):
    before = torch.get_rng_state()
    first, second = capture(pipe, family), capture(pipe, family)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(first.tensors(), second.tensors())
