"""Who a token belongs to."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Account:
    """A user, as seen through one of their tokens.

    Args:
        name: Of the user, and the namespace of their repositories.
        role: What the token allows.
        organizations: Further namespaces the user may write to.
    """

    name: str
    role: Literal["read", "write"] = "write"
    organizations: tuple[str, ...] = ()

    def belongs_to(self, namespace: str) -> bool:
        return namespace in (self.name, *self.organizations)

    def writes_to(self, namespace: str) -> bool:
        return self.role == "write" and self.belongs_to(namespace)


class Tokens(dict[str, Account]):
    """Accounts by token."""

    def add(self, name: str, role: Literal["read", "write"] = "write", organizations: tuple[str, ...] = ()) -> str:
        """A new token of a user, who exists from then on."""
        token = f"hf_{name}_{role}_{len(self)}"
        self[token] = Account(name, role, organizations)
        return token
