"""The Hub of the tests against the real client: every endpoint, asked by huggingface_hub."""

import hashlib
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationCopy,
    CommitOperationDelete,
    HfApi,
    create_commit,
    create_repo,
    file_exists,
    hf_hub_download,
    list_repo_files,
    model_info,
    snapshot_download,
    try_to_load_from_cache,
    upload_file,
    upload_folder,
    whoami,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder

from tests.versions import RemoteEntryNotFoundError, since


# Of httpx, about how the client hands it the content of a file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

CARD = b"---\nlicense: mit\nlibrary_name: diffusers\ntags: [motion]\nbase_model: alice/base\n---\n# Motion\n"
CONFIG = b'{"num_frames": 4}'
WEIGHTS = bytes(range(256)) * 20
FILES = {"README.md": CARD, "config.json": CONFIG, "motion.safetensors": WEIGHTS}
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@pytest.fixture
def alice(hub, hub_client):
    """The one who is logged in."""
    token = hub.tokens.add("alice")
    hub_client.login(token)
    return token


@pytest.fixture
def box(hub):
    """A repository of alice's with a card, a small file and weights; its last commit."""
    return hub.commit("alice/box", FILES)


@pytest.fixture
def folder(tmp_path):
    """The same files on this machine."""
    root = tmp_path / "folder"
    root.mkdir()
    for name, content in FILES.items():
        (root / name).write_bytes(content)
    return root


def add(path: str, content: bytes) -> CommitOperationAdd:
    return CommitOperationAdd(path, content)


def status_of(error: pytest.ExceptionInfo) -> int:
    return error.value.response.status_code


class TestAccounts:
    def test_whoami(self, hub, hub_client):
        token = hub.tokens.add("alice", role="read", organizations=("studio",))
        answer = HfApi(endpoint=hub.endpoint, token=token).whoami()
        assert (answer["name"], answer["orgs"][0]["name"]) == ("alice", "studio")
        assert answer["auth"]["accessToken"]["role"] == "read"
        hub_client.login(token)
        assert whoami()["name"] == "alice"
        hub_client.logout()
        with pytest.raises(LocalTokenNotFoundError):
            whoami()

    @since("huggingface_hub", "1.0", "says less of a refused token")
    def test_an_unknown_token_is_refused_everywhere(self, hub, hub_client, box):
        api = HfApi(token="hf_forgotten")
        with pytest.raises(HfHubHTTPError, match="Invalid user token") as error:
            api.whoami()
        assert status_of(error) == 401
        with pytest.raises(HfHubHTTPError, match="Invalid credentials"):
            api.model_info("alice/box")
        assert [entry.user for entry in hub.log] == [None, None]


class TestRepositories:
    def test_create(self, hub, alice):
        made = create_repo("alice/new")
        assert made == f"{hub.endpoint}/alice/new"
        assert (made.repo_id, made.repo_type) == ("alice/new", "model")
        assert hub.paths("alice/new") == [".gitattributes"]
        assert hub.log.lines == [("POST", "/api/repos/create", 200)]
        assert hub.log[0].user == "alice"

    def test_create_without_a_namespace(self, hub, alice):
        assert create_repo("new").repo_id == "alice/new"

    def test_create_what_is_there(self, hub, alice, box):
        with pytest.raises(HfHubHTTPError, match="already created") as error:
            create_repo("alice/box")
        assert status_of(error) == 409
        assert create_repo("alice/box", exist_ok=True).repo_id == "alice/box"
        assert "config.json" in hub.paths("alice/box")

    def test_who_may_not_create(self, hub, alice):
        hub.create_repo("bob/box")
        with pytest.raises(HfHubHTTPError, match="don't have the rights") as error:
            create_repo("bob/new", exist_ok=True)
        assert status_of(error) == 403
        assert create_repo("bob/box", exist_ok=True).repo_id == "bob/box"  # it looks whether it is there
        for token, status in ((False, 401), (hub.tokens.add("alice", role="read"), 403)):
            with pytest.raises(HfHubHTTPError) as error:
                create_repo("alice/new", token=token)
            assert status_of(error) == status

    def test_private(self, hub, alice):
        create_repo("alice/secret", private=True)
        assert model_info("alice/secret").private
        with pytest.raises(RepositoryNotFoundError) as error:
            model_info("alice/secret", token=False)
        assert status_of(error) == 401
        with pytest.raises(RepositoryNotFoundError) as error:
            hf_hub_download("alice/secret", ".gitattributes", token=hub.tokens.add("bob"))
        assert status_of(error) == 404
        assert Path(hf_hub_download("alice/secret", ".gitattributes")).is_file()

    def test_private_but_let_in(self, hub, hub_client):
        hub.create_repo("alice/secret", private=True, granted=("bob",))
        assert list_repo_files("alice/secret", token=hub.tokens.add("bob")) == [".gitattributes"]

    def test_delete(self, hub, alice, box):
        api = HfApi()
        api.delete_repo("alice/box")
        assert not api.repo_exists("alice/box")
        with pytest.raises(RepositoryNotFoundError):
            api.delete_repo("alice/box")
        api.delete_repo("alice/box", missing_ok=True)

    def test_datasets_are_apart(self, hub, alice, tmp_path):
        create_repo("alice/box", repo_type="dataset")
        create_commit("alice/box", [add("clip.mp4", WEIGHTS)], commit_message="Clip", repo_type="dataset")
        assert Path(hf_hub_download("alice/box", "clip.mp4", repo_type="dataset")).read_bytes() == WEIGHTS
        assert "clip.mp4" in list_repo_files("alice/box", repo_type="dataset")
        with pytest.raises(RepositoryNotFoundError):
            model_info("alice/box")


