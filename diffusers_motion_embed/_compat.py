"""What older versions of huggingface_hub, diffusers, PEFT and transformers lack, and nothing else.

Every bridge says with which version it can go. `tests/packaging/test_versions.py` has the versions that are supported.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Any
from urllib.parse import unquote, urlsplit

import torch
from diffusers.loaders import peft
from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from packaging.version import Version


__all__ = [
    "HF_URL_HOSTS",
    "HfUriError",
    "download_file",
    "dtype_argument",
    "parse_hf_uri",
    "pooled",
    "take_lora_scales",
    "tuner_refusal",
]


def dtype_argument(dtype: torch.dtype) -> dict[str, Any]:
    """The argument of diffusers' `from_pretrained` for a dtype (diffusers 0.40)."""
    return {"torch_dtype" if Version(version("diffusers")) < Version("0.40") else "dtype": dtype}


def take_lora_scales(model_class: type) -> None:
    """Let `set_adapters` scale LoRAs on a class that diffusers does not list for it (diffusers 0.39)."""
    scales: dict[str, Any] = peft._SET_ADAPTER_SCALE_FN_MAPPING
    scales.setdefault(model_class.__name__, lambda model, weights: weights)


def pooled(features: Any) -> torch.Tensor:
    """The vectors in what a CLIP model's `get_image_features` and `get_text_features` give (transformers 5)."""
    return getattr(features, "pooler_output", features)


def tuner_refusal() -> str | None:
    """Why `get_peft_model` cannot make a motion embedding here (PEFT 0.21); None where it can.

    Earlier versions do not ask the tuner for the keys of a file, and write those of all adapters into one.
    """
    found = version("peft")
    if Version(found) >= Version("0.21"):
        return None
    return (
        f"PEFT's own calls need PEFT 0.21 or newer for motion embeddings, and this is {found}. Upgrade PEFT, or use "
        "load_motion_embedding(), which works with it."
    )


def download_file(repo_id: str, filename: str, **where: Any) -> str:
    """`hf_hub_download` with what goes wrong as in huggingface_hub 2.4.

    If a download brought more than the file has, earlier versions ask for what follows the end of the file, and are
    refused, until they are told to forget what they have. Without a connection, some try again with a closed client.
    """
    try:
        return hf_hub_download(repo_id, filename, **where)
    except HfHubHTTPError as error:
        # Before huggingface_hub 1.0, a file that is missing in the cache is such an error too, without a response.
        if getattr(error.response, "status_code", None) != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return hf_hub_download(repo_id, filename, **{**where, "force_download": True})
    except RuntimeError as error:
        if "client has been closed" not in str(error):
            raise
        raise LocalEntryNotFoundError(str(error)) from error


_KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
_REVISION = r"(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+)"
_ID = rf"(?:(?P<kind>{'|'.join(_KINDS)})/)?(?P<id>[\w.-]+/[\w.-]+)"
_URI = re.compile(rf"{_ID}(?:@{_REVISION})?(?:/(?P<path>.+))?")
_URL = re.compile(rf"/{_ID}(?:/(?:tree|blob|resolve|raw)/{_REVISION}(?:/(?P<path>.+))?)?/?")
_HOSTS = frozenset({"hf.co", "huggingface.co", urlsplit(constants.ENDPOINT).hostname or "huggingface.co"})


class AddressError(ValueError):
    """An address is not one of the Hub."""

    def __init__(self, uri: str, msg: str) -> None:
        super().__init__(f"Invalid address {uri}: {msg}")
        self.msg = msg


@dataclass(frozen=True)
class HubAddress:
    """A place on the Hub.

    Args:
        type: "model", "dataset" or "space".
        id: The repository, user/name.
        revision: Branch, tag or commit, if stated.
        path_in_repo: A folder or file in it; empty if none is stated.
    """

    type: str
    id: str
    revision: str | None
    path_in_repo: str


def parse_address(uri: str, endpoint: str | None = None) -> HubAddress:
    """What an hf:// address or a web address of the Hub stands for.

    Raises:
        AddressError: If it is neither.
    """
    if uri.startswith("hf://"):
        found = _URI.fullmatch(uri.removeprefix("hf://"))
    else:
        parts = urlsplit(uri if "://" in uri else f"https://{uri}")
        found = _URL.fullmatch(parts.path) if parts.hostname in _HOSTS | {urlsplit(endpoint or "").hostname} else None
    if found is None:
        raise AddressError(uri, "it does not name a repository, user/name, and at most a revision and a path in it")
    revision = found["revision"] and unquote(found["revision"])
    return HubAddress(_KINDS[found["kind"] or "models"], found["id"], revision, unquote(found["path"] or ""))


try:  # with huggingface_hub 1.20, all of the above can go
    from huggingface_hub import parse_hf_uri
    from huggingface_hub.constants import HF_URL_HOSTS
    from huggingface_hub.errors import HfUriError
except ImportError:
    HF_URL_HOSTS, HfUriError, parse_hf_uri = _HOSTS, AddressError, parse_address  # type: ignore[misc,assignment]
