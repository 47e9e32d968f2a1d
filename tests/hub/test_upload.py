"""Uploading to the Hub: one commit, nothing but what is named, and all of it comes back."""

import getpass

import pytest
import torch
from huggingface_hub import ModelCard

from diffusers_motion_embed import AdapterNameError, EmbeddingAccessError, EmbeddingUploadError, save_inverted_noise
from tests.helpers import generate
from tests.hub.faults import hang_up, refuse
from tests.versions import since


REPO = "alice/skate"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@pytest.fixture
def alice(hub, hub_client):
    token = hub.tokens.add("alice")
    hub_client.login(token)
    return token


@pytest.fixture
def pipe(text_to_video, embedding_folder):
    settings = {
        "base_model_name_or_path": "someone/base",
        "generation": {"prompt": 'a blue circle: "round"', "fps": 8, "num_inference_steps": 12, "guidance_scale": 2.0},
        "training": {"prompt": "a red | square", "seed": 0},
    }
    text_to_video.load_motion_embedding(embedding_folder(text_to_video.unet, **settings), "skate")
    return text_to_video


def test_what_was_pushed_comes_back_and_is_one_commit(pipe, hub, alice):
    clip = generate(pipe)
    hub.create_repo(REPO)
    commits = len(hub.repository(REPO).history("main"))
    hub.log.clear()
    pipe.push_motion_embedding_to_hub(REPO, commit_message="Skating")
    assert len(hub.repository(REPO).history("main")) == commits + 1
    assert hub.log.repeated == []
    assert sorted(set(hub.paths(REPO)) - {".gitattributes"}) == ["README.md", CONFIG, WEIGHTS]
    pipe.unload_motion_embedding()
    pipe.load_motion_embedding(REPO)
    assert torch.equal(generate(pipe), clip)


def test_saving_can_push_what_it_saved_and_nothing_else(pipe, hub, alice, tmp_path):
    folder = tmp_path / "my-motion"
    folder.mkdir()
    (folder / "optimizer.pt").write_bytes(b"secret")
    (folder / "preview.mp4").write_bytes(b"video")
    (folder / "checkpoint-2").mkdir()
    (folder / "checkpoint-2" / WEIGHTS).write_bytes(b"older")
    pipe.save_motion_embedding(folder, push_to_hub=True, private=True)
    repo_id = "alice/my-motion"  # the name of the folder
    assert hub.repository(repo_id).private
    assert sorted(set(hub.paths(repo_id)) - {".gitattributes"}) == ["README.md", CONFIG, WEIGHTS, "preview.mp4"]
    for name in (WEIGHTS, CONFIG):
        assert hub.read(repo_id, name) == (folder / name).read_bytes()
    assert not (folder / "README.md").exists()


def test_noise_is_pushed_on_request_alone(pipe, hub, alice, tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no inverted_noise"):
        pipe.save_motion_embedding(tmp_path / "motion", push_to_hub=True, repo_id=REPO, with_inverted_noise=True)
    with pytest.raises(ValueError, match=r"Keep it in one with save_inverted_noise.*with_inverted_noise=True"):
        pipe.push_motion_embedding_to_hub(REPO, with_inverted_noise=True)
    assert not (tmp_path / "motion").exists()
    save_inverted_noise(tmp_path / "motion", torch.ones(1, 4, 4, 8, 8))
    pipe.save_motion_embedding(tmp_path / "motion", push_to_hub=True, repo_id=REPO)
    assert "inverted_noise.safetensors" not in hub.paths(REPO)
    pipe.save_motion_embedding(tmp_path / "motion", push_to_hub=True, repo_id=REPO, with_inverted_noise=True)
    assert "inverted_noise.safetensors" in hub.paths(REPO)


@pytest.mark.parametrize("name", ["preview.mp4", "README.md"])
def test_a_link_out_of_the_folder_is_not_followed(pipe, hub, alice, tmp_path, name):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "motion").mkdir()
    (tmp_path / "motion" / name).symlink_to(tmp_path / "secret")
    hub.log.clear()
    with pytest.raises(ValueError, match=f"{name} is a link out of the folder"):
        pipe.save_motion_embedding(tmp_path / "motion", push_to_hub=True, repo_id=REPO)
    assert not hub.log.commits