class TestWhatThereIs:
    def test_model_info(self, hub, hub_client, box):
        info = model_info("alice/box")
        assert (info.id, info.sha, info.author, info.gated, info.private) == ("alice/box", box, "alice", False, False)
        assert [file.rfilename for file in info.siblings] == [".gitattributes", *sorted(FILES)]
        assert {file.size for file in info.siblings} == {None}
        assert info.card_data.license == "mit"
        assert (info.library_name, info.tags) == (
            "diffusers",
            ["diffusers", "motion", "base_model:alice/base", "license:mit"],
        )
        assert info.created_at < info.last_modified

    def test_sizes_and_ids_are_those_of_git(self, hub, hub_client):
        hub.commit("alice/box", {"hello": b"hello\n", "w.bin": b"hello\n"})
        files = {file.rfilename: file for file in model_info("alice/box", files_metadata=True).siblings}
        assert files["hello"].size == files["w.bin"].size == 6
        assert files["hello"].blob_id == "ce013625030ba8dba906f756967f9e9ca394464a"  # echo hello | git hash-object
        assert files["hello"].lfs is None
        assert files["w.bin"].lfs.sha256 == hashlib.sha256(b"hello\n").hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{files['w.bin'].lfs.sha256}\nsize 6\n"
        assert files["w.bin"].lfs.pointer_size == len(pointer)

    def test_revisions(self, hub, hub_client, box):
        dev = hub.commit("alice/box", {"config.json": b"{}"}, revision="dev")
        last = hub.commit("alice/box", {"more.json": b"{}"})
        for revision, commit in (("dev", dev), ("main", last), (None, last), (box, box), (box[:8], box)):
            assert model_info("alice/box", revision=revision).sha == commit
        with pytest.raises(RevisionNotFoundError):
            model_info("alice/box", revision="nowhere")

    def test_tree(self, hub, hub_client, box):
        hub.commit("alice/box", {"a/b/c.json": b"{}", "a/d.bin": b"123"})
        entries = {entry.path: entry for entry in HfApi().list_repo_tree("alice/box")}
        assert set(entries) == {".gitattributes", "a", *FILES}
        assert isinstance(entries["a"], RepoFolder)
        below = list(HfApi().list_repo_tree("alice/box", "a", recursive=True))
        assert [entry.path for entry in below] == ["a/b", "a/b/c.json", "a/d.bin"]
        assert below[2].lfs.size == below[2].size == 3
        assert list_repo_files("alice/box", revision=box) == [".gitattributes", *sorted(FILES)]
        with pytest.raises(RemoteEntryNotFoundError):
            list(HfApi().list_repo_tree("alice/box", "nowhere"))

    def test_paths_info(self, hub, hub_client, box):
        hub.commit("alice/box", {"a/b.json": b"{}"})
        found = HfApi().get_paths_info("alice/box", ["a", "motion.safetensors", "nowhere"])
        assert [type(entry) for entry in found] == [RepoFolder, RepoFile]
        assert found[1].lfs.sha256 == SHA256

    def test_refs_and_history(self, hub, alice, box):
        api = HfApi()
        api.create_branch("alice/box", branch="dev")
        api.create_tag("alice/box", tag="v1", revision="main")
        with pytest.raises(HfHubHTTPError) as error:
            api.create_branch("alice/box", branch="dev")
        assert status_of(error) == 409
        api.create_branch("alice/box", branch="dev", exist_ok=True)
        later = api.create_commit("alice/box", [add("a", b"1")], commit_message="A", revision="dev").oid
        refs = api.list_repo_refs("alice/box", include_pull_requests=True)
        assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": box, "dev": later}
        assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1", box)]
        assert refs.pull_requests == []
        commits = api.list_repo_commits("alice/box", revision="dev")
        assert [commit.commit_id for commit in commits[:2]] == [later, box]
        assert (commits[0].title, commits[0].authors) == ("A", ["alice"])
        assert model_info("alice/box", revision="v1").sha == box

    def test_what_is_missing(self, hub, hub_client, box):
        assert file_exists("alice/box", "config.json")
        assert not file_exists("alice/box", "other.json")
        assert not file_exists("alice/box", "config.json", revision="nowhere")
        assert not file_exists("alice/nothing", "config.json")
        with pytest.raises(RepositoryNotFoundError):
            model_info("alice/nothing")


