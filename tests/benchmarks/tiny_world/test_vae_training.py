"""Autoencoders are led to their latents by heads that ask layers on the way."""

import numpy as np
import pytest
import torch

from benchmarks.tiny_world.train_vae import FRAME_VAE
from benchmarks.tiny_world.train_wan_vae import CLIP_VAE
from benchmarks.tiny_world.vae_training import HintHeads


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
