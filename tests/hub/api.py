"""What the Hub answers: the endpoints that huggingface_hub 2.4.0 uses to make, fill, look at and read repositories.

Contents go the plain way, by HTTP and LFS, not by Xet: no answer carries the header X-Xet-Hash, so the client
downloads by HTTP. For uploads the Hub has no say any more (the client uses Xet whenever hf_xet is installed, without
asking), so `client.py` sets HF_HUB_DISABLE_XET. Xet is left out because its storage speaks a protocol of its own, to a
library in Rust, that has nothing to do with how often and in what order a library calls the Hub.

A 401 that is about a repository says RepoNotFound. The real Hub does not always, but the client takes it as said
wherever the address begins with https, which a server on loopback cannot have.
"""

import base64
import json
import re
import threading
from collections.abc import Callable
from itertools import accumulate
from pathlib import PurePosixPath
from urllib.parse import quote, unquote

from tests.hub.accounts import Account
from tests.hub.cards import CardError, read_card, tags_of
from tests.hub.collected import Collections
from tests.hub.faults import Answer
from tests.hub.refusals import Refusal, entry_not_found, gated, invalid_token, repository_not_found
from tests.hub.repository import Commit, LfsObject, Repository, StoredFile, git_blob_id, lfs_pointer
from tests.hub.storage import Storage
from tests.hub.wire import Request


KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
API = r"/api/(?P<kind>models|datasets|spaces)/(?P<repo_id>[^/]+/[^/]+)"
PAGE = r"/(?P<kind>datasets/|spaces/)?(?P<repo_id>[^/]+/[^/]+?)"

ROUTES: list[tuple[str, str, Callable]] = []


def route(methods: str, pattern: str):
    """Mark what answers requests of some methods to addresses of a pattern."""

    def mark(function: Callable) -> Callable:
        ROUTES.append((methods, pattern, function))
        return function

    return mark


def send_json(value, status: int = 200) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(value).encode())


def page_prefix(kind: str) -> str:
    """What the address of a repository's page begins with."""
    return "" if kind == "model" else f"{kind}s/"