class TestDownloads:
    def test_a_small_file(self, hub, hub_client, box):
        path = Path(hf_hub_download("alice/box", "config.json"))
        assert path.read_bytes() == CONFIG
        assert path.parent.name == box
        assert path.resolve().name == hub.repository("alice/box").resolve("main").files["config.json"].blob_id
        place = f"/api/resolve-cache/models/alice/box/{box}/config.json"
        assert hub.log.lines == [
            ("HEAD", "/alice/box/resolve/main/config.json", 307),
            ("HEAD", place, 200),
            ("GET", place, 200),
        ]
        assert [entry.sent for entry in hub.log] == [0, 0, len(CONFIG)]

    def test_weights_come_from_the_storage_without_the_token(self, hub, alice, box):
        path = Path(hf_hub_download("alice/box", "motion.safetensors"))
        assert path.read_bytes() == WEIGHTS
        assert path.resolve().name == SHA256
        assert [entry.server for entry in hub.log] == ["hub", "storage"]
        assert hub.log[0].line == ("HEAD", "/alice/box/resolve/main/motion.safetensors", 302)
        assert hub.log[1].line == ("GET", f"/lfs/model/alice/box/{SHA256}/motion.safetensors", 200)
        assert ["authorization" in entry.headers for entry in hub.log] == [True, False]

    def test_nothing_comes_twice(self, hub, hub_client, box):
        for _ in range(2):
            for name in FILES:
                hf_hub_download("alice/box", name)
        assert hub.log.repeated == []
        assert hub.log.count("GET") == len(FILES)
        assert hub.log.count("HEAD", "/alice/box/resolve/*") == 2 * len(FILES)
        hub.log.clear()
        hf_hub_download("alice/box", "config.json", revision=box)
        assert hub.log == []  # a commit never changes
        hf_hub_download("alice/box", "config.json", force_download=True)
        hf_hub_download("alice/box", "config.json", force_download=True)
        assert hub.log.repeated == [("GET", f"/api/resolve-cache/models/alice/box/{box}/config.json")]

    def test_the_same_content_in_another_commit(self, hub, hub_client, box):
        hf_hub_download("alice/box", "motion.safetensors")
        later = hub.commit("alice/box", {"config.json": b"{}"})
        assert Path(hf_hub_download("alice/box", "motion.safetensors")).parent.name == later
        assert hub.log.count("GET") == 1

    def test_a_changed_file(self, hub, hub_client, box):
        hf_hub_download("alice/box", "config.json")
        hub.commit("alice/box", {"config.json": b"{}"})
        assert Path(hf_hub_download("alice/box", "config.json")).read_bytes() == b"{}"
        assert Path(hf_hub_download("alice/box", "config.json", revision=box)).read_bytes() == CONFIG

    def test_into_a_folder(self, hub, hub_client, box, tmp_path):
        path = hf_hub_download("alice/box", "motion.safetensors", local_dir=tmp_path / "here")
        assert Path(path) == tmp_path / "here" / "motion.safetensors"
        assert Path(path).read_bytes() == WEIGHTS

    def test_names_that_need_quoting(self, hub, hub_client):
        name = "a folder/ä #1 100%.json"
        hub.commit("alice/box", {name: CONFIG}, revision="feature/x y")
        path = Path(hf_hub_download("alice/box", name, revision="feature/x y"))
        assert path.read_bytes() == CONFIG
        assert path.name == "ä #1 100%.json"
        assert hub.log[0].path == f"/alice/box/resolve/feature/x y/{name}"

    def test_snapshot(self, hub, hub_client, box):
        path = Path(snapshot_download("alice/box", allow_patterns=["*.json", "*.safetensors"]))
        assert {file.name: file.read_bytes() for file in path.iterdir()} == {
            name: FILES[name] for name in ("config.json", "motion.safetensors")
        }
        assert hub.log.repeated == []
        assert hub.log.count("GET", "/lfs/*") == hub.log.count("GET", "/api/resolve-cache/*") == 1
        hub.log.clear()
        assert snapshot_download("alice/box", allow_patterns="*.json") == str(path)
        assert hub.log.lines == [("GET", "/api/models/alice/box/revision/main", 200)]

    def test_what_is_missing(self, hub, hub_client, box):
        with pytest.raises(RemoteEntryNotFoundError):
            hf_hub_download("alice/box", "other.json")
        with pytest.raises(RevisionNotFoundError):
            hf_hub_download("alice/box", "config.json", revision="nowhere")
        with pytest.raises(RepositoryNotFoundError) as error:
            hf_hub_download("alice/nothing", "config.json")
        assert status_of(error) == 401  # as the Hub does, which does not tell strangers what there is
        assert hub.log.count("GET") == 0
        missing = try_to_load_from_cache("alice/box", "other.json", revision=box)
        assert missing is not None  # the answer told the commit, so the client remembers
        assert not isinstance(missing, str)

    def test_gated(self, hub, hub_client, box):
        hub.repository("alice/box").gated = "manual"
        bob = hub.tokens.add("bob")
        assert model_info("alice/box").gated == "manual"
        assert "config.json" in list_repo_files("alice/box")
        for token, status in ((False, 401), (bob, 403)):
            with pytest.raises(GatedRepoError) as error:
                hf_hub_download("alice/box", "config.json", token=token)
            assert status_of(error) == status
        hub.repository("alice/box").granted.add("bob")
        assert Path(hf_hub_download("alice/box", "config.json", token=bob)).read_bytes() == CONFIG

    @pytest.mark.parametrize("name", ["config.json", "motion.safetensors"])
    def test_parts(self, hub, hub_client, box, name):
        content = FILES[name]
        address = f"{hub.endpoint}/alice/box/resolve/main/{name}"

        def get(part: str):
            return urllib.request.urlopen(urllib.request.Request(address, headers={"Range": part}))

        size = len(content)
        for part, first, last in (("bytes=5-", 5, size - 1), ("bytes=5-7", 5, 7), ("bytes=0-99999", 0, size - 1)):
            with get(part) as answer:
                assert answer.status == 206
                assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
                assert answer.read() == content[first : last + 1]
        with pytest.raises(urllib.error.HTTPError) as error:
            get(f"bytes={size}-")
        assert error.value.code == 416
        assert error.value.headers["Content-Range"] == f"bytes */{size}"

    def test_the_storage_wants_a_signature(self, hub, hub_client, box):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(
                f"{hub.storage_endpoint}/lfs/model/alice/box/{SHA256}/motion.safetensors?signature="
            )
        assert error.value.code == 403


