"""A small Hub for the tests: real HTTP on loopback, repositories in a folder, faults on purpose, a log of requests.

It is two servers, as the real one is seen from outside: the Hub, and a storage at another address to which it sends
clients for contents of LFS.
"""

import shutil
from pathlib import Path

from tests.hub.accounts import Tokens
from tests.hub.api import Api
from tests.hub.faults import Faults
from tests.hub.log import Log
from tests.hub.repository import Repository
from tests.hub.storage import Storage
from tests.hub.wire import Wire


class Hub:
    """A Hub that listens as soon as it is made.

    Args:
        folder: Where repositories are kept.

    Attributes:
        tokens: Accounts by token; `hub.tokens.add("name")` makes a user and returns a token.
        faults: What goes wrong on purpose; see `faults.py`.
        log: The requests so far; see `log.py`.
        collections: By slug.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.tokens, self.faults, self.log = Tokens(), Faults(), Log()
        self._repositories: dict[tuple[str, str], Repository] = {}
        storage = Storage(lambda kind, repo_id: self._repositories[kind, repo_id])
        api = Api(self.create_repo, self._delete_repo, self._repositories, storage)
        self.collections = api.collections
        shared = {"log": self.log, "faults": self.faults, "tokens": self.tokens}
        self._wires = [Wire("hub", api.respond, **shared), Wire("storage", storage.respond, **shared)]
        api.endpoint, api.storage_endpoint = (wire.address for wire in self._wires)
        self.endpoint, self.storage_endpoint = api.endpoint, api.storage_endpoint

    def create_repo(self, repo_id: str, kind: str = "model", **settings) -> Repository:
        """Make a repository; see `Repository` for the settings `private`, `gated` and `granted`."""
        repository = Repository(self.folder / f"{kind}s" / repo_id, repo_id, kind, **settings)
        self._repositories[kind, repo_id] = repository
        return repository

    def repository(self, repo_id: str, kind: str = "model") -> Repository:
        return self._repositories[kind, repo_id]

    def commit(self, repo_id: str, files: dict[str, bytes | None], revision: str = "main", kind: str = "model") -> str:
        """Make a commit, without a request.

        Args:
            repo_id: Of a repository, which is made if need be.
            files: Contents by path; None deletes.
            revision: A branch, which is started from main if need be, or a pull request.
            kind: Of the repository.

        Returns:
            The id of the commit.
        """
        if (kind, repo_id) not in self._repositories:
            self.create_repo(repo_id, kind)
        repository = self.repository(repo_id, kind)
        if repository.ref_of(revision) not in repository.refs(""):
            repository.point(repository.ref_of(revision), repository.resolve("main").id)
        changes = {}
        for path, content in files.items():
            lfs = content is not None and repository.wants_lfs(path, len(content), content[:512])
            changes[path] = repository.keep_lfs(content) if lfs else content
        return repository.commit(changes, revision=revision)

    def read(self, repo_id: str, path: str, revision: str = "main", kind: str = "model") -> bytes:
        """The content of a file, without a request."""
        repository = self.repository(repo_id, kind)
        return repository.read(repository.file(repository.resolve(revision), path))

    def paths(self, repo_id: str, revision: str = "main", kind: str = "model") -> list[str]:
        """The files of a revision, without a request."""
        return sorted(self.repository(repo_id, kind).resolve(revision).files)

    @property
    def errors(self) -> list[str]:
        """Tracebacks of the server's own failures."""
        return [error for wire in self._wires for error in wire.errors]

    def close(self) -> None:
        """Be gone: whoever asks from now on cannot connect."""
        for wire in self._wires:
            wire.close()

    def _delete_repo(self, kind: str, repo_id: str) -> None:
        shutil.rmtree(self._repositories.pop((kind, repo_id)).folder)
