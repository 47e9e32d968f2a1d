"""Motion embeddings on the Hugging Face Hub: one call down, one commit up.

Names and meanings of the arguments are those of huggingface_hub, whose cache, resuming and retrying are used as they
are. What goes wrong there becomes an error that says what to do.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict, Unpack

from huggingface_hub import CommitOperationAdd, HfApi, constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from diffusers_motion_embed._compat import HF_URL_HOSTS, HfUriError, download_file, parse_hf_uri
from diffusers_motion_embed.errors import (
    EmbeddingAccessError,
    EmbeddingDownloadError,
    EmbeddingNotFoundError,
    EmbeddingUploadError,
)
from diffusers_motion_embed.storage.files import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    check_file_name,
    has_own_config,
    subfolder_hint,
)
from diffusers_motion_embed.values import expanded


# What a repository without a motion embedding is, by a file in it.
OTHER_KINDS = {
    "pytorch_lora_weights.safetensors": "a LoRA (load it with load_lora_weights)",
    "model_index.json": "a whole pipeline (load it with DiffusionPipeline.from_pretrained)",
    "motion_embed.pt": "a checkpoint of the method's authors, which has to be converted first",
    "diffusion_pytorch_model.safetensors": "a model (load it with from_pretrained of its class)",
    CONFIG_NAME: "a PEFT adapter of another kind",
}


class HubArguments(TypedDict, total=False):
    """The exact location of an embedding.

    Args:
        weight_name: Name of the safetensors file, if not the usual one.
        subfolder: Subfolder of the folder or repository.
        revision: Branch, tag or commit of the repository.
        token: Access token; None for the one that is logged in, False for none.
        cache_dir: Cache folder of huggingface_hub, if not the usual one.
        force_download: Download again even what is in the cache.
        local_files_only: Look only in the cache.
    """

    weight_name: str | None
    subfolder: str | None
    revision: str | None
    token: str | bool | None
    cache_dir: str | Path | None
    force_download: bool
    local_files_only: bool


def check_hub_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise a TypeError if an argument is not one of `HubArguments`."""
    known = HubArguments.__annotations__
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        dtype = "dtype" in unknown or "torch_dtype" in unknown
        hint = " An embedding needs no dtype: its numbers stay float32 and are added in the model's dtype."
        raise TypeError(f"Unknown arguments {', '.join(unknown)}; known: {', '.join(known)}.{hint if dtype else ''}")


def fetch_embedding(
    pretrained_model_name_or_path: str | Path, *, with_config: bool = True, **arguments: Unpack[HubArguments]
) -> Path:
    """Path of an embedding on this machine. It is downloaded first if it is on the Hub.

    Args:
        pretrained_model_name_or_path: A folder, a safetensors file, the id of a repository, "user/name", or its
            address, "https://huggingface.co/user/name", with or without "/tree/main/subfolder" or
            "/blob/main/name.safetensors".
        with_config: Whether the settings are fetched too if the file does not hold them. Inverted noise has none.
        **arguments: See `HubArguments`.

    Returns:
        Path of the safetensors file, or of a local folder.

    Raises:
        EmbeddingNotFoundError: If there is no such folder, repository, revision or file.
        EmbeddingAccessError: If the repository is gated and access was not granted.
        EmbeddingDownloadError: If the Hub cannot be reached, or the download fails.
        TypeError: If an argument is unknown.
        ValueError: If `weight_name` or `subfolder` points outside the folder.
    """
    check_hub_arguments(arguments)
    path, repo_id = expanded(pretrained_model_name_or_path), str(pretrained_model_name_or_path)
    if not path.exists():
        repo_id, arguments = _located(repo_id, arguments)
    weight_name, subfolder = arguments.pop("weight_name", None), arguments.get("subfolder")
    for name in (weight_name, subfolder):
        if name is not None:
            check_file_name(name)
    if path.exists() or not _is_repo_id(repo_id):
        return path / (subfolder or "") / weight_name if weight_name else path / (subfolder or "")
    weights = _download(repo_id, weight_name or WEIGHTS_NAME, **arguments)
    if with_config and not has_own_config(weights):
        with contextlib.suppress(EmbeddingNotFoundError):  # reading says what the file is instead
            _download(repo_id, CONFIG_NAME, **arguments)
    return weights


