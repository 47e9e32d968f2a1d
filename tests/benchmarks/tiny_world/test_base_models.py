"""The embedded models as shipped, and what their training is made of."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import (
    AnimateDiffPipeline,
    AutoencoderKL,
    AutoencoderKLWan,
    DiffusionPipeline,
    TextToVideoSDPipeline,
    WanImageToVideoPipeline,
    WanPipeline,
)
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from benchmarks.tiny_world import (
    train_animatediff,
    train_unet,
    train_vae,
    train_wan,
    train_wan_i2v,
    train_wan_vae,
)
from benchmarks.tiny_world.base_training import Batches, load_matching, make_parser, train
from benchmarks.tiny_world.latents import (
    LATENT_CHANNELS,
    NOISE_SHIFT,
    NOISE_SPREAD,
    pair_frames,
    scene_latents,
)
from benchmarks.tiny_world.measures import measure_clip, text_fidelity
from benchmarks.tiny_world.pipelines import (
    GENERATION,
    TINY_ANIMATEDIFF,
    TINY_T2V,
    TINY_WAN,
    TINY_WAN_I2V,
    begins_with_picture,
    call_arguments,
    generate,
    load_tiny_pipeline,
)
from benchmarks.tiny_world.portable import make_portable
from benchmarks.tiny_world.references import PROMPTS
from benchmarks.tiny_world.scene import Appearance
from benchmarks.tiny_world.training_clips import random_scene
from benchmarks.tiny_world.v_prediction import draw_timesteps, make_scheduler, make_tokenizer, v_prediction_loss
from examples.demo import picture_of
from tests.versions import skip_before


FOLDERS = {
    TINY_T2V: TextToVideoSDPipeline,
    TINY_ANIMATEDIFF: AnimateDiffPipeline,
    TINY_WAN: WanPipeline,
    TINY_WAN_I2V: WanImageToVideoPipeline,
}
TOKENIZERS = ("transformers", "5.0", "makes no tokenizer of words in memory")
MODELS = [
    train_unet.TINY_T2V,
    train_animatediff.TINY_ANIMATEDIFF,
    train_wan.TINY_WAN,
    train_wan_i2v.TINY_WAN_I2V,
]

folders = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


@folders
def test_an_embedded_model_is_an_ordinary_small_pipeline_folder(folder):
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 12e6
    assert {file.suffix for file in files} <= {".json", ".md", ".safetensors", ".txt"}
    for file in folder.rglob("*.safetensors"):
        assert {tensor.dtype for tensor in load_file(file).values()} == {torch.float16}
    for file in folder.rglob("*.json"):
        assert not json.loads(file.read_text()).get("_name_or_path"), "the path of a machine was published"


@folders
def test_an_embedded_model_generates_without_a_dtype(folder):
    pipe = DiffusionPipeline.from_pretrained(folder)
    assert type(pipe) is FOLDERS[folder]
    assert {part.dtype for part in pipe.components.values() if isinstance(part, torch.nn.Module)} == {torch.float32}
    picture = {"image": picture_of(PROMPTS[0].prompt)} if begins_with_picture(pipe) else {}
    arguments = {**call_arguments(pipe), **picture, "num_inference_steps": 1}
    assert np.isfinite(pipe(prompt=PROMPTS[0].prompt, **arguments, output_type="np").frames).all()


@folders
def test_an_embedded_model_is_stored_in_the_form_that_all_versions_read(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copied")
    make_portable(copied)
    for file in copied.rglob("*.*"):
        stored = folder / file.relative_to(copied)
        message = f"run python -m benchmarks.tiny_world.portable examples/{folder.name}"
        assert stored.is_file(), message
        assert file.read_bytes() == stored.read_bytes(), message


@pytest.mark.slow
@folders
def test_an_embedded_model_draws_what_the_prompt_says(folder):
    # The real measurement is benchmarks/tiny_world/evaluate_base.py; this would notice a broken file.
    pipe = load_tiny_pipeline(folder)
    pictures = None
    if begins_with_picture(pipe):
        pictures = np.stack([np.asarray(picture_of(look.prompt)) for look in PROMPTS])
    clips = generate(pipe, [look.prompt for look in PROMPTS], list(range(len(PROMPTS))), pictures=pictures)
    assert clips.shape == (len(PROMPTS), call_arguments(pipe)["num_frames"], 64, 64, 3)
    found = text_fidelity([measure_clip(clip, look) for clip, look in zip(clips, PROMPTS, strict=True)])
    assert found["color"] >= 5 / 6
    assert found["present"] >= 5 / 6


@folders
def test_what_the_card_shows_runs(folder, monkeypatch):
    monkeypatch.chdir(folder.parents[1])
    (snippet,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(snippet.replace("num_inference_steps=12", "num_inference_steps=2"), names)
    assert type(names["pipe"]) is FOLDERS[folder]


@folders
def test_latents_are_those_that_were_chosen(folder):
    pipe = load_tiny_pipeline(folder)
    vae, num_frames = pipe.vae, call_arguments(pipe)["num_frames"]
    scene = random_scene(np.random.default_rng(5), num_frames)
    frames = torch.from_numpy(scene.render()).permute(0, 3, 1, 2) * 2 - 1
    expected = scene_latents(scene)
    if folder in (TINY_WAN, TINY_WAN_I2V):
        latents = vae.encode(frames.transpose(0, 1)[None]).latent_dist.mode()
        mean, spread = (
            torch.tensor(each).view(1, -1, 1, 1, 1) for each in (vae.config.latents_mean, vae.config.latents_std)
        )
        found, expected = (latents - mean) / spread, pair_frames(expected.transpose(0, 1)[None])
        decoded = vae.decode(latents).sample[0].transpose(0, 1)
    else:
        latents = vae.encode(frames).latent_dist.mode()
        found, decoded = latents * vae.config.scaling_factor, vae.decode(latents).sample
    assert found.shape == expected.shape
    assert (found - expected).abs().mean() < 0.1 * expected.std()
    assert (decoded - frames).abs().mean() / 2 * 255 < 5


def test_pairs_of_frames_after_the_first():
    frames = torch.arange(5.0).view(1, 1, 5, 1, 1).expand(2, 6, 5, 8, 8)
    pairs = pair_frames(frames)
    assert pairs.shape == (2, 12, 3, 8, 8)
    assert pairs[0, :6, :, 0, 0].tolist() == [[0, 1, 3]] * 6
    assert pairs[0, 6:, :, 0, 0].tolist() == [[0, 2, 4]] * 6


def test_the_clip_autoencoder_learns_what_the_class_then_computes():
    torch.manual_seed(0)
    trained = train_wan_vae.make_vae()
    pixels, latents, _ = (each[None] for each in train_wan_vae.draw_clip(np.random.default_rng(0)))
    decoded = trained.decode(latents).sample
    (decoded.square().mean() + trained.encode(pixels).latent_dist.mean.square().mean()).backward()
    torch.optim.AdamW(trained.parameters(), lr=1e-2, weight_decay=0.0).step()
    ordinary = AutoencoderKLWan.from_config(trained.config)
    ordinary.load_state_dict(trained.state_dict())
    with torch.no_grad():
        for vae_input, name in ((pixels, "encode"), (latents, "decode")):
            expected, found = (getattr(vae, name)(vae_input, return_dict=False)[0] for vae in (ordinary, trained))
            expected, found = (each if torch.is_tensor(each) else each.mean for each in (expected, found))
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
            assert found.shape[2] == {"encode": 3, "decode": 5}[name]


def test_both_kinds_of_models_are_trained_at_the_same_noise_levels():
    torch.manual_seed(0)
    scheduler = make_scheduler()
    signal = scheduler.alphas_cumprod[draw_timesteps(scheduler, 4000)]
    noise = ((1 - signal) / signal).sqrt()
    of_flow = noise / (1 + noise)  # the share of noise in a mixture of as much
    level = torch.distributions.Normal(0.0, NOISE_SPREAD).icdf(torch.tensor([0.1, 0.5, 0.9])).sigmoid()
    expected = NOISE_SHIFT * level / (1 + (NOISE_SHIFT - 1) * level)
    assert torch.quantile(of_flow, torch.tensor([0.1, 0.5, 0.9])).tolist() == pytest.approx(
        expected.tolist(), abs=0.02
    )


def test_the_loss_is_of_velocities():
    pipe = train_unet.make_pipeline(train_vae.make_vae())
    clean = torch.randn(2, LATENT_CHANNELS, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    predicted = {}

    def keep(module, inputs, output):
        predicted.update(noisy=inputs[0], timesteps=inputs[1], velocity=output.sample)

    pipe.unet.register_forward_hook(keep)
    loss = v_prediction_loss(pipe, clean, ["a red ring", ""])
    signal = pipe.scheduler.alphas_cumprod[predicted["timesteps"]].view(-1, 1, 1, 1, 1).sqrt()
    amount = (1 - signal**2).sqrt()
    noise = (predicted["noisy"] - signal * clean) / amount
    errors = (predicted["velocity"] - (signal * noise - amount * clean)) ** 2
    assert loss.item() == pytest.approx(errors.mean().item(), rel=1e-4)


@pytest.mark.parametrize("make", [make_tokenizer, train_wan.make_tokenizer], ids=["clip", "t5"])
def test_tokenizers_read_captions_word_by_word_and_all_else_by_letters(make, tmp_path):
    skip_before(*TOKENIZERS)
    tokenizer = make()
    tokenizer.save_pretrained(tmp_path)
    loaded = type(tokenizer).from_pretrained(tmp_path)
    caption = Appearance("red", "ring", "navy", "dotted").prompt
    for each in (tokenizer, loaded):
        ids = each(caption, add_special_tokens=False).input_ids
        assert len(ids) == len(set(ids)) + caption.split().count("a") - 1 == len(caption.split())
        assert each.decode(ids) == caption
        letters = each("quiz", add_special_tokens=False).input_ids
        assert len(letters) >= 4
        assert each.unk_token_id not in letters


models = pytest.mark.parametrize("model", MODELS, ids=["t2v", "animatediff", "wan", "wan_i2v"])


@pytest.fixture
def options(model, tmp_path):
    """Of hardly any training, around a VAE of the model's class."""
    skip_before(*TOKENIZERS)
    make_vae = train_vae.make_vae if model.vae_class is AutoencoderKL else train_wan_vae.make_vae
    make_vae().save_pretrained(tmp_path / "vae")
    words = ["--vae", str(tmp_path / "vae"), "--output_dir", str(tmp_path / "out")]
    words += ["--train_batch_size", "2", "--checkpointing_steps", "1"]
    defaults = {"max_train_steps": 1, "learning_rate": 1e-3, "lr_decay_steps": 1}
    return make_parser("Trains.", **defaults).parse_args(words)