def test_nothing_about_the_machine_is_published(pipe, hub, alice, tmp_path):
    pipe.save_motion_embedding(tmp_path / "motion", push_to_hub=True, repo_id=REPO)
    everything = b"\n".join(hub.read(REPO, path) for path in hub.paths(REPO))
    for private in (str(tmp_path), str(tmp_path.parent), "/tmp", "/home"):
        assert private.encode() not in everything
    assert alice.encode() not in everything
    assert f"/{getpass.getuser()}/".encode() not in everything


@since("huggingface_hub", "2.0", "asks no Hub but huggingface.co whether a card is valid")
def test_the_card_is_valid_and_names_base_and_preview(pipe, hub, alice, tmp_path):
    folder = tmp_path / "motion"
    folder.mkdir()
    (folder / "preview.gif").write_bytes(b"picture")
    pipe.save_motion_embedding(folder, push_to_hub=True, repo_id=REPO, license="mit")
    card = ModelCard(hub.read(REPO, "README.md").decode())
    card.validate()  # by the Hub
    assert card.data.base_model == "someone/base"
    assert card.data.base_model_relation == "adapter"
    assert card.data.license == "mit"
    assert card.data.library_name == "diffusers"
    assert "template:sd-lora" in card.data.tags
    assert card.data.widget == [{"text": 'a blue circle: "round"', "output": {"url": "preview.gif"}}]
    assert f"pipe.load_motion_embedding('{REPO}')" in card.text


def test_a_card_that_is_there_is_kept_unless_the_folder_has_one(pipe, hub, alice, tmp_path):
    hub.commit(REPO, {"README.md": b"# Mine"})
    pipe.push_motion_embedding_to_hub(REPO)
    assert hub.read(REPO, "README.md") == b"# Mine"
    folder = tmp_path / "motion"
    folder.mkdir()
    (folder / "README.md").write_text("# Newer\n")
    pipe.save_motion_embedding(folder, push_to_hub=True, repo_id=REPO)
    assert hub.read(REPO, "README.md") == b"# Newer\n"
    assert (folder / "README.md").read_text() == "# Newer\n"


def test_a_pull_request_leaves_the_main_branch_alone(pipe, hub, alice):
    hub.create_repo(REPO)
    before = hub.paths(REPO)
    pipe.push_motion_embedding_to_hub(REPO, create_pr=True)
    assert hub.paths(REPO) == before
    pipe.load_motion_embedding(REPO, "reviewed", revision="refs/pr/1")
    assert pipe.get_active_motion_embeddings() == ["reviewed"]


def test_the_token_may_be_given(pipe, hub, hub_client):
    pipe.push_motion_embedding_to_hub(REPO, token=hub.tokens.add("alice"))
    assert WEIGHTS in hub.paths(REPO)


@pytest.mark.parametrize(
    ("method", "path", "fault", "error"),
    [
        ("POST", "*/commit/*", refuse(403), EmbeddingAccessError),
        ("POST", "*/preupload/*", refuse(500), EmbeddingUploadError),
        ("POST", "*/commit/*", hang_up(), EmbeddingUploadError),
        ("POST", "/api/repos/create", refuse(500), EmbeddingUploadError),
        ("PUT", "/lfs/*", refuse(400), EmbeddingUploadError),
    ],
)
def test_a_push_that_fails_has_changed_nothing_and_can_be_repeated(
    pipe, hub, alice, tmp_path, method, path, fault, error
):
    hub.create_repo(REPO)
    before, clip = len(hub.repository(REPO).history("main")), generate(pipe)
    hub.faults.add(method, path, fault, times=None)
    with pytest.raises(error, match=REPO):
        pipe.save_motion_embedding(tmp_path / "motion", push_to_hub=True, repo_id=REPO)
    assert len(hub.repository(REPO).history("main")) == before
    hub.faults.clear()
    pipe.save_motion_embedding(tmp_path / "motion", push_to_hub=True, repo_id=REPO)
    assert len(hub.repository(REPO).history("main")) == before + 1
    assert torch.equal(generate(pipe), clip)


def test_without_a_token_the_error_says_how_to_log_in(pipe, hub, hub_client):
    with pytest.raises(EmbeddingAccessError, match="hf auth login"):
        pipe.push_motion_embedding_to_hub(REPO)


def test_an_unknown_embedding_is_an_error_before_anything_is_sent(pipe, hub, alice):
    hub.log.clear()
    with pytest.raises(AdapterNameError):
        pipe.push_motion_embedding_to_hub(REPO, "nobody")
    assert hub.log.lines == []
