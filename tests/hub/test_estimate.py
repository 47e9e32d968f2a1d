"""What a base will need in memory is told from its settings alone."""

from diffusers_motion_embed.estimate import estimate_memory
from tests.conftest import make_text_to_video


def test_no_weights_are_downloaded(hub, hub_client, tmp_path):
    pipe = make_text_to_video()
    pipe.save_pretrained(tmp_path / "base")
    paths = [path for path in (tmp_path / "base").rglob("*") if path.is_file()]
    hub.commit("alice/base", {str(path.relative_to(tmp_path / "base")): path.read_bytes() for path in paths})
    estimate = estimate_memory("alice/base", 4, 16, 16)
    assert estimate.weights["unet"] == sum(parameter.nbytes for parameter in pipe.unet.parameters())
    assert not any("safetensors" in line or "tokenizer/" in line for line in hub.log.lines)