@models
def test_a_training_goes_on_where_it_stopped(model, options, tmp_path):
    steps = []
    for options.max_train_steps in (1, 2):
        train(model, options)
        steps.append(torch.load(tmp_path / "out/checkpoint.pt", weights_only=True))
    assert [state["step"] for state in steps] == [1, 2]
    assert steps[1]["optimizer_0"]["state"][0]["step"] == 2
    pipe = DiffusionPipeline.from_pretrained(tmp_path / "out")
    assert model.denoiser in pipe.components
    assert pipe.text_encoder.dtype == torch.float32  # written in the form that all versions read


@pytest.mark.parametrize(("stills_every", "expected"), [(3, [True, False, False]), (0, [False] * 3)])
@pytest.mark.parametrize("model", [train_wan.TINY_WAN], ids=["wan"])
def test_single_frames_are_as_rare_as_asked(model, options, stills_every, expected):
    shapes = []

    def loss(pipe, frames, prompts):
        shapes.append(frames.shape)
        return model.loss(pipe, frames, prompts)

    options.max_train_steps, options.stills_every = 3, stills_every
    train(replace(model, loss=loss), options)
    of_stills, of_clips = (18, LATENT_CHANNELS, 1, 8, 8), (2, LATENT_CHANNELS, train_wan.NUM_FRAMES, 8, 8)
    assert shapes == [of_stills if is_stills else of_clips for is_stills in expected]


