"""The tab in which motions are shared: what would be uploaded, the upload, motions of others."""

import tempfile
from pathlib import Path
from typing import Any

from huggingface_hub import constants

from diffusers_motion_embed import EmbeddingNotFoundError, MotionEmbeddingConfig, push_embedding_folder
from diffusers_motion_embed.storage.files import CONFIG_NAME, WEIGHTS_NAME
from diffusers_motion_embed.storage.model_card import CARD_NAME, make_model_card, preview_files
from examples.app.drawing import inline
from examples.app.speaking import words
from examples.app.visitors import Visitors
from examples.app.workshop import Workshop


class Sharing:
    """What the tab does, without its looks. A token goes to the Hub and nowhere else.

    Args:
        workshop: The base pipeline.
        visitors: The visitors' folders.
    """

    def __init__(self, workshop: Workshop, visitors: Visitors) -> None:
        self.workshop, self.visitors = workshop, visitors

    def look(self, key: str, name: str | None, repo_id: str, license: str) -> str:
        """What would be uploaded, and the card, as Markdown."""
        if name is None:
            return "Learn a motion first, or load one."
        with words(), tempfile.TemporaryDirectory() as folder:
            files = self._files(key, name, repo_id or f"you/{name}", license, Path(folder))
            rows = [f"| `{path.name}` | {path.stat().st_size / 1000:.1f} kB |" for path in files]
            card = (Path(folder) / CARD_NAME).read_text().split("---\n", 2)[2]
            card = _with_previews(card, [path for path in files if path.stem == "preview"])
        return "\n".join(["| file | size |", "| --- | ---: |", *rows, "", "---", card])

    def push(
        self, key: str, name: str | None, repo_id: str, license: str, private: bool, token: str
    ) -> tuple[str, str]:
        """Upload a motion. Says where it is, and empties the token's field."""
        with words():
            check_token(token)
            repo_id = push_embedding_folder(
                self.visitors.of(key).motion(name),
                repo_id.strip(),
                license=license.strip() or "other",
                private=private,
                token=token.strip(),
            )
        return f"The motion is at [{repo_id}]({constants.ENDPOINT}/{repo_id}).", ""

    def load(self, key: str, repo_id: str, token: str) -> tuple[str, str]:
        """Load a motion of the Hub. Says what it is called here, and empties the token's field."""
        with words(), tempfile.TemporaryDirectory(dir=self.visitors.temporary) as cache:
            target = self.visitors.of(key).new_motion(repo_id.strip("/ ").rpartition("/")[2])
            # Without a token of the visitor's, none is sent: the server's own is not theirs.
            self.workshop.keep(address(repo_id), target, token=token.strip() or False, cache_dir=cache)
        return f"The motion is in your library as **{target.name}**.", ""

    def take(self, key: str, path: str) -> tuple[str, Any]:
        """Take an uploaded file of a motion into the library, and empty its field."""
        with words():
            target = self.visitors.of(key).new_motion(Path(path).stem)
            self.workshop.keep(path, target)
        return f"The motion is in your library as **{target.name}**.", None

    def delete(self, key: str, name: str | None) -> str:
        """Delete a motion from the library."""
        with words():
            self.visitors.of(key).delete(name)
        return f"{name} is deleted."

    def _files(self, key: str, name: str | None, repo_id: str, license: str, folder: Path) -> list[Path]:
        """What is uploaded; the card is written to a folder."""
        motion = self.visitors.of(key).motion(name)
        config = MotionEmbeddingConfig.from_pretrained(str(motion))
        previews = preview_files(motion)
        shown = [(path.name, str(config.generation.get("prompt", ""))) for path in previews]
        make_model_card(config, repo_id.strip(), shown, license.strip() or "other").save(folder / CARD_NAME)
        return [motion / CONFIG_NAME, motion / WEIGHTS_NAME, *previews, folder / CARD_NAME]


def _with_previews(card: str, previews: list[Path]) -> str:
    """The card as a reader of the repository sees it: a moving picture in the text, in place of files beside it."""
    for path in previews:
        if path.suffix == ".gif":
            card = card.replace(f"({path.name})", f"({inline(path.read_bytes(), 'gif')})")
    return card.replace("<Gallery />\n\n", "")  # which the Hub draws


def address(repo_id: str) -> str:
    """The address of a repository. A path of the server's own files never comes out.

    Raises:
        EmbeddingNotFoundError: If it is something else.
    """
    name = repo_id.strip().removeprefix(f"{constants.ENDPOINT}/")
    if "://" in name or not len([part for part in name.split("/") if part not in ("", ".", "..", "~")]) >= 2:
        raise EmbeddingNotFoundError(
            f"{repo_id!r} is no repository on the Hub. Give its id, user/name, or its address."
        )
    return f"{constants.ENDPOINT}/{name.strip('/')}"


def check_token(token: str) -> None:
    """Raise a ValueError unless there is a token."""
    if not token.strip():
        raise ValueError(
            f"To upload, give a token of yours that may write. {constants.ENDPOINT}/settings/tokens makes one."
        )
