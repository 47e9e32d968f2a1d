"""Every fault of the Hub of the tests, and what huggingface_hub 2.4.0 does about it.

The client waits a second before it tries again, whatever the Hub says (Retry-After: 0 is a second too), so cases with
a second try run side by side, once, and the tests look at what came of them.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    create_commit,
    create_repo,
    hf_hub_download,
    model_info,
    snapshot_download,
    upload_folder,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub.client import pointed_at
from tests.hub.faults import (
    Fault,
    Faults,
    corrupt,
    cut,
    hang_up,
    hang_up_on_upload,
    ignore_range,
    late,
    lose_answer,
    misstate,
    refuse,
    resize,
    slow,
)
from tests.hub.server import Hub
from tests.versions import RemoteEntryNotFoundError, since


pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    since("huggingface_hub", "2.4", "tries other calls again, and says other things of them"),
]

CONTENT = bytes(range(1, 251)) * 8  # without a zero, or the Hub would take any file for a binary one
CONTENT_OF_CONFIG = b'{"num_frames": 4}'


@dataclass
class Case:
    """A call during which something goes wrong.

    Args:
        faults: Methods, faults, and how many times.
        answers: Method, status and bytes sent of all requests for contents and what is said of them.
        error: Name of the exception's class; None if all is well in the end. By name, as those of httpx belong to no
            package that is asked for by name.
    """

    faults: list[tuple[str, Fault, int | None]]
    answers: list[tuple]
    error: str | None = None


@dataclass
class Outcome:
    content: bytes | None
    error: BaseException | None
    answers: list[tuple]


def run(call: Callable[[str], bytes], cases: dict[str, Case], answers: Callable[[str], list[tuple]]) -> dict:
    """The outcomes of calls with the names of cases, all at the same time."""

    def one(name: str) -> Outcome:
        try:
            content, error = call(name), None
        except Exception as raised:
            content, error = None, raised
        return Outcome(content, error, answers(name))

    with ThreadPoolExecutor(len(cases)) as pool:
        return dict(zip(cases, pool.map(one, cases), strict=True))


def content_of(name: str) -> bytes:
    """Another one for each file, or the client would find it in its cache; all of one size."""
    return name.encode().ljust(50) + CONTENT[50:]


# Names of files: those that end with json are sent by the Hub itself, the others by the storage.
FOUND = ("HEAD", 302, 0)
REDIRECTED = ("HEAD", 307, 0)
KNOWN = ("HEAD", 200, 0)
SIZE = len(CONTENT)
DOWNLOADS = {
    # What is cut is continued from where it was: in pieces of DOWNLOAD_CHUNK_SIZE, which is 10 MB, so see below.
    "cut.bin": Case([("GET", cut(500), 1)], [FOUND, ("GET", 200, 500), ("GET", 206, SIZE - 500)]),
    "cut.json": Case([("GET", cut(500), 1)], [REDIRECTED, KNOWN, ("GET", 200, 500), ("GET", 206, SIZE - 500)]),
    "cut-twice.bin": Case(
        [("GET", cut(500), 2)], [FOUND, ("GET", 200, 500), ("GET", 206, 500), ("GET", 206, SIZE - 1000)]
    ),
    "cut-and-begun-anew.bin": Case(
        [("GET", cut(500), 1), ("GET", ignore_range(), 1)], [FOUND, ("GET", 200, 500), ("GET", 200, SIZE)]
    ),
    "cut-always.bin": Case([("GET", cut(0), None)], [FOUND] + [("GET", 200, 0)] * 6, error="RemoteProtocolError"),
    "slow.bin": Case([("GET", slow(30), 1)], [FOUND, ("GET", 200, SIZE // 2), ("GET", 206, SIZE // 2)]),
    "hung-up.bin": Case([("GET", hang_up(), 1)], [FOUND, ("GET", None, 0), ("GET", 200, SIZE)]),
    "longer-than-said.bin": Case([("GET", misstate(Content_Length=str(SIZE + 9)), 1)], [FOUND, ("GET", 200, SIZE)]),
    "too-many-requests.bin": Case(
        [("GET", refuse(429, retry_after=0), 1)], [FOUND, ("GET", 429, 0), ("GET", 200, SIZE)]
    ),
    "unavailable-twice.bin": Case(
        [("HEAD", refuse(503, retry_after=0), 2)],
        [("HEAD", 503, 0), ("HEAD", 503, 0), FOUND, ("GET", 200, SIZE)],
    ),
    # Once without a second try, in case there is a copy in the cache; then once more with up to five further tries.
    "unavailable.bin": Case(
        [("HEAD", refuse(503, retry_after=0), None)], [("HEAD", 503, 0)] * 7, error="LocalEntryNotFoundError"
    ),
}


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    """Outcomes of the downloads that wait."""
    home = tmp_path_factory.mktemp("downloads")
    hub = Hub(home / "hub")
    for name, case in DOWNLOADS.items():
        hub.commit("alice/box", {name: content_of(name)})
        for method, fault, times in case.faults:
            hub.faults.add(method, f"*/{name}", fault, times)

    def answers(name: str) -> list[tuple]:
        return [(entry.method, entry.status, entry.sent) for entry in hub.log.of(path=f"*/{name}")]

    with pointed_at(hub.endpoint, home) as client:
        client.set(DOWNLOAD_CHUNK_SIZE=100, HF_HUB_DOWNLOAD_TIMEOUT=3)
        outcomes = run(lambda name: Path(hf_hub_download("alice/box", name)).read_bytes(), DOWNLOADS, answers)
    hub.close()
    assert not hub.errors
    return outcomes


@pytest.mark.parametrize("name", DOWNLOADS)
def test_download_that_is_tried_again(downloads, name):
    case, outcome = DOWNLOADS[name], downloads[name]
    assert outcome.answers == case.answers
    if case.error is None:
        assert outcome.error is None
        assert outcome.content == content_of(name)
    else:
        assert type(outcome.error).__name__ == case.error


# Requests of an upload of new weights, one after the other.
STEPS = {
    "preupload": ("POST", "/api/models/alice/{}/preupload/main"),
    "batch": ("POST", "/alice/{}.git/info/lfs/objects/batch"),
    "put": ("PUT", "/lfs/model/alice/{}/*"),
    "verify": ("POST", "/alice/{}.git/info/lfs/objects/verify"),
    "commit": ("POST", "/api/models/alice/{}/commit/main"),
}
# Step, fault, statuses of that step, and whether the folder arrives.
UPLOADS = {
    "preupload-unavailable": ("preupload", refuse(503, retry_after=0), [503, 200], None),
    "batch-failing": ("batch", refuse(500), [500, 200], None),
    "put-unavailable": ("put", refuse(503, retry_after=0), [503, 200], None),
    "put-too-many": ("put", refuse(429, retry_after=0), [429, 200], None),
    "put-cut": ("put", hang_up_on_upload(500), [None, 200], None),
    "put-reset": ("put", hang_up(reset=True), [None, 200], None),
    "put-lost": ("put", lose_answer(), [None, 200], None),
    "put-forbidden": ("put", refuse(403), [403], "RuntimeError"),
    "verify-failing": ("verify", refuse(500), [500, 200], None),
    "verify-denied": ("verify", refuse(422), [422], "RuntimeError"),
    "commit-unavailable": ("commit", refuse(503, retry_after=0), [503], "HfHubHTTPError"),
    "commit-hung-up": ("commit", hang_up(), [None], "RemoteProtocolError"),
    "commit-reset": ("commit", hang_up(reset=True), [None], "ReadError"),
    "commit-lost": ("commit", lose_answer(), [None], "RemoteProtocolError"),
}


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    """Outcomes of uploads, and the Hub they went to."""
    home = tmp_path_factory.mktemp("uploads")
    hub = Hub(home / "hub")
    for name, (step, fault, _, _) in UPLOADS.items():
        hub.create_repo(f"alice/{name}")
        method, path = STEPS[step]
        hub.faults.add(method, path.format(name), fault)

    def upload(name: str) -> bytes:
        operations = [CommitOperationAdd("motion.safetensors", CONTENT), CommitOperationAdd("config.json", b"{}")]
        create_commit(f"alice/{name}", operations, commit_message="Motion")
        return hub.read(f"alice/{name}", "motion.safetensors")

    def answers(name: str) -> list[tuple]:
        method, path = STEPS[UPLOADS[name][0]]
        return [entry.status for entry in hub.log.of(method, path.format(name))]

    with pointed_at(hub.endpoint, home) as client:
        client.login(hub.tokens.add("alice"))
        outcomes = run(upload, UPLOADS, answers)
    hub.close()
    assert not hub.errors
    assert hub.faults.pending == []
    return hub, outcomes


@pytest.mark.parametrize("name", UPLOADS)
def test_upload(uploads, name):
    hub, outcomes = uploads
    _, _, statuses, error = UPLOADS[name]
    outcome = outcomes[name]
    assert outcome.answers == statuses
    if error is None:
        assert outcome.error is None
        assert outcome.content == CONTENT
    else:
        assert type(outcome.error).__name__ == error
    arrived = error is None or name == "commit-lost"  # which the client cannot know
    assert ("config.json" in hub.paths(f"alice/{name}")) == arrived
    assert len([entry for entry in hub.log.commits if f"/{name}/" in entry.path]) == arrived


def test_the_reason_of_a_failed_upload_to_the_storage_is_the_cause(uploads):
    _, outcomes = uploads
    assert "Error while uploading 'motion.safetensors'" in str(outcomes["put-forbidden"].error)
    assert outcomes["put-forbidden"].error.__cause__.response.status_code == 403


@pytest.fixture
def box(hub, hub_client):
    hub_client.login(hub.tokens.add("alice"))
    return hub.commit("alice/box", {"config.json": CONTENT_OF_CONFIG, "motion.safetensors": CONTENT})


def fetch(name: str = "config.json", **arguments) -> bytes:
    return Path(hf_hub_download("alice/box", name, **arguments)).read_bytes()


class TestDownloads:
    def test_a_small_file_that_is_cut_begins_anew(self, hub, box):
        # The client keeps what has arrived in whole pieces of 10 MB, so of a small file nothing.
        hub.faults.add("GET", "*motion.safetensors", cut(1500))
        assert fetch("motion.safetensors") == CONTENT
        gets = hub.log.of("GET")
        assert [(entry.status, entry.headers.get("range"), entry.sent) for entry in gets] == [
            (200, None, 1500),
            (200, None, SIZE),
        ]

    def test_what_is_reset_is_not_tried_again(self, hub, box):
        hub.faults.add("GET", "*motion.safetensors", cut(1500, reset=True))
        with pytest.raises(Exception, match="reset by peer") as error:
            fetch("motion.safetensors")
        assert error.type.__name__ == "ReadError"
        assert not issubclass(error.type, OSError)
        assert hub.log.count("GET") == 1

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_a_failing_hub_is_not_asked_again_for_a_content(self, hub, box, status):
        hub.faults.add("GET", "*config.json", refuse(status, retry_after=0))
        with pytest.raises(HfHubHTTPError) as error:
            fetch()
        assert error.value.response.status_code == status
        assert hub.log.count("GET") == 1
        assert fetch() == CONTENT_OF_CONFIG

    @pytest.mark.parametrize("status", [408, 429, 500, 503])
    def test_one_failure_before_the_content_goes_unseen(self, hub, box, status):
        hub.faults.add("HEAD", "*config.json", refuse(status, retry_after=0))
        assert fetch() == CONTENT_OF_CONFIG
        assert [entry.status for entry in hub.log] == [status, 307, 200, 200]

    @pytest.mark.parametrize(("reset", "name"), [(False, "RemoteProtocolError"), (True, "ReadError")])
    def test_a_connection_that_ends_before_the_content(self, hub, box, reset, name):
        fetch()
        for _ in range(2):
            hub.faults.add("HEAD", "*", hang_up(reset=reset))
            with pytest.raises(Exception, match=r"reset by peer|Server disconnected") as error:
                fetch()  # although it is in the cache
            assert error.type.__name__ == name
            assert not issubclass(error.type, OSError)

    def test_an_answer_that_comes_too_late(self, hub, box):
        hub.faults.add("HEAD", "*config.json", late(5))
        assert fetch(etag_timeout=0.3) == CONTENT_OF_CONFIG  # at the second try, which waits for a minute
        assert hub.log.count("HEAD", "*/resolve/*") == 2

    @pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
    def test_what_is_in_the_cache_is_used_whatever_the_hub_says(self, hub, box, status):
        fetch()
        hub.log.clear()
        hub.faults.add("HEAD", "*", refuse(status))
        assert fetch() == CONTENT_OF_CONFIG
        assert [entry.status for entry in hub.log] == [status]

    @pytest.mark.parametrize("code", ["GatedRepo", "RepoNotFound"])
    def test_also_if_access_was_withdrawn(self, hub, box, code):
        fetch()
        hub.faults.add("HEAD", "*", refuse(403, code=code))
        assert fetch() == CONTENT_OF_CONFIG

    @pytest.mark.parametrize(
        ("code", "error"), [("RevisionNotFound", RevisionNotFoundError), ("EntryNotFound", RemoteEntryNotFoundError)]
    )
    def test_but_not_if_the_file_is_gone(self, hub, box, code, error):
        fetch()
        hub.faults.add("HEAD", "*", refuse(404, code=code))
        with pytest.raises(error):
            fetch()

    def test_forcing_a_download_ends_at_the_first_failure(self, hub, box):
        hub.faults.add("HEAD", "*", refuse(503))
        with pytest.raises(ValueError, match="Force download failed") as error:
            fetch(force_download=True)
        assert isinstance(error.value.__cause__, HfHubHTTPError)

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (refuse(401), HfHubHTTPError),
            (refuse(401, code="RepoNotFound"), RepositoryNotFoundError),
            (refuse(401, code="GatedRepo"), GatedRepoError),
            (refuse(403, code="GatedRepo"), GatedRepoError),
            (refuse(404, code="RepoNotFound"), RepositoryNotFoundError),
            (refuse(404, code="RevisionNotFound"), RevisionNotFoundError),
            (refuse(404, code="EntryNotFound"), RemoteEntryNotFoundError),
            # Without a reason the client takes these for a bad connection.
            (refuse(403, message="No."), LocalEntryNotFoundError),
            (refuse(404), LocalEntryNotFoundError),
        ],
    )
    def test_refusals(self, hub, box, fault, error):
        hub.faults.add("HEAD", "*", fault)
        with pytest.raises(error) as raised:
            fetch()
        assert raised.type is error
        assert len(hub.log) == 1

    def test_a_wrong_content_of_the_right_size_goes_unseen(self, hub, box):
        hub.faults.add("GET", "*motion.safetensors", corrupt())
        wrong = fetch("motion.safetensors")
        assert len(wrong) == SIZE
        assert wrong != CONTENT
        assert fetch("motion.safetensors") == wrong  # and stays in the cache, under the right content's checksum
        assert fetch("motion.safetensors", force_download=True) == CONTENT

    @pytest.mark.parametrize(
        ("method", "fault"),
        [
            ("GET", resize(-1)),
            ("GET", resize(1)),
            ("GET", misstate(Content_Length="1000")),
            ("HEAD", misstate(X_Linked_Size="7")),
        ],
    )
    def test_a_wrong_size_is_seen(self, hub, box, hub_client, method, fault):
        hub.faults.add(method, "*motion.safetensors", fault)
        with pytest.raises(OSError, match="Consistency check failed"):
            fetch("motion.safetensors")
        assert list(hub_client.cache.glob("**/*.incomplete")) == []  # nothing is kept to be continued
        assert fetch("motion.safetensors") == CONTENT

    def test_a_wrong_size_of_a_small_file(self, hub, box):
        hub.faults.add("HEAD", "/api/resolve-cache/*", misstate(Content_Length="7"))
        with pytest.raises(OSError, match="should be of size 7 but has size"):
            fetch()

    @pytest.mark.parametrize(
        ("fault", "match"),
        [
            (misstate(ETag=None), "does not have an ETag"),
            (misstate(X_Repo_Commit=None), "missing the 'X-Repo-Commit'"),
        ],
    )
    def test_missing_headers(self, hub, box, fault, match):
        hub.faults.add("HEAD", "/api/resolve-cache/*", fault)
        with pytest.raises(LocalEntryNotFoundError, match=match):
            fetch()

    def test_a_snapshot_needs_its_first_request(self, hub, box):
        hub.faults.add("GET", "/api/models/alice/box/*", refuse(503, retry_after=0))
        with pytest.raises(LocalEntryNotFoundError, match="503"):
            snapshot_download("alice/box")
        assert len(hub.log) == 1


class TestOtherCalls:
    def test_looking_and_making_are_tried_once(self, hub, box):
        hub.faults.add("*", "*", refuse(503, retry_after=0), times=None)
        for call in (lambda: model_info("alice/box"), lambda: create_repo("alice/new", exist_ok=True)):
            with pytest.raises(HfHubHTTPError):
                call()
        assert len(hub.log) == 2

    def test_a_card_that_cannot_be_checked(self, hub, box):
        hub.faults.add("POST", "/api/validate-yaml", refuse(503, retry_after=0))
        with pytest.raises(ValueError, match="Expecting value"):  # of json: not an error of the Hub
            create_commit("alice/box", [CommitOperationAdd("README.md", b"# A")], commit_message="A")
        assert hub.log.commits == []

    def test_with_xet_a_lost_answer_makes_a_folder_two_commits(self, hub, hub_client, box, tmp_path):
        pytest.importorskip("hf_xet")
        hub_client.set(HF_HUB_DISABLE_XET=False)
        hub_client.set_environment(SSL_CERT_DIR=None)  # hf_xet does not begin without certificates
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "other.json").write_text("{}")
        hub.faults.add("POST", "*/commit/*", lose_answer())
        upload_folder(repo_id="alice/box", folder_path=tmp_path / "folder")
        assert [entry.status for entry in hub.log.commits] == [None, 200]
        first, second = hub.repository("alice/box").history("main")[:2]
        assert first.files == second.files


class TestPlanning:
    def test_a_fault_happens_as_often_as_planned(self):
        faults = Faults()
        faults.add("GET", "*/a", hang_up(), times=2)
        assert faults.take("GET", "/x/a").instead is not None
        assert faults.take("HEAD", "/x/a") == faults.take("GET", "/x/b") == Fault()
        assert faults.pending == [("GET", "*/a")]
        assert faults.take("GET", "/y/a").instead is not None
        assert faults.pending == []
        assert faults.take("GET", "/x/a") == Fault()

    def test_faults_come_in_order(self):
        faults, first, second = Faults(), cut(1), cut(2)
        faults.add("*", "*", first)
        faults.add("*", "*", second, times=None)
        assert [faults.take("GET", "/") for _ in range(3)] == [first, second, second]
        assert faults.pending == []
        faults.clear()
        assert faults.take("GET", "/") == Fault()

    def test_faults_do_not_happen_twice_at_the_same_time(self):
        faults = Faults()
        faults.add("GET", "*", hang_up(), times=50)
        together = threading.Barrier(4)

        def take_many(_) -> int:
            together.wait()
            return sum(faults.take("GET", "/") != Fault() for _ in range(40))

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(take_many, range(4))) == 50
