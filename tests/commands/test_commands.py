"""The command `diffusers-motion-embed`: every subcommand, on real folders."""

import pytest
import torch
from PIL import Image

from diffusers_motion_embed import MotionEmbeddingConfig, __version__
from diffusers_motion_embed.__main__ import COMMANDS, main
from diffusers_motion_embed.errors import EmbeddingNotFoundError
from diffusers_motion_embed.storage.embedding import Embedding
from diffusers_motion_embed.storage.files import write_embedding
from tests.conftest import make_unet3d


@pytest.fixture(scope="module")
def unet():
    return make_unet3d()


def lines(text):
    return {line[:14].strip(): line[15:] for line in text.splitlines()}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: diffusers-motion-embed {command} ")


def test_an_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["learn"])
    assert "invalid choice: 'learn'" in capsys.readouterr().err


def test_the_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == __version__


def test_inspect_says_what_an_embedding_is(unet, embedding_folder, capsys):
    folder = embedding_folder(unet, base_model_name_or_path="you/base", height=64, width=96, timing=(0.5, 1.0))
    Image.new("RGB", (8, 8)).save(folder / "preview.gif")
    main(["inspect", str(folder)])
    found = lines(capsys.readouterr().out)
    size = (folder / "adapter_model.safetensors").stat().st_size
    assert found["base"] == "you/base (UNet3DConditionModel)"
    assert found["frames"] == "4"
    assert found["size"] == "96 x 64 pixels"
    assert found["parts"] == "qk, v"
    assert found["value grid"] == "2x2"
    assert found["layers"].split(": ")[0] == str(found["layers"].count(".attn"))
    assert found["timing"] == "0.5 to 1.0"
    assert found["bytes"] == f"{size:,}"
    assert found["previews"] == "preview.gif"


def test_inspect_counts_no_position_part_as_a_layer(tmp_path, capsys):
    config = MotionEmbeddingConfig(
        model_class="WanTransformer3DModel", num_frames=4, num_latent_frames=4, parts=("p",), target_modules=["rope"]
    )
    write_embedding(tmp_path / "path", Embedding(config, {"rope": {"p": torch.zeros(1, 1, 4, 3)}}))
    main(["inspect", str(tmp_path / "path")])
    found = lines(capsys.readouterr().out)
    assert (found["parts"], found["layers"], found["numbers"]) == ("p", "none", "12")


def test_inspect_of_nothing_ends_with_the_error_of_loading_in_words(tmp_path):
    with pytest.raises(SystemExit, match=r"^error: There is no file nothing in .*; it holds no files") as ended:
        main(["inspect", str(tmp_path / "nothing")])
    assert isinstance(ended.value.__cause__, EmbeddingNotFoundError)


def test_card_knows_the_users_folder(unet, embedding_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    embedding_folder(unet, "motion")
    main(["card", "~/motion"])
    assert (tmp_path / "motion/README.md").is_file()


def test_card_writes_a_card_once(unet, embedding_folder, capsys):
    folder = embedding_folder(unet, base_model_name_or_path="you/base")
    main(["card", str(folder), "--repo_id", "you/motion", "--license", "mit"])
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "license: mit" in text
    assert "load_motion_embedding('you/motion')" in text
    with pytest.raises(SystemExit):
        main(["card", str(folder)])
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert (folder / "README.md").read_text(encoding="utf-8") == text
    main(["card", str(folder), "--license", "apache-2.0", "--overwrite", "--base_model_name_or_path", "you/other"])
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in text
    assert "base_model: you/other" in text
    assert "from_pretrained('you/other'" in text
