"""Saving a loaded motion embedding, and uploading it to the Hub."""

import tempfile
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch
from diffusers.models.modeling_utils import ModelMixin

from diffusers_motion_embed.adapter.choice import choose_embeddings
from diffusers_motion_embed.adapter.registry import embedding_tensors, registry_of
from diffusers_motion_embed.architectures import component_name
from diffusers_motion_embed.errors import AdapterNameError, EmbeddingNotFoundError
from diffusers_motion_embed.storage.embedding import Embedding, EmbeddingTensors
from diffusers_motion_embed.storage.files import (
    CONFIG_NAME,
    NOISE_NAME,
    WEIGHTS_NAME,
    read_embedding,
    write_embedding,
)
from diffusers_motion_embed.storage.hub import create_repository, upload_files
from diffusers_motion_embed.storage.model_card import CARD_NAME, make_model_card, preview_files
from diffusers_motion_embed.values import expanded


def save_motion_embedding(
    pipe_or_model: Any,
    save_directory: str | Path,
    adapter_name: str | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    max_error: float | None = None,
    push_to_hub: bool = False,
    repo_id: str | None = None,
    license: str = "other",
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str = "Upload motion embedding",
    create_pr: bool = False,
    with_inverted_noise: bool = False,
) -> Path:
    """Save a motion embedding as a folder that `load_motion_embedding` and `PeftModel.from_pretrained` read.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        save_directory: Folder to write; an embedding that is there already is replaced.
        adapter_name: Which one; the only active one by default.
        dtype: Dtype of the stored numbers; half precision halves the file.
        max_error: Compact form: every number becomes one of a few levels, as few as keep the relative error of each
            part at or below this. 0.25 takes a tenth of the bytes, see docs/file_format.md. None stores all numbers in
            full.
        push_to_hub: Upload it too: the two files of the embedding, `README.md` (the folder's own, or else a generated
            model card, unless the repository has one), and files of the folder named preview, such as `preview.mp4`.
            Nothing else leaves the machine.
        repo_id: Id of the repository; by default the folder's name, in the account of `token`.
        license: License for the model card, an identifier as on the Hub.
        private: Whether a new repository is private.
        token: Access token; None for the one that is logged in.
        commit_message: Message of the single commit.
        create_pr: Make a pull request instead of a commit to the main branch.
        with_inverted_noise: Upload the folder's `inverted_noise.safetensors` too. It reveals something of what the
            reference showed.

    Returns:
        The folder.

    Raises:
        AdapterNameError: If the name is unknown, or none is given and not exactly one is active.
        EmbeddingAccessError: If the Hub denies this user access.
        EmbeddingNotFoundError: If inverted noise is to be uploaded and there is none.
        EmbeddingUploadError: If the Hub cannot be reached, or fails.
        NotADirectoryError: If a file is in the folder's place. Nothing is written then.
        IsADirectoryError: If a folder is in the place of one of its files. Nothing is written then.
        ValueError: If `max_error` is not from 0 to 1, or a file to be uploaded is a link out of the folder.
    """
    if with_inverted_noise:
        _check_noise(save_directory)
    model, name = _only_one(choose_embeddings(pipe_or_model, adapter_name))
    config = registry_of(model).loaded[name].config
    config = config.changed(component=component_name(model) or config.component)
    embedding = Embedding(config, embedding_tensors(model, name))
    folder = write_embedding(save_directory, embedding, dtype=dtype, max_error=max_error)
    if push_to_hub:
        push_embedding_folder(
            folder,
            repo_id,
            license=license,
            private=private,
            token=token,
            commit_message=commit_message,
            create_pr=create_pr,
            with_inverted_noise=with_inverted_noise,
        )
    return folder


class UploadArguments(TypedDict, total=False):
    """How an embedding is stored and uploaded, with the meanings and defaults of `save_motion_embedding`."""

    dtype: torch.dtype
    max_error: float | None
    license: str
    private: bool | None
    token: str | bool | None
    commit_message: str
    create_pr: bool