def create_repository(repo_id: str, *, private: bool | None = None, token: str | bool | None = None) -> str:
    """Create a repository unless it exists.

    Args:
        repo_id: "user/name", or "name" alone for a repository in your own account.
        private: Whether a new repository is private.
        token: Access token; None for the one that is logged in.

    Returns:
        Its full id.

    Raises:
        EmbeddingAccessError: If the Hub denies this user access.
        EmbeddingUploadError: If the Hub cannot be reached, or fails.
        ValueError: If a repository cannot have this name.
    """
    with _uploading(repo_id):
        return HfApi(token=token).create_repo(repo_id, private=private, exist_ok=True).repo_id


def upload_files(
    repo_id: str,
    files: Iterable[Path],
    *,
    token: str | bool | None = None,
    commit_message: str = "Upload motion embedding",
    create_pr: bool = False,
    keep: Iterable[str] = (),
) -> None:
    """Upload files to a repository in one commit.

    Args:
        repo_id: "user/name".
        files: What to upload, each under its own name.
        token: Access token; None for the one that is logged in.
        commit_message: Message of the commit.
        create_pr: Make a pull request instead of a commit to the main branch.
        keep: Names of files that are not uploaded if the repository has them already.

    Raises:
        EmbeddingAccessError: If the Hub denies this user access.
        EmbeddingUploadError: If the Hub cannot be reached, or fails. No file has changed there then.
    """
    with _uploading(repo_id):
        api = HfApi(token=token)
        kept = {name for name in keep if api.file_exists(repo_id, name)}
        operations = [CommitOperationAdd(file.name, file) for file in files if file.name not in kept]
        api.create_commit(repo_id, operations, commit_message=commit_message, create_pr=create_pr)


def collect_repositories(
    title: str,
    repo_ids: Iterable[str],
    *,
    namespace: str | None = None,
    private: bool = False,
    token: str | bool | None = None,
) -> str:
    """Put repositories of models into a collection of the Hub.

    Args:
        title: The collection's. If the account has one of this title already, repositories join it.
        repo_ids: "user/name" each. Those that are in the collection already stay where they are.
        namespace: The account that has the collection; by default that of `token`.
        private: Whether a new collection is private.
        token: Access token; None for the one that is logged in.

    Returns:
        Address of the collection.

    Raises:
        EmbeddingAccessError: If the Hub denies this user access.
        EmbeddingUploadError: If the Hub cannot be reached, or fails. Repositories named before may be in it then.
    """
    api, name = HfApi(token=token), f"the collection {title!r}"
    with _uploading(name):
        collection = api.create_collection(title, namespace=namespace, private=private, exists_ok=True)
    for repo_id in repo_ids:
        with _uploading(name, f"{repo_id} is not in it"):
            api.add_collection_item(collection.slug, repo_id, "model", exists_ok=True)
    return collection.url


@contextlib.contextmanager
def _uploading(place: str, state: str = "None of its files has changed") -> Iterator[None]:
    try:
        yield
    except HFValidationError as error:
        raise HFValidationError(f"{error} Give a name for the repository as repo_id.") from error
    # A RuntimeError wraps what went wrong with a large file; a ValueError wraps an answer that is not JSON.
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, LocalTokenNotFoundError) or status in (401, 403):
            raise EmbeddingAccessError(
                f"The Hub does not let you write to {place}: log in with `hf auth login` or give a token= that may."
            ) from error
        raise EmbeddingUploadError(f"Uploading to {place} failed ({error}). {state}; try again.") from error


