"""What the Hub says when it refuses, with the header by which huggingface_hub tells the reasons apart."""


class Refusal(Exception):  # noqa: N818 - it is an answer, not a failure of the server
    """Ends the handling of a request with an error answer.

    Args:
        status: Of HTTP.
        message: For the header X-Error-Message and the body.
        code: For the header X-Error-Code, which decides what exception the client raises.
        commit: For the header X-Repo-Commit: the commit that was looked into.
        body: Further fields of the JSON body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        commit: str | None = None,
        body: dict | None = None,
    ):
        super().__init__(message)
        self.status = status
        self.body = {"error": message, **(body or {})}
        headers = {"X-Error-Message": message, "X-Error-Code": code, "X-Repo-Commit": commit}
        self.headers = {name: value for name, value in headers.items() if value is not None}


def repository_not_found(*, signed_in: bool) -> Refusal:
    """A repository that is not there, or that is nobody's business: the Hub does not say which."""
    if signed_in:
        return Refusal(404, "Repository not found", "RepoNotFound")
    return Refusal(401, "Invalid username or password.", "RepoNotFound")


def revision_not_found(revision: str) -> Refusal:
    return Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str, commit: str | None = None) -> Refusal:
    return Refusal(404, f"Entry not found: {path}", "EntryNotFound", commit=commit)


def gated(repo_id: str, *, signed_in: bool) -> Refusal:
    if signed_in:
        message = f"Access to model {repo_id} is restricted and you are not in the authorized list."
        return Refusal(403, message, "GatedRepo")
    return Refusal(401, f"Access to model {repo_id} is restricted. Please log in.", "GatedRepo")


def conflict() -> Refusal:
    return Refusal(412, "A commit has happened since. Please refresh and try again.")


def invalid_token() -> Refusal:
    return Refusal(401, "Invalid credentials in Authorization header")
