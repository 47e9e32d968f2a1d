"""Loading from the Hub: real client, real server, every way in which it can fail."""

import pytest
import torch
from safetensors.torch import load, save

from diffusers_motion_embed import (
    EmbeddingAccessError,
    EmbeddingDownloadError,
    EmbeddingFileError,
    EmbeddingNotFoundError,
    IncompatibleEmbeddingError,
    MotionEmbeddingError,
    concatenate_motion_embeddings,
    load_inverted_noise,
    reverse_motion_embedding,
    save_inverted_noise,
)
from diffusers_motion_embed.storage.files import read_embedding
from tests.helpers import NUM_FRAMES, assert_unchanged, generate, snapshot
from tests.hub.faults import corrupt, cut, hang_up, refuse, resize


REPO = "alice/skate"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"


@pytest.fixture
def files(text_to_video, embedding_folder):
    """The files of a repository, by name."""
    folder = embedding_folder(text_to_video.unet)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def expected(text_to_video, embedding_folder):
    """The clip with the embedding of a local folder."""
    text_to_video.load_motion_embedding(embedding_folder(text_to_video.unet))
    clip = generate(text_to_video)
    text_to_video.unload_motion_embedding()
    return clip


@pytest.fixture
def pipe(text_to_video):
    return text_to_video


def test_a_repository_is_loaded_like_a_folder_with_few_requests(pipe, hub, hub_client, files, expected):
    hub.commit(REPO, files)
    hub.log.clear()
    report = pipe.load_motion_embedding(REPO, "skate")
    assert report.adapter_name == "skate"
    assert torch.equal(generate(pipe), expected)
    assert hub.log.count("*", f"*{CONFIG}") == 0  # the header of the weights has it all
    assert hub.log.repeated == []
    pipe.unload_motion_embedding()
    hub.log.clear()
    pipe.load_motion_embedding(REPO)
    assert [method for method, *_ in hub.log.lines] == ["HEAD"]
    assert torch.equal(generate(pipe), expected)


def test_what_is_in_the_cache_needs_no_network(pipe, hub, hub_client, files, expected):
    hub.commit(REPO, files)
    pipe.load_motion_embedding(REPO, "online")
    hub.log.clear()
    pipe.load_motion_embedding(REPO, "cached", local_files_only=True)
    hub_client.go_offline()
    pipe.load_motion_embedding(REPO, "offline")
    assert hub.log.lines == []
    assert torch.equal(generate(pipe), expected)


def test_noise_in_the_cache_needs_no_network_and_no_settings(hub, hub_client, tmp_path):
    noise = torch.randn(1, 4, 2, 8, 8)
    path = save_inverted_noise(tmp_path, noise)
    hub.commit(REPO, {path.name: path.read_bytes()})
    assert torch.equal(load_inverted_noise(REPO), noise)
    assert not any(CONFIG in str(line) for line in hub.log.lines)
    hub.log.clear()
    assert torch.equal(load_inverted_noise(REPO, local_files_only=True), noise)
    hub_client.go_offline()
    assert torch.equal(load_inverted_noise(REPO), noise)
    assert hub.log.lines == []
    with pytest.raises(EmbeddingDownloadError, match=r"inverted_noise\.safetensors of .* is not in the cache"):
        load_inverted_noise("alice/other", local_files_only=True)


def test_revision_subfolder_weight_name_token_and_cache_mean_what_they_mean_elsewhere(
    pipe, hub, hub_client, files, expected, embedding_folder, tmp_path
):
    other = (embedding_folder(pipe.unet, "other", seed=9) / WEIGHTS).read_bytes()
    hub.create_repo(REPO, private=True)
    first = hub.commit(REPO, {f"motions/{name}": content for name, content in files.items()})
    hub.commit(REPO, {f"motions/{WEIGHTS}": other, "motions/renamed.safetensors": files[WEIGHTS]})
    token = hub.tokens.add("alice")
    with pytest.raises(EmbeddingNotFoundError, match="private"):
        pipe.load_motion_embedding(REPO, subfolder="motions")
    where = {"subfolder": "motions", "token": token, "cache_dir": tmp_path / "cache"}
    pipe.load_motion_embedding(REPO, "renamed", weight_name="renamed.safetensors", **where)
    assert torch.equal(generate(pipe), expected)
    pipe.load_motion_embedding(REPO, "newest", **where)
    assert not torch.equal(generate(pipe), expected)
    pipe.load_motion_embedding(REPO, "first", revision=first, **where)
    assert torch.equal(generate(pipe), expected)
    assert (tmp_path / "cache" / "models--alice--skate").is_dir()


