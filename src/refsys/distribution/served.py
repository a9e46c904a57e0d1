"""What every dialect of an API process stands on: the database, the storage, the tables of types, the settings."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import asyncpg
from starlette.requests import HTTPConnection

from refsys.catalogue.search import BUDGET_S, Budget, TooCostly
from refsys.core.errors import Transient
from refsys.distribution.secrets import fetch_secret
from refsys.infra.postgres import DATABASE_ERRORS
from refsys.infra.settings import Settings
from refsys.infra.storage import Storage
from refsys.missions import TypeRegistry

#: Where the server leaves, in the scope of a request, an asyncio.Event that is set when the process shall end.
STOP_KEY: Final = "refsys.stop"

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class Served:
    """Shared by all routes of a process. What has to run beside them is added to `background` before it starts."""

    pool: asyncpg.Pool
    storage: Storage
    types: TypeRegistry
    settings: Settings
    budget_s: float = BUDGET_S
    background: list[Callable[[], AbstractAsyncContextManager[object]]] = field(default_factory=list)
    _secrets: dict[str, bytes] = field(default_factory=dict)
    _made: dict[Any, Any] = field(default_factory=dict)

    def once(self, make: Callable[[Served], _Made]) -> _Made:
        """What `make` makes of this, made when it is first asked for: all roots of the process share it."""
        if make not in self._made:
            self._made[make] = make(self)
        made: _Made = self._made[make]
        return made

    def base_url(self, request: HTTPConnection) -> str:
        """The address under which the user knows the service, without a final slash."""
        given = self.settings.http.public_url.rstrip("/")
        return given or f"{request.url.scheme}://{request.url.netloc}"

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncpg.Connection, Budget]]:
        """A connection, and the time that the request has for it, waiting included. Raises TooCostly, Transient."""
        budget = Budget(self.budget_s)
        try:
            connection = await self.pool.acquire(timeout=budget.left_s())
        except TimeoutError as error:
            raise TooCostly("the database is busy with other searches", advice="try again in a moment") from error
        except DATABASE_ERRORS as error:
            raise Transient("the database does not answer", advice="try again in a moment") from error
        try:
            yield connection, budget
        finally:
            await self.pool.release(connection)

    async def secret(self, name: str, connection: asyncpg.Connection) -> bytes:
        """A key that all processes share (distribution.secrets); asked for once."""
        if name not in self._secrets:
            self._secrets[name] = await fetch_secret(connection, name)
        return self._secrets[name]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """For as long as the process answers requests: what runs beside them."""
        async with contextlib.AsyncExitStack() as stack:
            for start in self.background:
                await stack.enter_async_context(start())
            yield
