"""Fixtures for tests that need a Hub.

`hub` is the Hub, `hub_client` points huggingface_hub (and diffusers, and this library) at it:

    def test_download(hub, hub_client):
        hub.commit("alice/box", {"config.json": b"{}"})
        hf_hub_download("alice/box", "config.json")
        assert hub.log.repeated == []

    def test_upload(hub, hub_client, folder):
        hub_client.login(hub.tokens.add("alice"))
        hub.faults.add("POST", "*/commit/*", lose_answer())
"""

import pytest

from tests.hub.client import pointed_at
from tests.hub.server import Hub


@pytest.fixture
def hub(tmp_path):
    """A Hub without repositories or users; a `server.Hub`.

    endpoint: Its address. `hub.storage_endpoint` is that of the storage of LFS.
    create_repo(repo_id, kind="model", private=False, gated=False, granted=()): Makes a repository with its first
        commit, returns it.
    commit(repo_id, {path: bytes or None}, revision="main"): Makes a commit (and what is missing for it: repository,
        branch), returns its id.
    read(repo_id, path, revision="main"), paths(repo_id, revision="main"): What a revision holds.
    repository(repo_id): The repository; `private`, `gated` and `granted` can be set on it, `history(revision)` and
        `refs("refs/pr/")` looked at.
    tokens: `tokens.add(name, role="write", organizations=())` makes a user, returns a token.
    faults: `faults.add(method, path pattern, fault, times=1)` with a fault of `faults.py`; `faults.pending`.
    log: A list of requests; `log.lines`, `log.of(method, path)`, `log.count(method, path)`, `log.commits`,
        `log.repeated`, `log.clear()`.
    close(): Be gone from the network.

    A test fails if its Hub had a failure of its own, as opposed to one that was planned.
    """
    server = Hub(tmp_path / "hub")
    yield server
    server.close()
    assert not server.errors, "\n".join(server.errors)


@pytest.fixture
def hub_client(hub, tmp_path):
    """huggingface_hub, pointed at `hub` until the end of the test, with an empty cache and no token.

    cache: Its folder.
    login(token), logout(): Who one is.
    go_offline(): As with HF_HUB_OFFLINE=1.
    set(NAME=value): Another constant of huggingface_hub, such as HF_HUB_DOWNLOAD_TIMEOUT.
    set_environment(NAME=value): An environment variable, or None to unset it.

    Processes that a test starts are pointed at it too, by the environment.
    """
    with pointed_at(hub.endpoint, tmp_path / "home") as client:
        yield client