class TestUploads:
    @since("huggingface_hub", "1.0", "asks for more on its way")
    def test_a_folder_in_one_commit(self, hub, alice, folder):
        create_repo("alice/new")
        hub.log.clear()
        commit = upload_folder(repo_id="alice/new", folder_path=folder, commit_message="All")
        assert {name: hub.read("alice/new", name) for name in FILES} == FILES
        last = hub.repository("alice/new").resolve("main")
        assert (commit.oid, last.title, last.author) == (last.id, "All", "alice")
        assert commit.commit_url == f"{hub.endpoint}/alice/new/commit/{last.id}"
        assert last.files["motion.safetensors"].sha256 == SHA256
        assert last.files["config.json"].sha256 is None
        validations = ("POST", "/api/validate-yaml", 200)  # once for the folder, once for the commit
        assert hub.log.lines == [
            validations,
            validations,
            ("POST", "/api/models/alice/new/preupload/main", 200),
            ("POST", "/alice/new.git/info/lfs/objects/batch", 200),
            ("PUT", f"/lfs/model/alice/new/{SHA256}/content", 200),
            ("POST", "/alice/new.git/info/lfs/objects/verify", 200),
            ("POST", "/api/models/alice/new/commit/main", 200),
        ]
        [put] = hub.log.of("PUT")
        assert (put.server, put.received) == ("storage", len(WEIGHTS))
        assert "authorization" not in put.headers
        assert len(hub.log.commits) == 1
        assert hub.log.commits[0].received > sum(len(FILES[name]) for name in ("README.md", "config.json"))

    @since("huggingface_hub", "2.4", "sends files that have not changed")
    def test_what_has_not_changed_stays_at_home(self, hub, alice, box, folder):
        assert upload_folder(repo_id="alice/box", folder_path=folder).oid == box
        assert hub.log.commits == []
        # What is there is not sent again, but the storage is asked for it before the client looks at its id.
        assert hub.log.count("PUT") == 0
        assert hub.log.count("POST", "*/batch") == 1
        (folder / "config.json").write_text("{}")
        upload_folder(repo_id="alice/box", folder_path=folder)
        assert len(hub.log.commits) == 1
        assert hub.log.commits[0].received < len(CARD) + 200  # the card is not in it
        assert hub.read("alice/box", "config.json") == b"{}"

    def test_weights_that_are_there_under_another_name(self, hub, alice, box):
        upload_file(path_or_fileobj=WEIGHTS, path_in_repo="copy.safetensors", repo_id="alice/box")
        assert hub.read("alice/box", "copy.safetensors") == WEIGHTS
        assert hub.log.count("PUT") == 0

    def test_what_goes_to_the_storage(self, hub, alice, box):
        files = {
            "a.safetensors": b"text",
            "b.txt": b"text",
            "c.dat": b"\0\1",
            "d.txt": b"x" * (10 * 2**20 + 1),
            "e": b"",
        }
        operations = [add(path, content) for path, content in files.items()]
        create_commit("alice/box", operations, commit_message="Several")
        commit = hub.repository("alice/box").resolve("main")
        assert {path for path in files if commit.files[path].sha256} == {"a.safetensors", "c.dat", "d.txt"}
        assert {path: hub.read("alice/box", path) for path in files} == files
        assert hub.log.count("PUT") == 3

    def test_to_a_branch(self, hub, alice, box):
        HfApi().create_branch("alice/box", branch="feature/x")
        create_commit("alice/box", [add("a", b"1")], commit_message="A", revision="feature/x")
        assert hub.read("alice/box", "a", "feature/x") == b"1"
        assert "a" not in hub.paths("alice/box")
        with pytest.raises(RevisionNotFoundError):
            create_commit("alice/box", [add("a", b"1")], commit_message="A", revision="nowhere")

    def test_deleting(self, hub, alice, box):
        hub.commit("alice/box", {"old/a": b"1", "old/b": b"2"})
        operations = [CommitOperationDelete("old/"), CommitOperationDelete("config.json"), add("new", b"3")]
        create_commit("alice/box", operations, commit_message="Tidy")
        assert hub.paths("alice/box") == [".gitattributes", "README.md", "motion.safetensors", "new"]
        with pytest.raises(RemoteEntryNotFoundError, match="doesn't exist"):
            create_commit("alice/box", [CommitOperationDelete("nothing")], commit_message="Tidy")

    def test_copying(self, hub, alice, box):
        operations = [CommitOperationCopy(name, f"copy/{name}") for name in ("config.json", "motion.safetensors")]
        create_commit("alice/box", operations, commit_message="Copy")
        assert hub.read("alice/box", "copy/config.json") == CONFIG
        assert hub.read("alice/box", "copy/motion.safetensors") == WEIGHTS
        assert hub.log.count("PUT") == hub.log.count("GET", "/lfs/*") == 0

    def test_a_commit_that_came_too_late(self, hub, alice, box):
        create_commit("alice/box", [add("a", b"1")], commit_message="A", parent_commit=box)
        with pytest.raises(HfHubHTTPError, match="A commit has happened since") as error:
            create_commit("alice/box", [add("b", b"1")], commit_message="B", parent_commit=box)
        assert status_of(error) == 412
        assert "b" not in hub.paths("alice/box")

    def test_commits_at_the_same_time(self, hub, alice, box):
        names = [f"{number}.safetensors" for number in range(8)]
        together = threading.Barrier(len(names))

        def commit(name: str) -> str:
            together.wait()
            return create_commit("alice/box", [add(name, name.encode() * 99)], commit_message=name).oid

        with ThreadPoolExecutor(len(names)) as pool:
            commits = set(pool.map(commit, names))
        assert set(names) < set(hub.paths("alice/box"))
        assert commits == {commit.id for commit in hub.repository("alice/box").history("main")[: len(names)]}

    def test_who_may_not(self, hub, hub_client, box):
        def commit(token, **arguments) -> None:
            create_commit("alice/box", [add("a", b"1")], commit_message="A", token=token, **arguments)

        with pytest.raises(RepositoryNotFoundError) as error:
            commit(token=False)
        assert status_of(error) == 401
        bob, reader = hub.tokens.add("bob"), hub.tokens.add("alice", role="read")
        with pytest.raises(HfHubHTTPError, match="create_pr") as error:
            commit(token=bob)
        assert status_of(error) == 403
        with pytest.raises(HfHubHTTPError, match="write token"):
            commit(token=reader)
        with pytest.raises(RepositoryNotFoundError, match="already exists"):
            create_commit("alice/nothing", [add("a", b"1")], commit_message="A", token=bob)
        assert hub.log.commits == []
        hub.tokens[bob] = type(hub.tokens[bob])("bob", organizations=("alice",))
        commit(token=bob)
        assert hub.read("alice/box", "a") == b"1"


