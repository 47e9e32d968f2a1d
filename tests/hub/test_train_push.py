"""The training script uploads what it made, with a preview; nothing else of its folder."""

import pytest
import torch
from huggingface_hub import ModelCard

from diffusers_motion_embed import load_inverted_noise
from tests.conftest import make_text_to_video
from tests.examples.test_train_script import REFERENCE, run


@pytest.mark.parametrize("noise", [(), ("--save_inverted_noise",)], ids=["plain", "with-noise"])
def test_a_trained_embedding_is_pushed_with_its_preview(hub, hub_client, tmp_path, noise):
    make_text_to_video().save_pretrained(tmp_path / "base")
    done = run(
        *("--pretrained_model_name_or_path", tmp_path / "base", "--reference_video", REFERENCE),
        *("--prompt", "a red square", "--output_dir", tmp_path / "out", "--num_frames", 4),
        *("--height", 16, "--width", 16, "--max_train_steps", 2, "--checkpointing_steps", 1),
        *("--validation_prompt", "a blue circle", "a red cross", "--num_inference_steps", 2),
        *("--push_to_hub", "--hub_model_id", "alice/skate", "--hub_token", hub.tokens.add("alice")),
        *noise,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(set(hub.paths("alice/skate")) - {".gitattributes"}) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        *(["inverted_noise.safetensors"] if noise else []),
        "preview.gif",
        "preview.mp4",
    ]
    assert len(hub.log.commits) == 1
    card = ModelCard(hub.read("alice/skate", "README.md").decode())
    assert [entry["text"] for entry in card.data.widget] == ["a blue circle", "a blue circle"]
    assert "TextToVideoSDPipeline.from_pretrained('base'" in card.text
    assert card.text.count("\n| 2 | ") == 1  # what the two prompts' clips measure
    assert str(tmp_path).encode() not in hub.read("alice/skate", "README.md")
    if noise:
        found = load_inverted_noise("alice/skate")
        assert found.shape == (1, 4, 4, 8, 8)
        assert torch.equal(found, load_inverted_noise(tmp_path / "out"))
