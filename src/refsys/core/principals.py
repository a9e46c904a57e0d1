"""Who asks: what authentication found out about a request, and what that allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class Right(StrEnum):
    """What a request may want to do."""

    SEARCH = "search"
    DOWNLOAD = "download"
    SUBSCRIBE = "subscribe"


@dataclass(frozen=True, slots=True)
class Principal:
    """`name` identifies a user for quotas and ownership; it is empty for whoever did not say who they are."""

    name: str
    rights: frozenset[Right]

    @property
    def is_anonymous(self) -> bool:
        return not self.name


#: Who did not say who they are, where nobody has to.
ANYBODY: Final = Principal("", frozenset(Right))

#: Where authentication leaves the principal in the scope of a request (ASGI).
SCOPE_KEY: Final = "refsys.principal"


def principal_of(scope: Mapping[str, Any]) -> Principal:
    """The principal of a request; ANYBODY where no authentication ran before it."""
    found: Principal = scope.get(SCOPE_KEY, ANYBODY)
    return found