class Api:
    """Answers of the Hub.

    Args:
        make: Makes a repository, from its id, kind and whether it is private.
        drop: Deletes a repository, by kind and id.
        repositories: By kind and id.
        storage: Where contents of LFS are.
    """

    endpoint: str  # both known once the servers listen
    storage_endpoint: str

    def __init__(
        self,
        make: Callable[..., Repository],
        drop: Callable[[str, str], None],
        repositories: dict[tuple[str, str], Repository],
        storage: Storage,
    ):
        self._make, self._drop, self._repositories, self._storage = make, drop, repositories, storage
        self._lock = threading.RLock()
        self.collections = Collections()

    def respond(self, request: Request) -> Answer:
        for methods, pattern, function in ROUTES:
            match = re.fullmatch(pattern, request.path)
            if match and request.method in methods.split("|"):
                with self._lock:  # commits come one after the other
                    return function(self, request, **_arguments(match))
        raise Refusal(404, f"The stand-in for the Hub has no {request.method} {request.path}.")

    # People and repositories

    @route("GET", "/api/whoami-v2")
    def whoami(self, request: Request) -> Answer:
        if request.user is None:
            raise invalid_token()
        token = {"displayName": "test", "role": request.user.role}
        organizations = [{"type": "org", "name": name} for name in request.user.organizations]
        auth = {"type": "access_token", "accessToken": token}
        return send_json({"type": "user", "name": request.user.name, "orgs": organizations, "auth": auth})

    @route("POST", "/api/repos/create")
    def create_repo(self, request: Request) -> Answer:
        asked = request.json
        user = _signed_in(request.user)
        namespace, kind = asked["organization"] or user.name, asked.get("type") or "model"
        repo_id = f"{namespace}/{asked['name']}"
        if not user.writes_to(namespace):
            raise Refusal(403, f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"')
        address = {"url": f"{self.endpoint}/{page_prefix(kind)}{repo_id}", "name": repo_id}
        if (kind, repo_id) in self._repositories:
            raise Refusal(409, f"You already created this {kind} repo", body=address)
        # The second is how huggingface_hub asked before version 1.
        is_private = asked.get("visibility") == "private" or asked.get("private", False)
        self._make(repo_id, kind, private=is_private)
        return send_json(address)

    @route("DELETE", "/api/repos/delete")
    def delete_repo(self, request: Request) -> Answer:
        asked = request.json
        namespace = asked["organization"] or _signed_in(request.user).name
        repository = self._writable(request, asked.get("type") or "model", f"{namespace}/{asked['name']}")
        self._drop(repository.kind, repository.id)
        return send_json({})

    @route("GET", API + r"(/revision/(?P<revision>[^/]+))?")
    def repo_info(self, request: Request, kind: str, repo_id: str, revision: str | None) -> Answer:
        repository = self._visible(request, kind, repo_id)
        commit = repository.resolve(revision or "main")
        with_sizes = request.query.get("blobs", "").lower() in ("1", "true")
        card = self._card(repository, commit)
        info = {
            "_id": git_blob_id(repo_id.encode())[:24],
            "id": repo_id,
            "author": repository.namespace,
            "sha": commit.id,
            "createdAt": repository.history("main")[-1].date,
            "lastModified": commit.date,
            "private": repository.private,
            "gated": repository.gated,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": tags_of(card),
            "cardData": card,
            "siblings": [_sibling(file, with_sizes) for _, file in sorted(commit.files.items())],
        }
        if kind == "model":
            info.update({name: card[name] for name in ("library_name", "pipeline_tag") if name in card})
        return send_json(info)

    def _card(self, repository: Repository, commit: Commit) -> dict:
        try:
            return read_card(repository.read(commit.files["README.md"]).decode()) or {}
        except (KeyError, CardError):
            return {}

    @route("POST", "/api/collections")
    def create_collection(self, request: Request) -> Answer:
        asked = request.json
        user = _signed_in(request.user)
        made = self.collections.create(user, asked["title"], asked["namespace"], asked["private"])
        return send_json(made.told())

    @route("GET", r"/api/collections/(?P<slug>[^/]+/[^/]+)")
    def collection(self, request: Request, slug: str) -> Answer:
        return send_json(self.collections.find(slug).told())

    @route("POST", r"/api/collections/(?P<slug>[^/]+/[^/]+)/items")
    def add_to_collection(self, request: Request, slug: str) -> Answer:
        item = request.json["item"]
        self._visible(request, item["type"], item["id"])
        changed = self.collections.add(_signed_in(request.user), slug, item["id"], item["type"])
        return send_json(changed.told())

    # What there is

    @route("GET", API + r"/tree/(?P<revision>[^/]+)(/(?P<path>.+))?")
    def tree(self, request: Request, kind: str, repo_id: str, revision: str, path: str | None) -> Answer:
        files = self._visible(request, kind, repo_id).resolve(revision).files
        root = f"{path.rstrip('/')}/" if path else ""
        entries = [entry for entry in _tree_entries(files) if entry["path"].startswith(root)]
        if path and not entries:
            raise entry_not_found(path)
        if request.query.get("recursive", "").lower() not in ("1", "true"):
            entries = [entry for entry in entries if "/" not in entry["path"][len(root) :]]
        return send_json(entries)

    @route("POST", API + r"/paths-info/(?P<revision>[^/]+)")
    def paths_info(self, request: Request, kind: str, repo_id: str, revision: str) -> Answer:
        files = self._visible(request, kind, repo_id).resolve(revision).files
        asked = {path.rstrip("/") for path in request.form.get("paths", [])}
        return send_json([entry for entry in _tree_entries(files) if entry["path"] in asked])

    @route("GET", API + "/refs")
    def refs(self, request: Request, kind: str, repo_id: str) -> Answer:
        repository = self._visible(request, kind, repo_id)

        def listed(prefix: str) -> list[dict]:
            refs = repository.refs(prefix).items()
            return [{"name": name, "ref": prefix + name, "targetCommit": commit} for name, commit in refs]

        found = {"branches": listed("refs/heads/"), "tags": listed("refs/tags/"), "converts": []}
        if "include_prs" in request.query:
            found["pullRequests"] = listed("refs/pr/")
        return send_json(found)

    @route("GET", API + r"/commits/(?P<revision>[^/]+)")
    def commits(self, request: Request, kind: str, repo_id: str, revision: str) -> Answer:
        history = self._visible(request, kind, repo_id).history(revision)
        return send_json(
            [
                {
                    "id": commit.id,
                    "title": commit.title,
                    "message": commit.message,
                    "date": commit.date,
                    "authors": [{"user": commit.author}],
                }
                for commit in history
            ]
        )

    @route("POST", API + r"/(?P<sort>branch|tag)/(?P<name>[^/]+)")
    def point(self, request: Request, kind: str, repo_id: str, sort: str, name: str) -> Answer:
        repository = self._writable(request, kind, repo_id)
        if sort == "branch":
            ref, target = f"refs/heads/{name}", request.json.get("startingPoint", "main")
        else:  # the address of a tag names the revision, and the body the tag
            ref, target = f"refs/tags/{request.json['tag']}", name
        if ref in repository.refs(""):
            raise Refusal(409, f"Reference already exists: {ref}")
        repository.point(ref, repository.resolve(target).id)
        return send_json({})

    # Uploads

    @route("POST", "/api/validate-yaml")
    def validate_yaml(self, request: Request) -> Answer:
        try:
            metadata = read_card(request.json["content"])
        except CardError as error:
            return send_json({"errors": [{"message": str(error)}], "warnings": []}, status=400)
        warnings = [] if metadata else [{"message": "empty or missing yaml metadata in repo card"}]
        return send_json({"errors": [], "warnings": warnings})

    @route("POST", API + r"/preupload/(?P<revision>[^/]+)")
    def preupload(self, request: Request, kind: str, repo_id: str, revision: str) -> Answer:
        repository = self._writable(request, kind, repo_id, revision)
        commit = repository.resolve(revision)
        files = []
        for asked in request.json["files"]:
            path, known = asked["path"], commit.files.get(asked["path"])
            lfs = repository.wants_lfs(path, asked["size"], base64.b64decode(asked["sample"]))
            mode, oid = "lfs" if lfs else "regular", known.etag if known else None
            files.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return send_json({"files": files, "commitOid": commit.id})

    @route("POST", PAGE + r"\.git/info/lfs/objects/batch")
    def lfs_batch(self, request: Request, kind: str, repo_id: str) -> Answer:
        repository = self._visible(request, kind, repo_id)
        _signed_in(request.user)
        objects = []
        for asked in request.json["objects"]:
            known = {"oid": asked["oid"], "size": asked["size"]}
            if not repository.lfs_path(asked["oid"]).is_file():  # without actions, there is nothing to upload
                put = self.storage_endpoint + self._storage.sign("PUT", repository, asked["oid"])
                verify = f"{self.endpoint}/{page_prefix(kind)}{repo_id}.git/info/lfs/objects/verify"
                known["actions"] = {"upload": {"href": put}, "verify": {"href": verify}}
            objects.append(known)
        return send_json({"transfer": "basic", "objects": objects})

    @route("POST", PAGE + r"\.git/info/lfs/objects/verify")
    def lfs_verify(self, request: Request, kind: str, repo_id: str) -> Answer:
        file = self._visible(request, kind, repo_id).lfs_path(request.json["oid"])
        if not file.is_file() or file.stat().st_size != request.json["size"]:
            raise Refusal(422, "The object was not uploaded, or not whole.")
        return send_json({})

    @route("POST", API + r"/commit/(?P<revision>[^/]+)")
    def commit(self, request: Request, kind: str, repo_id: str, revision: str) -> Answer:
        repository = self._writable(request, kind, repo_id, revision)
        lines = [json.loads(line) for line in request.body.splitlines()]
        header = lines[0]["value"]
        changes = dict(_change(line["key"], line["value"]) for line in lines[1:])
        words = {"title": header["summary"], "message": header.get("description", ""), "author": request.user.name}
        parent, page, discussion = header.get("parentCommit"), f"{self.endpoint}/{page_prefix(kind)}{repo_id}", None
        if "create_pr" in request.query:
            commit, ref = repository.propose(changes, base=parent or revision, **words)
            discussion = f"{page}/discussions/{ref.removeprefix('refs/pr/')}"
        else:
            commit = repository.commit(changes, revision=revision, parent=parent, **words)
        return send_json(
            {
                "success": True,
                "commitOid": commit,
                "commitUrl": f"{page}/commit/{commit}",
                "pullRequestUrl": discussion,
                "pullRequestCreated": discussion is not None,
            }
        )

    @route("POST", API + "/discussions")
    def open_discussion(self, request: Request, kind: str, repo_id: str) -> Answer:
        repository = self._visible(request, kind, repo_id)
        _signed_in(request.user)
        if not request.json["pullRequest"]:
            raise Refusal(400, "The stand-in for the Hub has pull requests, but no discussions.")
        ref = repository.open_pull_request(repository.resolve("main").id)
        return send_json({"num": int(ref.rsplit("/", 1)[1]), "pullRequest": True})

    @route("GET", API + r"/discussions/(?P<number>\d+)")
    def discussion(self, request: Request, kind: str, repo_id: str, number: str) -> Answer:
        repository = self._visible(request, kind, repo_id)
        commit = repository.resolve(f"refs/pr/{number}")
        return send_json(
            {
                "num": int(number),
                "title": commit.title,
                "author": {"name": commit.author},
                "createdAt": commit.date,
                "status": "draft",
                "isPullRequest": True,
                "repo": {"name": repo_id, "type": kind},
                "changes": {"base": "refs/heads/main"},
                "filesWithConflicts": [],
                "events": [],
                "diff": "",
            }
        )

    # Downloads

    @route("GET|HEAD", PAGE + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)")
    def resolve(self, request: Request, kind: str, repo_id: str, revision: str, path: str) -> Answer:
        repository = self._readable(request, kind, repo_id)
        commit = repository.resolve(revision)
        file = repository.file(commit, path)
        headers = {"X-Repo-Commit": commit.id, "X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
        if file.sha256 is None:  # to a place where a file never changes, which the client follows
            place = f"/api/resolve-cache/{kind}s/{repo_id}/{commit.id}/{quote(path)}"
            return Answer(307, {**headers, "Location": place})
        name = PurePosixPath(path).name
        place = self.storage_endpoint + self._storage.sign("GET", repository, file.sha256, name)
        return Answer(302, {**headers, "Location": place})

    @route("GET|HEAD", "/api/resolve-cache" + API.removeprefix("/api") + r"/(?P<commit>[0-9a-f]{40})/(?P<path>.+)")
    def resolve_cache(self, request: Request, kind: str, repo_id: str, commit: str, path: str) -> Answer:
        repository = self._readable(request, kind, repo_id)
        file = repository.file(repository.resolve(commit), path)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
        return Answer(200, {**headers, "Content-Type": "text/plain; charset=utf-8"}, repository.read(file))

    # Who may what

    def _visible(self, request: Request, kind: str, repo_id: str) -> Repository:
        repository = self._repositories.get((kind, repo_id))
        user = request.user
        if repository is None or (repository.private and not _is_let_in(user, repository)):
            raise repository_not_found(signed_in=user is not None)
        return repository

    def _readable(self, request: Request, kind: str, repo_id: str) -> Repository:
        repository = self._visible(request, kind, repo_id)
        if repository.gated and not _is_let_in(request.user, repository):
            raise gated(repo_id, signed_in=request.user is not None)
        return repository

    def _writable(self, request: Request, kind: str, repo_id: str, revision: str = "main") -> Repository:
        repository = self._visible(request, kind, repo_id)
        user = request.user
        if user is None:
            raise repository_not_found(signed_in=False)
        if user.role != "write":
            raise Refusal(403, "Forbidden: you must use a write token to upload to a repository.")
        proposes = "create_pr" in request.query or revision.startswith("refs/pr/")
        if not user.writes_to(repository.namespace) and not proposes:
            raise Refusal(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
        return repository


def _arguments(match: re.Match) -> dict[str, str | None]:
    arguments = {name: value if value is None else unquote(value) for name, value in match.groupdict().items()}
    if "kind" in arguments:
        arguments["kind"] = KINDS[(arguments["kind"] or "models").rstrip("/")]
    return arguments


def _signed_in(user: Account | None) -> Account:
    if user is None:
        raise Refusal(401, "Invalid username or password.")
    return user


def _is_let_in(user: Account | None, repository: Repository) -> bool:
    return user is not None and (user.belongs_to(repository.namespace) or user.name in repository.granted)


def _change(key: str, value: dict) -> tuple[str, bytes | LfsObject | None]:
    """A line of a commit, as a change of one path."""
    path = value["path"]
    if key == "file":
        return path, base64.b64decode(value["content"])
    if key == "lfsFile":
        return path, LfsObject(value["oid"])
    if key == "deletedFile":
        return path, None
    if key == "deletedFolder":
        return f"{path.rstrip('/')}/", None
    raise Refusal(400, f"The stand-in for the Hub knows no {key} in a commit.")


def _lfs_fields(file: StoredFile) -> dict:
    return {"size": file.size, "pointerSize": len(lfs_pointer(file.sha256, file.size))}


def _sibling(file: StoredFile, with_sizes: bool) -> dict:
    sibling = {"rfilename": file.path}
    if with_sizes:
        sibling.update(size=file.size, blobId=file.blob_id)
        if file.sha256:
            sibling["lfs"] = {"sha256": file.sha256, **_lfs_fields(file)}
    return sibling


def _tree_entries(files: dict[str, StoredFile]) -> list[dict]:
    """Folders and files, in order of their paths."""
    folders = {
        folder for path in files for folder in accumulate(PurePosixPath(path).parts[:-1], lambda a, b: f"{a}/{b}")
    }
    entries = [{"type": "directory", "oid": git_blob_id(path.encode()), "size": 0, "path": path} for path in folders]
    for file in files.values():
        entry = {"type": "file", "oid": file.blob_id, "size": file.size, "path": file.path}
        if file.sha256:
            entry["lfs"] = {"oid": file.sha256, **_lfs_fields(file)}
        entries.append(entry)
    return sorted(entries, key=lambda entry: entry["path"])
