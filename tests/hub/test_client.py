"""Pointing huggingface_hub at the Hub of the tests: all of it, and for no longer than the test."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import diffusers.loaders.lora_base
import diffusers.utils.hub_utils
import huggingface_hub.utils._cache_manager
import huggingface_hub.utils._http
import pytest
from huggingface_hub import HfApi, constants, get_token, hf_api, hf_hub_download, model_info, scan_cache_dir
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from tests.hub.client import PACKAGES, pointed_at
from tests.hub.server import Hub


def state() -> dict:
    """What could leak: all constants, wherever they are known, the environment, and the calls' own HfApi."""
    names = {name for name in vars(constants) if name.isupper()}
    found = {
        (module.__name__, name): vars(module)[name]
        for key, module in list(sys.modules.items())
        if isinstance(module, types.ModuleType) and key.partition(".")[0] in PACKAGES
        for name in names & vars(module).keys()
    }
    return {"constants": found, "environment": dict(os.environ), "endpoint": hf_api.api.endpoint}


def test_nothing_is_left_behind(tmp_path):
    before = state()
    assert constants.HF_HUB_OFFLINE  # of the whole suite
    hub = Hub(tmp_path / "hub")
    with pointed_at(hub.endpoint, tmp_path / "home") as client:
        client.set(DOWNLOAD_CHUNK_SIZE=7)
        client.login(hub.tokens.add("alice"))
        client.go_offline()
        changed = state()
        session = huggingface_hub.utils._http.get_session()
    hub.close()
    assert changed["constants"] != before["constants"]
    assert changed["environment"] != before["environment"]
    assert changed["endpoint"] == hub.endpoint
    assert state() == before
    assert getattr(session, "is_closed", True)  # those of huggingface_hub before 1.0 do not say it
    assert huggingface_hub.utils._http.get_session() is not session


def test_nothing_is_left_behind_after_a_failure(tmp_path):
    before = state()
    with pytest.raises(ZeroDivisionError), pointed_at("http://127.0.0.1:1", tmp_path):
        1 / 0  # noqa: B018
    assert state() == before


def test_a_module_that_is_imported_meanwhile_forgets_too(tmp_path, monkeypatch):
    with pointed_at("http://127.0.0.1:1", tmp_path):
        late = types.ModuleType("diffusers.late")
        late.ENDPOINT, late.HF_HUB_OFFLINE, late.HF_TOKEN_PATH = constants.ENDPOINT, constants.HF_HUB_OFFLINE, "mine"
        monkeypatch.setitem(sys.modules, "diffusers.late", late)
    assert (late.ENDPOINT, late.HF_HUB_OFFLINE) == (constants.ENDPOINT, constants.HF_HUB_OFFLINE)
    assert late.HF_TOKEN_PATH == "mine"


def test_the_suite_is_offline_elsewhere():
    with pytest.raises(OfflineModeIsEnabled):
        HfApi().model_info("alice/box")


def test_every_copy_of_a_constant_is_changed(hub, hub_client):
    assert not constants.HF_HUB_OFFLINE
    assert not diffusers.loaders.lora_base.HF_HUB_OFFLINE
    assert not diffusers.utils.hub_utils.HF_HUB_OFFLINE
    assert str(hub_client.cache) == huggingface_hub.utils._cache_manager.HF_HUB_CACHE
    hub_client.go_offline()
    assert constants.HF_HUB_OFFLINE
    assert diffusers.loaders.lora_base.HF_HUB_OFFLINE
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_the_cache_is_the_tests_own(hub, hub_client):
    hub.commit("alice/box", {"config.json": b"{}"})
    path = Path(hf_hub_download("alice/box", "config.json"))
    assert path.is_relative_to(hub_client.cache)
    assert [repository.repo_id for repository in scan_cache_dir().repos] == ["alice/box"]


def test_nobody_is_logged_in_at_first(hub, hub_client):
    assert get_token() is None
    token = hub.tokens.add("alice")
    hub_client.login(token)
    assert get_token() == token
    hub_client.logout()
    assert get_token() is None


def test_a_token_of_the_machine_does_not_come_along(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_machine")
    hub.create_repo("alice/box")
    with pointed_at(hub.endpoint, tmp_path):
        model_info("alice/box")
    assert "authorization" not in hub.log[0].headers
    assert os.environ["HF_TOKEN"] == "hf_of_the_machine"


def test_the_client_asks_for_nothing_but_what_it_is_told_to(hub, hub_client):
    hub.create_repo("alice/box")
    model_info("alice/box")
    assert hub.log.lines == [("GET", "/api/models/alice/box", 200)]
    assert "torch/" not in hub.log[0].headers["user-agent"]  # a sign of its telemetry, which comes with more requests


def test_offline(hub, hub_client):
    hub.commit("alice/box", {"config.json": b"{}", "other.json": b"{}"})
    path = hf_hub_download("alice/box", "config.json")
    hub.log.clear()
    hub_client.go_offline()
    assert hf_hub_download("alice/box", "config.json") == path
    with pytest.raises(LocalEntryNotFoundError) as error:
        hf_hub_download("alice/box", "other.json")
    assert isinstance(error.value.__cause__, OfflineModeIsEnabled)
    assert hub.log == []


def test_another_process_is_pointed_at_it_too(hub, hub_client):
    hub.commit("alice/box", {"config.json": b"{}"})
    hub_client.login(hub.tokens.add("alice"))
    program = "import huggingface_hub as h; print(h.hf_hub_download('alice/box', 'config.json'), h.whoami()['name'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    path, name = done.stdout.split()
    assert json.loads(Path(path).read_text()) == {}
    assert Path(path).is_relative_to(hub_client.cache)
    assert name == "alice"
    assert {entry.user for entry in hub.log} == {"alice"}
    assert [entry.method for entry in hub.log] == ["HEAD", "HEAD", "GET", "GET"]
