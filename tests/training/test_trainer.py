"""Training on tiny random models: what is learned, what stays as it was, what is refused."""

import json

import numpy as np
import pytest
import torch
from peft import get_peft_model

import diffusers_motion_embed as dme
from diffusers_motion_embed.adapter.registry import embedding_tensors
from diffusers_motion_embed.architectures.encoding import encode_frames
from diffusers_motion_embed.storage.files import CONFIG_NAME, WEIGHTS_NAME
from diffusers_motion_embed.training import TrainingConfig, TrainingDivergedError, train_motion_embedding
from diffusers_motion_embed.training.losses import LOSSES
from tests.helpers import NUM_FRAMES, assert_unchanged, generate, make_config, snapshot


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (NUM_FRAMES, 16, 16, 3), dtype=np.uint8)


def train(pipe, frames, prompt="a red circle", adapter_name="trained", callback=None, embedding=None, **options):
    return train_motion_embedding(
        pipe,
        frames,
        prompt,
        TrainingConfig(**{"max_train_steps": 3, "gradient_accumulation_steps": 1, **options}),
        embedding_config=make_config(**(embedding or {})),
        adapter_name=adapter_name,
        callback=callback,
        progress_bar=False,
    )


def test_training_loads_the_embedding_and_changes_nothing_else(pipe, frames):
    plain, before = generate(pipe), snapshot(pipe.unet)
    report = train(pipe, frames, embedding={"timing": (0.0, 1.0)})
    assert pipe.get_active_motion_embeddings() == ["trained"]
    assert (report.num_frames, report.debias, report.prompt) == (NUM_FRAMES, "difference", "a red circle")
    assert not torch.equal(generate(pipe), plain)
    pipe.unload_motion_embedding()
    assert_unchanged(pipe.unet, before)
    assert torch.equal(generate(pipe), plain)


def test_training_while_motions_are_switched_off_ends_with_the_trained_one_acting(text_to_video, frames):
    acting = {}
    for switched_off in (False, True):
        if switched_off:
            text_to_video.disable_motion_embedding_layers()
        train(text_to_video, frames, adapter_name=f"{switched_off}")
        acting[switched_off] = generate(text_to_video)
    assert torch.equal(acting[True], acting[False])
    assert text_to_video.get_active_motion_embeddings() == ["True"]
    text_to_video.disable_motion_embedding_layers()
    plain = generate(text_to_video)
    with pytest.raises(KeyboardInterrupt):
        train(text_to_video, frames, callback=interrupt)
    assert torch.equal(generate(text_to_video), plain)


def test_training_lowers_the_loss_on_the_reference(text_to_video, frames):
    losses = []
    train(text_to_video, frames, max_train_steps=60, callback=lambda progress: losses.append(progress.logs()["loss"]))
    assert len(losses) == 60
    assert np.mean(losses[-15:]) < np.mean(losses[:15])


def test_every_second_sample_shows_the_color_negative_with_an_empty_prompt(text_to_video, frames):
    clips, texts, noisy = [], [], []
    hooks = [
        text_to_video.vae.encoder.register_forward_pre_hook(lambda _, inputs: clips.append(inputs[0])),
        text_to_video.text_encoder.register_forward_pre_hook(
            lambda _, inputs, named: texts.append(inputs[0] if inputs else named["input_ids"]), with_kwargs=True
        ),
        text_to_video.unet.register_forward_pre_hook(
            lambda _, inputs, named: noisy.append(named["encoder_hidden_states"]), with_kwargs=True
        ),
    ]
    train(text_to_video, frames, color_negative=True, max_train_steps=4)
    for hook in hooks:
        hook.remove()
    clip, negative = clips
    assert (clip.min(), clip.max()) == (-1, 1)
    torch.testing.assert_close(negative, -clip)
    written = text_to_video.tokenizer.batch_decode(torch.cat(texts), skip_special_tokens=True)
    assert [text.strip() for text in written] == ["a red circle", ""]
    of_clip, of_negative, *_ = noisy = noisy[-4:]  # of the four samples
    assert not torch.equal(of_clip, of_negative)
    assert torch.equal(torch.cat(noisy), torch.cat([of_clip, of_negative] * 2))


@pytest.mark.parametrize("through", [True, False])
def test_the_value_part_is_trained_through_its_debiasing(text_to_video, frames, through):
    # What all frames share is invisible through "centered", so the gradient's sum over frames is zero, and the first
    # step, which follows the signs of the gradient, cannot move all frames the same way.
    settings = {"max_train_steps": 1, "weight_decay": 0.0, "debias_in_training": through}
    train(text_to_video, frames, embedding={"debias": "centered"}, **settings)
    values = [
        embedding.tensors["v"]
        for layer in text_to_video.unet._motion_embedding_registry.layers.values()
        for embedding in layer.embeddings.values()
    ]
    assert all((value != 0).any() for value in values)
    same_way = [(value.sign().sum(-2).abs() == NUM_FRAMES).any() for value in values]
    assert any(same_way) != through