class TestPullRequests:
    def test_pull_request(self, hub, alice, box):
        made = create_commit("alice/box", [add("a", b"1")], commit_message="A", create_pr=True)
        assert (made.pr_revision, made.pr_num) == ("refs/pr/1", 1)
        assert made.pr_url == f"{hub.endpoint}/alice/box/discussions/1"
        assert hub.repository("alice/box").resolve("main").id == box
        refs = HfApi().list_repo_refs("alice/box", include_pull_requests=True)
        assert [(ref.ref, ref.target_commit) for ref in refs.pull_requests] == [("refs/pr/1", made.oid)]
        assert Path(hf_hub_download("alice/box", "a", revision="refs/pr/1")).read_bytes() == b"1"
        second = create_commit("alice/box", [add("b", b"1")], commit_message="B", create_pr=True)
        assert second.pr_revision == "refs/pr/2"

    def test_more_commits_to_a_pull_request(self, hub, alice, box):
        create_commit("alice/box", [add("a", b"1")], commit_message="A", create_pr=True)
        create_commit("alice/box", [add("b", b"1")], commit_message="B", revision="refs/pr/1")
        assert {"a", "b"} < set(hub.paths("alice/box", "refs/pr/1"))
        assert "b" not in hub.paths("alice/box")

    def test_a_folder_from_somebody_else(self, hub, hub_client, folder):
        hub.create_repo("alice/box")
        made = upload_folder(
            repo_id="alice/box", folder_path=folder, create_pr=True, token=hub.tokens.add("bob"), commit_message="Mine"
        )
        assert {name: hub.read("alice/box", name, made.pr_revision) for name in FILES} == FILES
        assert hub.repository("alice/box").resolve("refs/pr/1").author == "bob"
        assert hub.paths("alice/box") == [".gitattributes"]
        assert len(hub.log.commits) == 1

    def test_a_pull_request_against_an_older_commit(self, hub, alice, box):
        hub.commit("alice/box", {"later": b"1"})
        made = create_commit("alice/box", [add("a", b"1")], commit_message="A", create_pr=True, parent_commit=box)
        assert "later" not in hub.paths("alice/box", made.pr_revision)

    def test_a_pull_request_without_a_commit(self, hub, alice, box):
        request = HfApi().create_pull_request("alice/box", "Title")
        assert (request.num, request.git_reference, request.target_branch) == (1, "refs/pr/1", "refs/heads/main")
        assert hub.repository("alice/box").resolve("refs/pr/1").id == box

    def test_a_refused_commit_opens_none(self, hub, alice, box):
        with pytest.raises(RemoteEntryNotFoundError):
            create_commit("alice/box", [CommitOperationDelete("nothing")], commit_message="A", create_pr=True)
        assert hub.repository("alice/box").refs("refs/pr/") == {}


