"""Collections of repositories on the Hub."""

from dataclasses import dataclass, field

from tests.hub.accounts import Account
from tests.hub.refusals import Refusal
from tests.hub.repository import git_blob_id


@dataclass
class Collection:
    """One of them, as the Hub tells of it."""

    slug: str
    title: str
    owner: str
    private: bool
    items: list[dict] = field(default_factory=list)

    def told(self) -> dict:
        settings = {"lastUpdated": "2026-01-01T00:00:00.000Z", "position": 0, "theme": "blue", "upvotes": 0}
        owner = {"name": self.owner, "type": "user"}
        facts = {"slug": self.slug, "title": self.title, "owner": owner, "private": self.private}
        return {**facts, **settings, "items": self.items}


class Collections(dict[str, Collection]):
    """Collections by slug."""

    def create(self, user: Account, title: str, namespace: str, private: bool) -> Collection:
        if not user.writes_to(namespace):
            raise Refusal(403, f"You may not make a collection for {namespace}")
        words = "-".join(title.lower().split())
        slug = f"{namespace}/{words}-{git_blob_id(title.encode())[:24]}"
        if slug in self:
            raise Refusal(409, "This collection exists already", body={"slug": slug})
        self[slug] = Collection(slug, title, namespace, private)
        return self[slug]

    def find(self, slug: str) -> Collection:
        if slug not in self:
            raise Refusal(404, "Collection not found")
        return self[slug]

    def add(self, user: Account, slug: str, repo_id: str, kind: str) -> Collection:
        collection = self.find(slug)
        if not user.writes_to(collection.owner):
            raise Refusal(403, f"You may not change {slug}")
        if any(item["id"] == repo_id for item in collection.items):
            raise Refusal(409, "This is in the collection already")
        position = len(collection.items)
        item = {"_id": git_blob_id(repo_id.encode())[:24], "id": repo_id, "type": kind, "position": position}
        collection.items.append(item)
        return collection