def _located(name: str, arguments: HubArguments) -> tuple[str, HubArguments]:
    """The repository's id and the arguments that a Hub address stands for; anything else is returned unchanged."""
    if "://" not in name and name.partition("/")[0].lower() not in HF_URL_HOSTS:
        return name, arguments
    try:
        place = parse_hf_uri(name, endpoint=constants.ENDPOINT)
    except HfUriError as error:
        raise EmbeddingNotFoundError(
            f"{name} is not the address of a repository on the Hub ({error.msg}). Give its id, user/name, or the path "
            "of a folder."
        ) from error
    if place.type != "model":
        raise EmbeddingNotFoundError(f"{name} is a {place.type}; a motion embedding is in a model repository.")
    inside = PurePosixPath(place.path_in_repo)
    folder = inside.parent if inside.suffix else inside
    said: HubArguments = {}
    if place.revision:
        said["revision"] = place.revision
    if folder != PurePosixPath():
        said["subfolder"] = str(folder)
    if inside.suffix == ".safetensors":
        said["weight_name"] = inside.name
    contradicted = sorted(name for name, value in said.items() if arguments.get(name) not in (None, value))
    if contradicted:
        raise ValueError(f"{name} says another {', '.join(contradicted)} than the argument; leave one of them out.")
    return place.id, {**arguments, **said}


def _is_repo_id(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name  # a name without an owner is more likely a missing folder


def _download(repo_id: str, filename: str, **where: Any) -> Path:
    path = _download_once(repo_id, filename, **where)
    if _is_damaged(path) and not where.get("local_files_only"):
        path = _download_once(repo_id, filename, **{**where, "force_download": True})
    if _is_damaged(path):
        raise EmbeddingDownloadError(
            f"{filename} of {repo_id} was damaged on its way. Try again with force_download=True."
        )
    return path


def _is_damaged(path: Path) -> bool:
    # In the cache, a large file's name is the SHA-256 of its content, which huggingface_hub itself does not check.
    name = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", name) is None:
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() != name


def _download_once(repo_id: str, filename: str, **where: Any) -> Path:
    revision = where.get("revision") or "main"
    try:
        return Path(download_file(repo_id, filename, **where))
    except GatedRepoError as error:
        raise EmbeddingAccessError(
            f"{repo_id} is gated: ask for access on its page, then log in with `hf auth login` or give token=."
        ) from error
    except RepositoryNotFoundError as error:
        raise EmbeddingNotFoundError(
            f"There is no folder {repo_id}, and no such repository on the Hub. If it is private, log in with "
            "`hf auth login` or give token=."
        ) from error
    except RevisionNotFoundError as error:
        raise EmbeddingNotFoundError(f"{repo_id} has no revision {revision!r}.") from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        asked = "looking there was not allowed" if where.get("local_files_only") else "the Hub cannot be reached"
        raise EmbeddingDownloadError(
            f"{filename} of {repo_id}, revision {revision}, is not in the cache, and {asked}. Check the connection "
            "and the environment variables HF_HUB_OFFLINE and HF_ENDPOINT, or give the path of a folder."
        ) from error
    except EntryNotFoundError as error:
        raise EmbeddingNotFoundError(_missing_file_message(repo_id, filename, **where)) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise EmbeddingAccessError(f"The Hub refuses {repo_id} ({status}): check token=.") from error
        raise EmbeddingDownloadError(
            f"The Hub answered {status} for {filename} of {repo_id}: try again later."
        ) from error
    # A RuntimeError wraps what went wrong with xet; ValueError: force_download without a connection.
    except (HTTPError, OSError, RuntimeError, ValueError) as error:
        raise EmbeddingDownloadError(f"Downloading {filename} of {repo_id} failed ({error}). Try again.") from error


def _missing_file_message(repo_id: str, filename: str, **where: Any) -> str:
    message = f"{repo_id} has no file {'/'.join(filter(None, (where.get('subfolder'), filename)))}"
    try:
        names = HfApi(token=where.get("token")).list_repo_files(repo_id, revision=where.get("revision"))
    except (HTTPError, OSError):
        return f"{message}."
    folder = f"{where['subfolder']}/" if where.get("subfolder") else ""
    kind = next((kind for name, kind in OTHER_KINDS.items() if folder + name in names), None)
    if kind:
        return f"{message}: it is {kind}."
    if filename in names:
        return f"{message}; there is one outside of subfolders: leave out subfolder={where['subfolder']!r}."
    subfolders = sorted(name.removesuffix(f"/{filename}") for name in names if name.endswith(f"/{filename}"))
    return f"{message}; it holds {', '.join(sorted(names)[:20]) or 'no files'}.{subfolder_hint(subfolders)}"