class TestCards:
    @pytest.mark.parametrize(
        ("metadata", "match"),
        [("a: [", "YAML Metadata Error"), ("- a", "not a mapping"), ("tags: motion", '"tags" must be list')],
    )
    def test_a_wrong_card_stops_the_upload(self, hub, alice, box, folder, metadata, match):
        (folder / "README.md").write_text(f"---\n{metadata}\n---\n")
        with pytest.raises(ValueError, match=match):
            upload_folder(repo_id="alice/box", folder_path=folder)
        assert hub.log.lines == [("POST", "/api/validate-yaml", 400)]

    def test_a_card_without_metadata_is_a_warning(self, hub, alice, box):
        with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
            create_commit("alice/box", [add("README.md", b"# Motion\n")], commit_message="Card")
        assert hub.read("alice/box", "README.md") == b"# Motion\n"


class TestXet:
    """What the client does if it is not told to leave Xet alone, as on the machines of most users."""

    @pytest.fixture
    def alice(self, alice, hub_client):
        pytest.importorskip("hf_xet")
        hub_client.set(HF_HUB_DISABLE_XET=False)
        hub_client.set_environment(SSL_CERT_DIR=None)  # hf_xet does not begin without certificates
        return alice

    def test_downloads_go_the_plain_way_as_no_answer_speaks_of_xet(self, hub, alice, box):
        assert Path(hf_hub_download("alice/box", "motion.safetensors")).read_bytes() == WEIGHTS
        assert hub.log.count("GET", "/lfs/*") == 1

    @since("huggingface_hub", "2.4", "asks whether there is xet")
    def test_uploads_to_the_storage_ask_for_xet_without_asking_whether(self, hub, alice, box):
        with pytest.raises(ConnectionError, match="xet-write-token"):
            create_commit("alice/box", [add("new.safetensors", b"new")], commit_message="New")
        assert hub.log.lines[-1] == ("GET", "/api/models/alice/box/xet-write-token/main", 404)

    def test_a_small_folder_is_one_commit_here_too(self, hub, alice, box, folder):
        (folder / "motion.safetensors").unlink()
        (folder / "config.json").write_text("{}")
        upload_folder(repo_id="alice/box", folder_path=folder)
        assert len(hub.log.commits) == 1
        assert hub.read("alice/box", "config.json") == b"{}"

    @since("huggingface_hub", "2.4", "opens a pull request with its commit")
    def test_a_pull_request_is_opened_first_and_filled_then(self, hub, alice, box, folder):
        (folder / "motion.safetensors").unlink()
        (folder / "config.json").write_text("{}")
        made = upload_folder(repo_id="alice/box", folder_path=folder, create_pr=True)
        assert made.pr_url == f"{hub.endpoint}/alice/box/discussions/1"
        assert hub.read("alice/box", "config.json", "refs/pr/1") == b"{}"
        assert [entry.path for entry in hub.log.commits] == ["/api/models/alice/box/commit/refs/pr/1"]
        assert hub.log.count("POST", "*/discussions") == 1


class TestServer:
    def test_what_it_does_not_know(self, hub, hub_client):
        with pytest.raises(HfHubHTTPError, match="has no GET /api/models-tags-by-type") as error:
            HfApi().get_model_tags()
        assert status_of(error) == 404

    def test_its_own_failures_are_not_taken_for_the_hubs(self, hub, hub_client, box):
        (hub.repository("alice/box").folder / "refs" / "refs%2Fheads%2Fmain").write_text("0" * 40)
        with pytest.raises(HfHubHTTPError, match="has a bug"):
            model_info("alice/box")
        [error] = hub.errors
        assert "GET /api/models/alice/box" in error
        assert "FileNotFoundError" in error
        for wire in hub._wires:
            wire.errors.clear()  # or the fixture fails this test, as it should

    def test_it_can_be_gone(self, hub, hub_client, box):
        path = hf_hub_download("alice/box", "config.json")
        hub.close()
        assert hf_hub_download("alice/box", "config.json") == path  # from the cache, without a word
        with pytest.raises(Exception, match="Connection refused"):
            model_info("alice/box")