@pytest.mark.parametrize(
    ("sampling", "embedding", "expected"),
    [
        ("noisier_half", {}, (0.0, 0.501)),
        ("uniform", {}, (0.0, 1.0)),
        ((0.2, 0.7), {}, (0.3, 0.801)),
        ("noisier_half", {"timing": (0.0, 1.0)}, (0.0, 1.0)),
    ],
)
def test_it_acts_at_the_noise_levels_that_it_was_trained_at(
    text_to_video, frames, tmp_path, sampling, embedding, expected
):
    train(text_to_video, frames, timestep_sampling=sampling, embedding=embedding)
    folder = text_to_video.save_motion_embedding(tmp_path / "embedding")
    text_to_video.unload_motion_embedding()
    text_to_video.load_motion_embedding(folder, "again")
    loaded = text_to_video.unet._motion_embedding_registry.loaded["again"]
    assert (loaded.timing.start, loaded.timing.end) == pytest.approx(expected)
    assert loaded.config.timing == pytest.approx(expected)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_seed_gives_a_byte_identical_file(text_to_video, frames, tmp_path, loss):
    contents = []
    for run, seed in enumerate((1, 1, 2)):
        train(text_to_video, frames, seed=seed, loss=loss)
        folder = text_to_video.save_motion_embedding(tmp_path / str(run))
        contents.append((folder / WEIGHTS_NAME).read_bytes())
        text_to_video.unload_motion_embedding()
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_the_file_tells_how_it_was_made(text_to_video, frames, tmp_path):
    train(text_to_video, frames, seed=7)
    folder = text_to_video.save_motion_embedding(tmp_path / "embedding")
    settings = json.loads((folder / CONFIG_NAME).read_text())
    expected = {
        "num_frames": NUM_FRAMES,
        "num_latent_frames": NUM_FRAMES,
        "height": 16,
        "width": 16,
        "latent_height": 8,
        "latent_width": 8,
        "value_grid": [2, 2],
        "model_class": "UNet3DConditionModel",
        "component": "unet",
        "format_version": 1,
    }
    assert {name: settings[name] for name in expected} == expected
    assert settings["training"]["prompt"] == "a red circle"
    assert (settings["training"]["seed"], settings["training"]["max_train_steps"]) == (7, 3)


def test_full_grids_are_those_of_the_layers(text_to_video, frames):
    train(text_to_video, frames, embedding={"value_grid": "full"})
    tensors = embedding_tensors(text_to_video.unet, "trained")
    grids = {path: tuple(parts["v"].shape[:2]) for path, parts in tensors.items()}
    assert grids["down_blocks.0.temp_attentions.0.transformer_blocks.0.attn1"] == (8, 8)
    assert grids["down_blocks.1.temp_attentions.0.transformer_blocks.0.attn2"] == (4, 4)


def test_latents_are_those_of_the_vae(text_to_video, frames):
    latents = encode_frames(text_to_video, frames, chunk_size=3)
    pixels = torch.tensor(frames[2], dtype=torch.float32).permute(2, 0, 1)[None] / 127.5 - 1
    vae = text_to_video.vae
    expected = vae.encode(pixels).latent_dist.mean[0] * vae.config.scaling_factor
    torch.testing.assert_close(latents[0, :, 2], expected, atol=1e-5, rtol=1e-5)


def interrupt(progress):
    if progress.step == 2:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param({"prompt": " "}, ValueError, "prompt is needed", id="no-prompt"),
        pytest.param({"adapter_name": "good"}, dme.AdapterNameError, "'good' is loaded already", id="repeated-name"),
        pytest.param({"adapter_name": ""}, dme.AdapterNameError, "not empty, got ''", id="empty-name"),
        pytest.param({"adapter_name": None}, dme.AdapterNameError, "not empty, got None", id="no-name"),
        pytest.param(
            {"embedding": {"target_modules": ["attn3"]}},
            dme.TargetModulesError,
            r"target_modules=\['attn3'\].*none of the 16 layers.*down_blocks\.0\.temp_attentions\.0",
            id="no-layers",
        ),
        pytest.param({"learning_rate": 1e30}, TrainingDivergedError, "became .* at step", id="diverged"),
        pytest.param({"callback": interrupt}, KeyboardInterrupt, None, id="interrupted"),
    ],
)
def test_a_run_that_fails_leaves_the_pipeline_as_it_was(
    text_to_video, frames, embedding_folder, arguments, error, message
):
    pipe = text_to_video
    pipe.load_motion_embedding(embedding_folder(pipe.unet), "good")
    pipe.set_motion_scale({"qk": 0.5, "v": 0.75})
    before, clip = snapshot(pipe.unet), generate(pipe)
    with pytest.raises(error, match=message):
        train(pipe, frames, **arguments)
    assert_unchanged(pipe.unet, before)
    assert pipe.get_active_motion_embeddings() == ["good"]
    assert torch.equal(generate(pipe), clip)


def test_a_model_with_motion_through_peft_is_refused_before_the_clip_is_encoded(text_to_video, frames):
    get_peft_model(text_to_video.unet, make_config())
    encoded = []
    text_to_video.vae.encoder.register_forward_pre_hook(lambda *args: encoded.append(args))
    with pytest.raises(dme.AdapterNameError, match="through a PeftModel already"):
        train(text_to_video, frames)
    assert not encoded


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        pytest.param((4, 15, 16, 3), np.uint8, "Height 15 must be a multiple of 2 and width", id="not-divisible"),
        pytest.param((4, 16, 16), np.uint8, r"shape \(frames, height, width, 3\).*got uint8 \(4, 16, 16\)", id="axes"),
        pytest.param((4, 16, 16, 3), np.int64, "got int64", id="dtype"),
    ],
)
def test_frames_are_checked(text_to_video, shape, dtype, message):
    before = snapshot(text_to_video.unet)
    with pytest.raises(dme.VideoError, match=message):
        train(text_to_video, np.zeros(shape, dtype))
    assert_unchanged(text_to_video.unet, before)


def test_pipelines_without_text_are_refused(frames):
    with pytest.raises(dme.UnsupportedModelError, match="object cannot be trained"):
        train(object(), frames)
