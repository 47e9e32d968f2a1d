"""Motions to the Hub and back, for visitors whose tokens are nobody else's."""

import logging

import pytest
import torch

from diffusers_motion_embed.storage.files import read_embedding, write_embedding
from tests.examples.app.conftest import NEEDS


pytest.importorskip("gradio", reason=NEEDS)
import gradio as gr

from examples.app.sharing import Sharing


@pytest.fixture
def sharing(workshop, visitors):
    return Sharing(workshop, visitors)


@pytest.fixture
def motion(visitors, key, workshop, make_embedding):
    embedding = make_embedding(workshop.pipe.unet)
    embedding.config.generation["prompt"] = "a ring"
    folder = write_embedding(visitors.of(key).new_motion("dance"), embedding)
    for suffix in ("mp4", "gif"):
        (folder / f"preview.{suffix}").write_bytes(b"moving")
    (folder / "reference.webp").write_bytes(b"a secret")
    return folder


def everything_in(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_what_is_shown_is_uploaded_and_the_token_stays_nowhere(
    hub, hub_client, sharing, visitors, motion, key, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    token = hub.tokens.add("alice")
    shown = sharing.look(key, "dance", "alice/dance", "apache-2.0")
    said, field = sharing.push(key, "dance", "alice/dance", "apache-2.0", False, token)
    assert "alice/dance" in said
    assert field == ""
    uploaded = set(hub.paths("alice/dance")) - {".gitattributes"}
    assert uploaded == {"README.md", "adapter_config.json", "adapter_model.safetensors", "preview.gif", "preview.mp4"}
    assert all(f"`{name}`" in shown for name in uploaded)
    assert "a secret" not in shown
    card = hub.read("alice/dance", "README.md").decode()
    assert "(preview.gif)" in card
    assert shown.count("![a ring](data:image/gif;base64,bW92aW5n)") == 1  # the page has no such file beside it
    assert "<Gallery />" in card
    assert "<Gallery />" not in shown
    assert card[card.index("## Use it") :] in shown
    secret = token.encode()
    assert secret not in everything_in(visitors.root)
    assert secret not in everything_in(hub_client.cache.parent)
    assert secret not in (caplog.text + "".join(capfd.readouterr())).encode()


def test_a_motion_of_the_hub_comes_into_the_library(hub, hub_client, sharing, visitors, motion, key):
    sharing.push(key, "dance", "alice/dance", "other", True, hub.tokens.add("alice"))
    hub_client.login(hub.tokens.add("alice"))  # the server's own login is not the visitors'
    with pytest.raises(gr.Error, match="alice/dance"):
        sharing.load(key, "alice/dance", "")
    said, field = sharing.load(key, f"{hub.endpoint}/alice/dance", hub.tokens.add("alice"))
    assert field == ""
    assert "dance-2" in said
    first, second = (read_embedding(visitors.of(key).motion(name)).tensors for name in ("dance", "dance-2"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[path][part], second[path][part]) for path in first for part in first[path])


@pytest.mark.parametrize(
    "name", ["{}", "../{}", "~/motions", "dance", "", "https://example.com/alice/dance", "a/../.."]
)
def test_only_the_hub_is_loaded_from(hub, hub_client, sharing, visitors, motion, key, name):
    with pytest.raises(gr.Error):
        sharing.load(key, name.format(motion), "")
    assert visitors.of(key).names() == ["dance"]


def test_uploading_needs_a_token_of_the_visitors(hub, hub_client, sharing, motion, key):
    hub_client.login(hub.tokens.add("server"))
    with pytest.raises(gr.Error, match="token of yours"):
        sharing.push(key, "dance", "server/dance", "other", False, " ")
    with pytest.raises(gr.Error, match="does not let you write"):
        sharing.push(key, "dance", "server/dance", "other", False, hub.tokens.add("alice"))
    assert hub.log.commits == []


def test_a_file_of_a_motion_comes_into_the_library(sharing, visitors, motion, key, tmp_path):
    (tmp_path / "wrong.safetensors").write_bytes(b"nothing")
    with pytest.raises(gr.Error, match=r"wrong\.safetensors") as raised:
        sharing.take(key, str(tmp_path / "wrong.safetensors"))
    assert str(tmp_path) not in raised.value.message
    sharing.take(key, str(motion / "adapter_model.safetensors"))
    assert visitors.of(key).names() == ["adapter_model", "dance"]
    sharing.delete(key, "dance")
    assert visitors.of(key).names() == ["adapter_model"]
