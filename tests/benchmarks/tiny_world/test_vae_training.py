"""Autoencoders are led to their latents by heads that ask layers on the way."""

from argparse import Namespace

import numpy as np
import pytest
import torch

from benchmarks.tiny_world.train_vae import FRAME_VAE
from benchmarks.tiny_world.train_wan_vae import CLIP_VAE
from benchmarks.tiny_world.vae_training import HintHeads, relative_error, train


both = pytest.mark.parametrize("autoencoder", [FRAME_VAE, CLIP_VAE], ids=["frames", "clips"])


@both
def test_heads_are_asked_in_encoder_and_decoder(autoencoder):
    torch.manual_seed(0)
    vae = autoencoder.make_vae()
    pixels, latents, hints = (each[None] for each in autoencoder.draw(np.random.default_rng(0)))
    heads = HintHeads(vae, autoencoder.num_hints)
    vae.encode(pixels), vae.decode(latents)
    with torch.no_grad():
        for head in heads.heads.values():
            head.weight.zero_()
            head.bias.fill_(0.25)
    assert heads.error(hints).item() == pytest.approx((hints - 0.25).abs().mean().item(), rel=1e-5)


@both
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_what_heads_ask_for_reaches_the_layers_before_them(autoencoder, part):
    vae = autoencoder.make_vae()
    pixels, latents, hints = (each[None] for each in autoencoder.draw(np.random.default_rng(0)))
    heads = HintHeads(vae, autoencoder.num_hints)
    for _ in range(2):  # what was heard in one step is forgotten in the next
        vae.encode(pixels), vae.decode(latents)
        heads.error(hints).backward()
    layer = {"encoder": vae.encoder.conv_in, "decoder": vae.decoder.conv_in}[part]
    assert layer.weight.grad.abs().sum() > 0


@both
def test_heads_are_not_part_of_the_autoencoder(autoencoder):
    vae = autoencoder.make_vae()
    names = set(vae.state_dict())
    HintHeads(vae, autoencoder.num_hints)
    assert set(vae.state_dict()) == names


@both
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_one_part_learns_from_what_both_were(autoencoder, part, tmp_path):
    before = autoencoder.make_vae()
    before.save_pretrained(tmp_path / "before")
    options = Namespace(
        output_dir=tmp_path / "after",
        initial_weights=tmp_path / "before",
        parts=[part],
        max_train_steps=1,
        train_batch_size=1,
        learning_rate=1e-3,
        seed=0,
    )
    train(autoencoder, options)
    after = type(before).from_pretrained(tmp_path / "after").state_dict()
    changed = {
        name.split(".")[0] for name, weight in before.state_dict().items() if not torch.equal(weight, after[name])
    }
    assert changed == {"encoder": {"encoder", "quant_conv"}, "decoder": {"decoder", "post_quant_conv"}}[part]


def test_errors_count_in_units_of_their_channel():
    latents = torch.tensor([2.0, 0.2]).view(1, 2, 1, 1).expand(3, 2, 4, 4)
    assert relative_error(latents * 1.5, latents).item() == pytest.approx(0.5 + 0.25)
    absent = torch.zeros(1, 1, 2, 2)
    assert relative_error(absent + 0.05, absent).item() == pytest.approx(2.0)
