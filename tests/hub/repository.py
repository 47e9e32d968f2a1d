"""A repository of the Hub on disk: contents, commits, and what points at commits.

No git: the client never sees more of it than the ids of blobs and commits, and those of blobs are git's.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

from tests.hub.refusals import Refusal, conflict, entry_not_found, revision_not_found


MAIN = "refs/heads/main"
# Of these and of what looks binary, the Hub keeps pointers in git and the contents elsewhere.
LFS_PATTERNS = ("*.safetensors", "*.bin", "*.pt", "*.ckpt", "*.mp4", "*.zip")
LARGEST_REGULAR_FILE = 10 * 1024**2


def git_blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


@dataclass(frozen=True)
class StoredFile:
    """A file of a commit; `sha256` is set if its content is in LFS."""

    path: str
    size: int
    blob_id: str
    sha256: str | None = None

    @property
    def etag(self) -> str:
        return self.sha256 or self.blob_id


@dataclass(frozen=True)
class LfsObject:
    """What a commit says of a content that was uploaded beforehand."""

    sha256: str


@dataclass(frozen=True)
class Commit:
    """One state of all files."""

    id: str
    parent: str | None
    title: str
    message: str
    author: str
    date: str
    files: dict[str, StoredFile]


class Repository:
    """A repository in a folder.

    Args:
        folder: Where it is kept; made if need be.
        repo_id: "namespace/name".
        kind: "model", "dataset" or "space".
        private: Whether only its namespace, and who is in `granted`, sees it.
        gated: Whether files are only for its namespace and who is in `granted`; "auto" or "manual" if so.
        granted: Names of users who were let in.
    """

    def __init__(
        self,
        folder: Path,
        repo_id: str,
        kind: str = "model",
        *,
        private: bool = False,
        gated: str | bool = False,
        granted: tuple[str, ...] = (),
    ):
        self.folder, self.id, self.kind = folder, repo_id, kind
        self.private, self.gated, self.granted = private, gated, set(granted)
        for name in ("blobs", "lfs", "commits", "refs"):
            (folder / name).mkdir(parents=True)
        attributes = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS)
        first = self._write_commit(None, self._changed({}, {".gitattributes": attributes.encode()}), "initial commit")
        self.point(MAIN, first)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    # What points at commits

    def refs(self, kind: str) -> dict[str, str]:
        """Commits by name, of "refs/heads/", "refs/tags/" or "refs/pr/"."""
        found = {unquote(file.name): file.read_text() for file in (self.folder / "refs").iterdir()}
        return {ref.removeprefix(kind): commit for ref, commit in sorted(found.items()) if ref.startswith(kind)}

    def point(self, ref: str, commit: str) -> None:
        (self.folder / "refs" / quote(ref, safe="")).write_text(commit)

    def ref_of(self, revision: str) -> str:
        """The full name of a branch or pull request."""
        return revision if revision.startswith("refs/") else f"refs/heads/{revision}"

    def resolve(self, revision: str) -> Commit:
        """The commit of a branch, tag, pull request or (the beginning of) a commit id."""
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            file = self.folder / "refs" / quote(ref, safe="")
            if file.is_file():
                return self._read_commit(file.read_text())
        found = [file.stem for file in (self.folder / "commits").glob("*.json") if file.stem.startswith(revision)]
        if len(found) != 1 or len(revision) < 7:
            raise revision_not_found(revision)
        return self._read_commit(found[0])

    def history(self, revision: str) -> list[Commit]:
        """All commits up to a revision, the last first."""
        commits = [self.resolve(revision)]
        while commits[-1].parent is not None:
            commits.append(self._read_commit(commits[-1].parent))
        return commits

    def open_pull_request(self, base: str) -> str:
        """A new ref for a pull request, at the commit it starts from."""
        ref = f"refs/pr/{len(self.refs('refs/pr/')) + 1}"
        self.point(ref, base)
        return ref

    # Contents

    def file(self, commit: Commit, path: str) -> StoredFile:
        if path not in commit.files:
            raise entry_not_found(path, commit.id)
        return commit.files[path]

    def read(self, file: StoredFile) -> bytes:
        return self.lfs_path(file.sha256).read_bytes() if file.sha256 else self._blob_path(file.blob_id).read_bytes()

    def lfs_path(self, sha256: str) -> Path:
        return self.folder / "lfs" / sha256

    def keep_lfs(self, content: bytes) -> LfsObject:
        sha256 = hashlib.sha256(content).hexdigest()
        self.lfs_path(sha256).write_bytes(content)
        return LfsObject(sha256)

    def wants_lfs(self, path: str, size: int, sample: bytes) -> bool:
        name = PurePosixPath(path).name
        return size > LARGEST_REGULAR_FILE or b"\0" in sample or any(fnmatch(name, one) for one in LFS_PATTERNS)

    # Commits

    def commit(
        self,
        changes: dict[str, bytes | LfsObject | None],
        *,
        revision: str = "main",
        title: str = "Commit",
        message: str = "",
        author: str = "system",
        parent: str | None = None,
    ) -> str:
        """Make a commit on a branch or pull request.

        Args:
            changes: New contents by path; None deletes a file, or a folder if its path ends with a slash.
            revision: The branch or pull request.
            title: First line of the commit's message.
            message: The rest of it.
            author: Name of a user.
            parent: The commit (or its beginning) that must be the last one, if that matters.

        Returns:
            The id of the commit, which is made even if it changes nothing, as on the Hub.
        """
        ref = self.ref_of(revision)
        last = self.resolve(ref)
        if parent is not None and not last.id.startswith(parent):
            raise conflict()
        commit = self._write_commit(last.id, self._changed(last.files, changes), title, message, author)
        self.point(ref, commit)
        return commit

    def propose(
        self, changes: dict[str, bytes | LfsObject | None], *, base: str, title: str, message: str, author: str
    ) -> tuple[str, str]:
        """Make a commit in a pull request of its own.

        Returns:
            The id of the commit, and the ref of the pull request.
        """
        last = self.resolve(base)
        commit = self._write_commit(last.id, self._changed(last.files, changes), title, message, author)
        return commit, self.open_pull_request(commit)

    def _changed(self, files: dict[str, StoredFile], changes: dict) -> dict[str, StoredFile]:
        files = dict(files)
        for path, content in changes.items():
            if content is None:
                gone = [known for known in files if known == path or (path.endswith("/") and known.startswith(path))]
                if not gone:
                    raise entry_not_found(f"A file with this name doesn't exist: {path}")
                for known in gone:
                    del files[known]
            else:
                files[path] = self._keep(path, content)
        return files

    def _keep(self, path: str, content: bytes | LfsObject) -> StoredFile:
        if isinstance(content, LfsObject):
            if not self.lfs_path(content.sha256).is_file():
                raise Refusal(400, f"{path} points at an LFS object that was not uploaded.")
            size = self.lfs_path(content.sha256).stat().st_size
            return StoredFile(path, size, git_blob_id(lfs_pointer(content.sha256, size)), content.sha256)
        blob_id = git_blob_id(content)
        self._blob_path(blob_id).write_bytes(content)
        return StoredFile(path, len(content), blob_id)

    def _write_commit(self, parent, files, title, message="", author="system") -> str:
        number = len(list((self.folder / "commits").iterdir()))  # two equal commits in a row are still two
        date = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        parts = [self.kind, self.id, parent, title, date, {path: file.blob_id for path, file in files.items()}]
        commit_id = hashlib.sha1(json.dumps(parts).encode(), usedforsecurity=False).hexdigest()
        commit = Commit(commit_id, parent, title, message, author, date, files)
        (self.folder / "commits" / f"{commit_id}.json").write_text(json.dumps(asdict(commit)))
        return commit_id

    def _read_commit(self, commit_id: str) -> Commit:
        fields = json.loads((self.folder / "commits" / f"{commit_id}.json").read_text())
        files = {path: StoredFile(**file) for path, file in fields.pop("files").items()}
        return Commit(**fields, files=files)

    def _blob_path(self, blob_id: str) -> Path:
        return self.folder / "blobs" / blob_id