@pytest.mark.parametrize(
    ("model", "dimensions"),
    [(train_wan.TINY_WAN, {2}), (train_unet.TINY_T2V, {2, 4, 5})],  # matrices, kernels of frames and of time
    ids=["wan", "t2v"],
)
def test_muon_trains_the_matrices_and_kernels_of_the_blocks(model, dimensions, options, tmp_path):
    options.muon = True
    train(model, options)
    denoiser = model.make_pipeline(model.vae_class.from_pretrained(options.vae)).components[model.denoiser]
    expected = [value for name, value in denoiser.named_parameters() if "block" in name and name.endswith("weight")]
    expected = [value for value in expected if value.ndim > 1]  # no gains of normalizations
    states = torch.load(tmp_path / "out/checkpoint.pt", weights_only=True)["optimizer_1"]["state"]
    assert {state["momentum"].ndim for state in states.values()} == dimensions
    assert [states[number]["momentum"].shape for number in sorted(states)] == [value.shape for value in expected]


@pytest.mark.parametrize("model", [train_unet.TINY_T2V], ids=["t2v"])
def test_a_frozen_text_encoder_stays_as_it_is_while_the_denoiser_learns(model, options, tmp_path):
    initial = model.make_pipeline(model.vae_class.from_pretrained(options.vae))
    initial.save_pretrained(tmp_path / "initial")
    options.initial_weights, options.frozen_text_encoder, options.max_train_steps = tmp_path / "initial", True, 2
    train(model, options)  # a checkpoint after each step, which stores in half precision
    pipe = DiffusionPipeline.from_pretrained(tmp_path / "out")
    for name, kept in (("text_encoder", True), ("unet", False)):
        pairs = zip(getattr(initial, name).parameters(), getattr(pipe, name).parameters(), strict=True)
        assert all(torch.equal(before.half().float(), after) for before, after in pairs) is kept


