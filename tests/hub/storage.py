"""The storage beside the Hub that holds contents of LFS.

It has another address than the Hub, as in reality, and knows no tokens: who was sent there has a signature in the
address. huggingface_hub leaves its token at home when it goes there, and does not follow the Hub's redirect before it
has read what the redirect says of the file.
"""

import hashlib
import re
import secrets
from collections.abc import Callable
from urllib.parse import quote

from tests.hub.faults import Answer
from tests.hub.refusals import Refusal
from tests.hub.repository import Repository
from tests.hub.wire import Request


class Storage:
    """Answers for contents of LFS.

    Args:
        find: A repository by its kind and id.
    """

    def __init__(self, find: Callable[[str, str], Repository]):
        self._find = find
        self._secret = secrets.token_hex()

    def sign(self, method: str, repository: Repository, sha256: str, name: str = "content") -> str:
        """Path and query of a content; `name` is only there to be read."""
        path = f"/lfs/{repository.kind}/{repository.id}/{sha256}/{quote(name)}"
        return f"{path}?signature={self._signature(method, path)}"

    def respond(self, request: Request) -> Answer:
        match = re.fullmatch(r"/lfs/(\w+)/([^/]+/[^/]+)/([0-9a-f]{64})/.*", request.path)
        method = "PUT" if request.method == "PUT" else "GET"
        if not match or request.query.get("signature") != self._signature(method, request.path):
            raise Refusal(403, "AccessDenied")
        kind, repo_id, sha256 = match.groups()
        repository = self._find(kind, repo_id)
        if method == "PUT":
            if hashlib.sha256(request.body).hexdigest() != sha256:
                raise Refusal(400, "BadDigest")
            repository.keep_lfs(request.body)
            return Answer()
        # Its ETag is not the file's on the Hub: a client that takes it for that is wrong here too.
        headers = {"ETag": f'"{sha256[:32]}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        return Answer(200, headers, repository.lfs_path(sha256).read_bytes())

    def _signature(self, method: str, path: str) -> str:
        return hashlib.sha256(f"{self._secret} {method} {path}".encode()).hexdigest()[:16]
