"""`diffusers-motion-embed push`: folders become repositories, and a collection, without any base model."""

import pytest
from huggingface_hub import get_collection

from diffusers_motion_embed import EmbeddingNotFoundError, push_embedding_folder
from diffusers_motion_embed.__main__ import main
from tests.conftest import make_unet3d
from tests.hub.faults import refuse


FILES = ["README.md", "adapter_config.json", "adapter_model.safetensors"]
TITLE = "Tiny motions"


@pytest.fixture(scope="module")
def unet():
    return make_unet3d()


@pytest.fixture
def folders(unet, embedding_folder):
    """Two embeddings, the first with a card of its own and a file that is nobody's business."""
    made = [embedding_folder(unet, name) for name in ("eight", "wave")]
    (made[0] / "README.md").write_text("---\nlicense: mit\n---\nMine.\n", encoding="utf-8")
    (made[0] / "notes.txt").write_text("secret", encoding="utf-8")
    return made


@pytest.fixture
def alice(hub, hub_client):
    hub_client.login(hub.tokens.add("alice", organizations=("studio",)))


def test_folders_become_repositories_of_a_collection(hub, alice, folders, capsys):
    for _ in range(2):  # the second time, all is there already
        main(["push", *map(str, folders), "--namespace", "studio", "--collection", TITLE])
    said = capsys.readouterr().out
    (collection,) = hub.collections.values()
    assert f"studio/eight\nstudio/wave\nThey are in {hub.endpoint}/collections/{collection.slug}\n" in said
    assert [item.item_id for item in get_collection(collection.slug).items] == ["studio/eight", "studio/wave"]
    for folder in folders:
        repo_id = f"studio/{folder.name}"
        assert sorted(set(hub.paths(repo_id)) - {".gitattributes"}) == FILES
        assert hub.read(repo_id, FILES[2]) == (folder / FILES[2]).read_bytes()
        assert not hub.repository(repo_id).private
    assert hub.read("studio/eight", "README.md") == (folders[0] / "README.md").read_bytes()


def test_one_embedding_to_a_repository_of_another_name(hub, alice, folders):
    main(["push", str(folders[1]), "--repo_id", "alice/ocean", "--license", "mit", "--private"])
    assert hub.repository("alice/ocean").private
    assert "license: mit" in hub.read("alice/ocean", "README.md").decode()
    assert not hub.collections


def test_a_folder_is_pushed_under_its_own_name(hub, alice, folders):
    assert push_embedding_folder(folders[1]) == "alice/wave"
    assert sorted(set(hub.paths("alice/wave")) - {".gitattributes"}) == FILES


def test_noise_that_is_not_there_is_missed_before_anything_is_uploaded(hub, alice, folders):
    with pytest.raises(EmbeddingNotFoundError, match="There is no inverted_noise"):
        push_embedding_folder(folders[1], with_inverted_noise=True)
    assert hub.log.lines == []


def test_a_folder_that_is_no_embedding_stops_all_before_the_first_upload(hub, alice, folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=r"error: There is no file adapter_model\.safetensors in .*empty"):
        main(["push", *map(str, folders), str(tmp_path / "empty")])
    assert hub.log.lines == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--repo_id", "alice/x"], "--repo_id is for one embedding"), (["."], "their repositories need other names")],
)
def test_names_that_cannot_be(folders, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(folders[0])
    with pytest.raises(SystemExit):
        main(["push", *map(str, folders), *arguments])
    assert words in capsys.readouterr().err


def test_whose_collection(hub, alice, folders):
    """The repository may be written, the collection may not."""
    hub.faults.add("POST", "/api/collections", refuse(403))
    with pytest.raises(SystemExit, match=f"error: .*write to the collection '{TITLE}'"):
        main(["push", str(folders[0]), "--collection", TITLE])


def test_a_collection_that_was_filled_by_half_is_filled_the_next_time(hub, alice, folders):
    arguments = ["push", *map(str, folders), "--collection", TITLE]
    hub.faults.add("POST", "*/items", refuse(500))
    with pytest.raises(SystemExit, match="alice/eight is not in it; try again"):
        main(arguments)
    main(arguments)
    (collection,) = hub.collections.values()
    assert [item["id"] for item in collection.items] == ["alice/eight", "alice/wave"]


def test_a_folder_whose_name_no_repository_can_have_asks_for_another(hub, alice, folders):
    folder = folders[1].rename(folders[1].with_name("my motion"))
    with pytest.raises(ValueError, match="Give a name for the repository as repo_id"):
        push_embedding_folder(folder)
    assert push_embedding_folder(folder, "my-motion") == "alice/my-motion"
    assert FILES[2] in hub.paths("alice/my-motion")