def test_steps_draw_the_same_whatever_process_draws_them():
    batches = Batches(train_unet.TINY_T2V, num_clips=2, stills_every=3, seed=(0, 0))
    alone, together = (
        list(DataLoader(batches, batch_size=None, sampler=range(1, 5), num_workers=number)) for number in (0, 2)
    )
    assert [latents.shape[2] for latents, _ in alone] == [16, 16, 1, 16]
    for (latents, captions), (expected, expected_captions) in zip(together, alone, strict=True):
        assert torch.equal(latents, expected)
        assert captions == expected_captions
    assert not torch.equal(alone[0][0], alone[1][0])


@models
def test_words_keep_what_was_learned_of_them(model, options):
    vae = model.vae_class.from_pretrained(options.vae)
    pipe, other = model.make_pipeline(vae), model.make_pipeline(vae)
    words = pipe.tokenizer.get_vocab()
    load_matching({}, pipe, other)
    for word in ("and</w>", "▁and", "red</w>", "▁red"):
        if word in words:
            learned = other.text_encoder.get_input_embeddings().weight[words[word]]
            assert torch.equal(pipe.text_encoder.get_input_embeddings().weight[words[word]], learned)


@pytest.mark.parametrize("model", [train_wan.TINY_WAN], ids=["wan"])
def test_fine_tokens_start_from_what_coarse_ones_learned(model, options, tmp_path):
    coarse = train_wan.make_pipeline(AutoencoderKLWan.from_pretrained(options.vae), patch_size=2)
    coarse.save_pretrained(tmp_path / "coarse")
    options.initial_weights, options.learning_rate = tmp_path / "coarse", 0.0
    train(model, options)
    fine = DiffusionPipeline.from_pretrained(tmp_path / "out", dtype=torch.float32)
    assert fine.transformer.config.patch_size == [1, 1, 1]
    before, after = (pipe.transformer.state_dict() for pipe in (coarse, fine))
    other = {name for name in after if after[name].shape != before[name].shape}
    assert other == {"patch_embedding.weight", "proj_out.weight", "proj_out.bias"}
    for name in after.keys() - other:
        torch.testing.assert_close(after[name], before[name], atol=1e-3, rtol=1e-3)  # written as float16
    torch.testing.assert_close(
        fine.text_encoder.shared.weight, coarse.text_encoder.shared.weight, atol=1e-3, rtol=1e-3
    )