@pytest.mark.parametrize(
    "address",
    [
        "https://huggingface.co/{}/tree/main/motions",
        "https://huggingface.co/{}/blob/main/motions/adapter_model.safetensors?download=true",
        "huggingface.co/{}/tree/main/motions/",
        "hf.co/{}/resolve/main/motions/renamed.safetensors",
        "hf://{}@main/motions",
        "{endpoint}/{}/blob/main/motions/adapter_config.json",
    ],
)
def test_an_address_is_the_place_that_it_names(pipe, hub, hub_client, files, expected, address):
    hub.commit(REPO, {f"motions/{name}": content for name, content in files.items()})
    hub.commit(REPO, {"motions/renamed.safetensors": files[WEIGHTS]})
    pipe.load_motion_embedding(address.format(REPO, endpoint=hub.endpoint))
    assert torch.equal(generate(pipe), expected)


@pytest.mark.parametrize(
    ("content", "arguments", "error", "message"),
    [
        (None, {}, EmbeddingNotFoundError, "no folder alice/skate, and no such repository"),
        ({"README.md": b""}, {"revision": "v2"}, EmbeddingNotFoundError, "no revision 'v2'"),
        ({"README.md": b""}, {}, EmbeddingNotFoundError, rf"no file {WEIGHTS}; it holds .*README\.md"),
        ({"pytorch_lora_weights.safetensors": b"x"}, {}, EmbeddingNotFoundError, "it is a LoRA"),
        ({"model_index.json": b"{}"}, {}, EmbeddingNotFoundError, "it is a whole pipeline"),
        ({WEIGHTS: b"not a safetensors file"}, {}, EmbeddingFileError, "not a complete safetensors file"),
        ({"README.md": b""}, {"weight_name": "a.safetensors"}, EmbeddingNotFoundError, r"no file a\.safetensors"),
        ({"README.md": b""}, {"subfolder": "sub"}, EmbeddingNotFoundError, f"no file sub/{WEIGHTS}"),
        (
            {WEIGHTS: b"", "adapter_config.json": b"{}"},
            {"subfolder": "sub"},
            EmbeddingNotFoundError,
            f"no file sub/{WEIGHTS}; there is one outside of subfolders: leave out subfolder='sub'",
        ),
        ({f"walk/{WEIGHTS}": b""}, {}, EmbeddingNotFoundError, "subfolders walk have one: give subfolder='walk'"),
        ({"README.md": b""}, {"subfolder": "../sub"}, ValueError, "inside"),
        ({"README.md": b""}, {"weight_name": "/etc/passwd"}, ValueError, "inside"),
        ({"README.md": b""}, {"weight": "a.safetensors"}, TypeError, "weight_name"),
        ({"README.md": b""}, {"local_files_only": True}, EmbeddingDownloadError, "not in the cache"),
    ],
)
def test_what_cannot_be_had_is_told_apart(pipe, hub, hub_client, content, arguments, error, message):
    if content is not None:
        hub.commit(REPO, content)
    before, clip = snapshot(pipe.unet), generate(pipe)
    with pytest.raises(error, match=message):
        pipe.load_motion_embedding(REPO, **arguments)
    assert_unchanged(pipe.unet, before)
    assert torch.equal(generate(pipe), clip)