def push_motion_embedding_to_hub(
    pipe_or_model: Any,
    repo_id: str,
    adapter_name: str | None = None,
    *,
    with_inverted_noise: bool = False,
    **arguments: Unpack[UploadArguments],
) -> None:
    """Upload a motion embedding to the Hub without keeping a folder.

    Args:
        pipe_or_model: A diffusers video pipeline, or its model.
        repo_id: Id of the repository, which is created if needed.
        adapter_name: Which one; the only active one by default.
        with_inverted_noise: Refused, because inverted noise is a file of the embedding's folder.
        **arguments: How it is stored and uploaded, as in `save_motion_embedding`: `dtype`, `max_error`, `license`,
            `private`, `token`, `commit_message`, `create_pr`.

    Raises:
        AdapterNameError: If the name is unknown, or none is given and not exactly one is active.
        EmbeddingAccessError: If the Hub denies this user access.
        EmbeddingUploadError: If the Hub cannot be reached, or fails.
        TypeError: If an argument is unknown.
        ValueError: If inverted noise is requested, or `max_error` is not from 0 to 1.
    """
    if with_inverted_noise:
        raise ValueError(
            "Without a folder there is no inverted noise to upload. Keep it in one with save_inverted_noise(folder, "
            f"noise), and call save_motion_embedding(folder, push_to_hub=True, repo_id={repo_id!r}, "
            "with_inverted_noise=True)."
        )
    with tempfile.TemporaryDirectory() as folder:
        save_motion_embedding(pipe_or_model, folder, adapter_name, push_to_hub=True, repo_id=repo_id, **arguments)


def push_embedding_folder(
    folder: str | Path,
    repo_id: str | None = None,
    *,
    license: str = "other",
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str = "Upload motion embedding",
    create_pr: bool = False,
    with_inverted_noise: bool = False,
) -> str:
    """Upload a saved motion embedding, without its base model.

    Args:
        folder: What training or `save_motion_embedding` wrote. What of it is uploaded is said there, at `push_to_hub`.
        repo_id: Id of the repository; by default the folder's name, in the account of `token`.
        license: License for a generated model card, an identifier as on the Hub.
        private: Whether a new repository is private.
        token: Access token; None for the one that is logged in.
        commit_message: Message of the single commit.
        create_pr: Make a pull request instead of a commit to the main branch.
        with_inverted_noise: Upload the folder's `inverted_noise.safetensors` too. It reveals something of what the
            reference showed.

    Returns:
        Full id of the repository.

    Raises:
        EmbeddingAccessError: If the Hub denies this user access.
        EmbeddingFileError: If the folder's embedding is damaged.
        EmbeddingNotFoundError: If there is none, or if inverted noise is to be uploaded and there is none.
        EmbeddingUploadError: If the Hub cannot be reached, or fails.
        ValueError: If a file to be uploaded is a link out of the folder.
    """
    folder = expanded(folder)
    config = read_embedding(folder).config
    if with_inverted_noise:
        _check_noise(folder)
    extra, previews = [folder / NOISE_NAME] if with_inverted_noise else [], preview_files(folder)
    own_card = folder / CARD_NAME
    for path in (*previews, *extra, own_card):
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path} is a link out of the folder and is not uploaded; put the file itself there.")
    prompt = str(config.generation.get("prompt", ""))
    repo_id = create_repository(repo_id or folder.resolve().name, private=private, token=token)
    with tempfile.TemporaryDirectory() as card_folder:
        card = Path(card_folder, CARD_NAME)
        make_model_card(config, repo_id, [(path.name, prompt) for path in previews], license).save(card)
        shown = own_card if own_card.exists() else card
        upload_files(
            repo_id,
            [folder / CONFIG_NAME, folder / WEIGHTS_NAME, *extra, *previews, shown],
            token=token,
            commit_message=commit_message,
            create_pr=create_pr,
            keep=[] if own_card.exists() else [CARD_NAME],
        )
    return repo_id


def _check_noise(folder: str | Path) -> None:
    if not (expanded(folder) / NOISE_NAME).is_file():
        raise EmbeddingNotFoundError(f"There is no {NOISE_NAME} in {folder}; keep it there with save_inverted_noise.")


def _only_one(chosen: list[tuple[ModelMixin, list[str]]]) -> tuple[ModelMixin, str]:
    """The one embedding that is chosen. Copies of it on several models are one, see `load_motion_embedding`."""
    found = [(model, name) for model, names in chosen for name in names]
    names = [name for _, name in found]
    if len(found) == 1 or (len(set(names)) == 1 and _are_copies([embedding_tensors(*each) for each in found])):
        return found[0]
    hint = "give its model instead of the pipeline" if len(set(names)) == 1 else "say which by adapter_name"
    raise AdapterNameError(f"This works with one motion embedding, and there are {names}; {hint}.")


def _are_copies(embeddings: list[EmbeddingTensors]) -> bool:
    """Whether all have the same numbers, on whatever devices."""
    first, *others = (
        {(path, part): tensor.cpu() for path, parts in each.items() for part, tensor in parts.items()}
        for each in embeddings
    )
    return all(
        each.keys() == first.keys() and all(torch.equal(each[key], first[key]) for key in first) for each in others
    )