@pytest.fixture
def image_to_video():
    """A pipeline that begins with a picture, with the weights of tiny-wan."""
    skip_before(*TOKENIZERS)
    other = load_tiny_pipeline(TINY_WAN)
    pipe = train_wan_i2v.make_pipeline(other.vae)
    load_matching(train_wan_i2v.TINY_WAN_I2V.trained(pipe), pipe, other)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def test_what_the_pipeline_gives_of_a_picture_is_what_training_gives(image_to_video, monkeypatch):
    monkeypatch.setitem(GENERATION, "num_inference_steps", 1)
    scene = random_scene(np.random.default_rng(5), train_wan.NUM_FRAMES)
    expected = train_wan_i2v.first_frame(scene_latents(scene).transpose(0, 1)[None])
    inputs = []
    image_to_video.transformer.register_forward_pre_hook(
        lambda model, args, kwargs: inputs.append(kwargs["hidden_states"]), with_kwargs=True
    )
    with torch.no_grad():
        generate(image_to_video, ["a ring"], [0], pictures=(scene.render(slice(0, 1)) * 255).round().astype(np.uint8))
    given = inputs[0][:, image_to_video.vae.config.z_dim :]
    assert torch.equal(given[:, :2], expected[:, :2])
    assert (given - expected).abs().mean() < 0.1 * expected.std()


def test_the_first_latent_frame_counts_as_much_as_asked():
    pipe = load_tiny_pipeline(TINY_WAN)
    scene = random_scene(np.random.default_rng(5), train_wan.NUM_FRAMES)
    frames = scene_latents(scene).transpose(0, 1)[None]
    seen, losses = {}, []
    pipe.transformer.register_forward_hook(lambda model, inputs, output: seen.update(found=output.sample))
    for weight in (1.0, 8.0):
        torch.manual_seed(0)
        losses.append(train_wan.flow_matching_loss(pipe, frames, [scene.appearance.prompt], first_weight=weight))
    torch.manual_seed(0)
    torch.rand(())  # the draw of the text's length
    velocity = torch.randn_like(pair_frames(frames)) - pair_frames(frames)
    expected = (seen["found"] - velocity)[:, :, 0].square().mean() / velocity.shape[2]
    torch.testing.assert_close(losses[1] - losses[0], 7 * expected, rtol=1e-3, atol=1e-5)


def test_a_picture_has_no_effect_before_training(image_to_video):
    torch.manual_seed(0)
    other = load_tiny_pipeline(TINY_WAN)
    channels = other.vae.config.z_dim
    noise, given = torch.randn(1, channels, 3, 8, 8), torch.randn(1, channels + 2, 3, 8, 8)
    text, timestep = torch.randn(1, 5, 64), torch.tensor([500.0])
    with torch.no_grad():
        expected = other.transformer(noise, timestep, text).sample
        found = image_to_video.transformer(torch.cat([noise, given], 1), timestep, text).sample
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_each_clip_begins_with_its_own_picture(image_to_video, monkeypatch):
    monkeypatch.setitem(GENERATION, "num_inference_steps", 2)
    with torch.no_grad():
        weight = image_to_video.transformer.patch_embedding.weight
        added = weight[:, image_to_video.vae.config.z_dim :]
        added.copy_(weight.std() * torch.randn_like(added))
    pictures = np.stack([np.full((64, 64, 3), tone, np.uint8) for tone in (20, 220)])
    together = generate(image_to_video, ["a ring", "a bar"], [1, 2], num_frames=5, pictures=pictures)
    alone = generate(image_to_video, ["a bar"], [2], num_frames=5, pictures=pictures[1:])
    assert np.array_equal(together[1:], alone)
    other = generate(image_to_video, ["a bar"], [2], num_frames=5, pictures=pictures[:1])
    assert not np.array_equal(other, alone)
