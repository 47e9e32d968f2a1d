"""Points huggingface_hub at another Hub for a while.

It reads its environment once, when it is imported, and keeps it in `huggingface_hub.constants`; some of its modules,
and of the libraries on top of it, copy a constant under the same name. There is also one `HfApi` at its heart, behind
functions such as `huggingface_hub.create_repo`, that keeps the address of the Hub, and a pool of connections. All of
these are changed together, and put back together.
"""

import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from huggingface_hub import constants, hf_api
from huggingface_hub.utils import _http

from diffusers_motion_embed import _compat


# The packages that may have copied a constant. Others could have one of the same name that means something else.
PACKAGES = ("huggingface_hub", "diffusers", "diffusers_motion_embed", "peft", "transformers")
# Of the machine the tests run on, which must not reach them.
UNSET = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE", "TRANSFORMERS_OFFLINE", "HUGGINGFACE_CO_STAGING")
# Before huggingface_hub 1.0, there is no function for streams, and sessions are reset.
BACKOFFS = [getattr(_http, name) for name in ("http_backoff", "http_stream_backoff") if hasattr(_http, name)]
close_session = getattr(_http, "close_session", None) or _http.reset_sessions


class Client:
    """The settings of huggingface_hub while it is pointed at a Hub.

    Args:
        endpoint: Address of the Hub.
        home: A folder for the cache and the token.
    """

    def __init__(self, endpoint: str, home: Path):
        self.cache = home / "hub"
        self._token = home / "token"
        self._undo = pytest.MonkeyPatch()
        self._changed: dict[str, object] = {}
        self._modules = {id(module) for module in _modules()}
        host = endpoint.removeprefix("http://").split(":")[0]
        self.set(
            ENDPOINT=endpoint,
            HUGGINGFACE_CO_URL_TEMPLATE=endpoint + "/{repo_id}/resolve/{revision}/{filename}",
            HF_URL_HOSTS=_compat.HF_URL_HOSTS | {host},
            HF_HUB_OFFLINE=False,
            HF_HUB_CACHE=str(self.cache),
            HUGGINGFACE_HUB_CACHE=str(self.cache),
            HF_ASSETS_CACHE=str(home / "assets"),
            HUGGINGFACE_ASSETS_CACHE=str(home / "assets"),
            HF_XET_CACHE=str(home / "xet"),
            HF_TOKEN_PATH=str(self._token),
            HF_STORED_TOKENS_PATH=str(home / "stored_tokens"),
            HF_HUB_DISABLE_IMPLICIT_TOKEN=False,
            HF_HUB_DISABLE_XET=True,  # see api.py
            HF_HUB_DISABLE_TELEMETRY=True,  # it would ask the Hub for a list of programs once in a while
            HF_HUB_DISABLE_PROGRESS_BARS=True,
        )
        self._undo.setattr(hf_api.api, "endpoint", endpoint)
        # For processes that a test starts, and for what reads the environment later.
        self.set_environment(
            HF_ENDPOINT=endpoint,
            HF_HOME=str(home),
            HF_HUB_CACHE=str(self.cache),
            HF_TOKEN_PATH=str(self._token),
            HF_HUB_OFFLINE="0",
            HF_HUB_DISABLE_XET="1",
            HF_HUB_DISABLE_TELEMETRY="1",
            HF_HUB_DISABLE_PROGRESS_BARS="1",
            **dict.fromkeys(UNSET),
            **{name: ",".join(filter(None, (os.environ.get(name), host))) for name in ("NO_PROXY", "no_proxy")},
        )
        # No certificate is trusted: nothing gets out of a test by https, and a client is made in no time.
        nothing = home / "certificates"
        nothing.mkdir(parents=True, exist_ok=True)
        self.set_environment(SSL_CERT_FILE=None, SSL_CERT_DIR=str(nothing))
        for backoff in BACKOFFS:  # as often as ever, without half a minute of waiting
            self._undo.setitem(inspect.unwrap(backoff).__kwdefaults__, "base_wait_time", 0.01)
        close_session()  # connections know nothing of other settings

    def set(self, **values: object) -> None:
        """Set constants of huggingface_hub until the end, wherever they are known by the same name."""
        before = {name: _constant(name) for name in values}
        for module in _modules():
            for name in before.keys() & vars(module).keys():
                if vars(module)[name] == before[name]:
                    self._undo.setattr(module, name, values[name])
        self._changed.update(values)

    def set_environment(self, **values: str | None) -> None:
        """Set environment variables until the end, or unset them with None."""
        for name, value in values.items():
            if value is None:
                self._undo.delenv(name, raising=False)
            else:
                self._undo.setenv(name, value)

    def login(self, token: str) -> None:
        """Be whoever the token belongs to, as after `hf auth login`."""
        self._token.parent.mkdir(parents=True, exist_ok=True)
        self._token.write_text(token)

    def logout(self) -> None:
        self._token.unlink(missing_ok=True)

    def go_offline(self) -> None:
        """Be as if HF_HUB_OFFLINE were set."""
        self.set(HF_HUB_OFFLINE=True)
        self.set_environment(HF_HUB_OFFLINE="1")
        close_session()  # before huggingface_hub 1.0, one that was made online stays so

    def close(self) -> None:
        close_session()
        self._undo.undo()
        for module in _modules():
            if id(module) not in self._modules:  # imported meanwhile, it has copied what is over now
                for name in self._changed.keys() & vars(module).keys():
                    if vars(module)[name] == self._changed[name]:
                        setattr(module, name, _constant(name))


@contextmanager
def pointed_at(endpoint: str, home: Path) -> Iterator[Client]:
    """Point huggingface_hub at a Hub, with a cache and a token of its own in a folder."""
    client = Client(endpoint, home)
    try:
        yield client
    finally:
        client.close()


def _constant(name: str) -> object:
    """Its value; where an older version has none of that name, that of the bridge, or None."""
    return getattr(constants, name, getattr(_compat, name, None))


def _modules() -> list[ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith(PACKAGES) and isinstance(module, ModuleType)
    ]