def test_a_gated_repository_says_where_to_ask(pipe, hub, hub_client, files):
    hub.commit(REPO, files)
    hub.repository(REPO).gated = True
    hub_client.login(hub.tokens.add("bob"))
    with pytest.raises(EmbeddingAccessError, match="ask for access"):
        pipe.load_motion_embedding(REPO)


def test_without_a_network_the_error_says_so(pipe, hub, hub_client):
    hub.close()
    with pytest.raises(EmbeddingDownloadError, match="cannot be reached"):
        pipe.load_motion_embedding(REPO)


def test_another_model_class_is_an_error_and_another_checkpoint_a_warning(
    pipe, hub, hub_client, make_embedding, embedding_folder, tmp_path
):
    folder = embedding_folder(pipe.unet, "other-class")
    text = (folder / CONFIG).read_text()
    weights = (folder / WEIGHTS).read_bytes()
    hub.commit(
        REPO, {WEIGHTS: weights.replace(b"UNet3DConditionModel", b"UNet2DConditionModel"), CONFIG: text.encode()}
    )
    with pytest.raises(IncompatibleEmbeddingError, match="UNet2DConditionModel"):
        pipe.load_motion_embedding(REPO)
    pipe.unet.register_to_config(_name_or_path="someone/base")
    folder = embedding_folder(pipe.unet, "other-base", base_model_name_or_path="someone/else")
    hub.commit("alice/second", {WEIGHTS: (folder / WEIGHTS).read_bytes()})
    with pytest.warns(UserWarning, match="trained on someone/else"):
        pipe.load_motion_embedding("alice/second")


def test_the_file_of_a_repository_may_have_its_settings_beside_it(pipe, hub, hub_client, files, expected, tmp_path):
    hub.commit(REPO, {WEIGHTS: save(load(files[WEIGHTS])), CONFIG: files[CONFIG]})  # as PEFT writes them
    hub.log.clear()
    pipe.load_motion_embedding(REPO)
    assert torch.equal(generate(pipe), expected)
    assert hub.log.repeated == []


FAULTS = {
    "cut": ("GET", cut(after=100)),
    "cut-hard": ("GET", cut(after=100, reset=True)),
    "busy": ("HEAD", refuse(503, retry_after=0)),
    "too-many": ("HEAD", refuse(429, retry_after=0)),
    "broken": ("HEAD", refuse(500)),
    "hang-up": ("GET", hang_up()),
    "corrupt": ("GET", corrupt()),
    "shorter": ("GET", resize(-10)),
    "longer": ("GET", resize(10)),
    "forbidden": ("HEAD", refuse(403)),
    "unauthorized": ("GET", refuse(401)),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
def test_after_a_fault_all_is_well_or_as_before(pipe, hub, hub_client, files, expected, name, times):
    method, fault = FAULTS[name]
    hub.commit(REPO, files)
    hub.faults.add(method, f"*{WEIGHTS}*", fault, times)
    before, clip = snapshot(pipe.unet), generate(pipe)
    try:
        pipe.load_motion_embedding(REPO)
    except MotionEmbeddingError:
        assert_unchanged(pipe.unet, before)
        assert torch.equal(generate(pipe), clip)
    else:
        assert times == 1
        assert torch.equal(generate(pipe), expected)
        pipe.unload_motion_embedding()
    hub.faults.clear()
    pipe.load_motion_embedding(REPO)
    assert torch.equal(generate(pipe), expected)


def test_new_embeddings_are_made_of_repositories(hub, hub_client, files, tmp_path):
    hub.commit(REPO, files)
    first = hub.commit(REPO, {"note.txt": b"later"}, revision="second")
    backward = reverse_motion_embedding(REPO, tmp_path / "backward", revision=first)
    both = concatenate_motion_embeddings([REPO, backward], tmp_path / "both")
    config, tensors = read_embedding(both)
    assert config.num_frames == 2 * NUM_FRAMES
    for parts in tensors.values():
        for tensor in parts.values():
            forward, mirrored = tensor.split(NUM_FRAMES, dim=-2)
            torch.testing.assert_close(mirrored.flip(-2), forward)
