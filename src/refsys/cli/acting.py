"""What every command of the operator's control has in common: who acts and why, a connection, a transaction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from refsys.core.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime

    import asyncpg

    from refsys.catalogue.audit import Deed

_Answer = TypeVar("_Answer")

Reason = Annotated[str, typer.Option("--reason", "-m", help="why; kept in the audit trail")]
Author = Annotated[str, typer.Option("--author", help="who says so; default: your user name", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="one JSON object per line")]


def deed(author: str, reason: str) -> Deed:
    """Who acts and why. Raises RefsysError where the reason is empty."""
    import getpass

    from refsys.catalogue.audit import Deed

    return Deed(author or getpass.getuser(), reason)


def run(context: typer.Context, ask: Callable[[asyncpg.Connection], Awaitable[_Answer]]) -> _Answer:
    """Ask something of the system's database."""

    async def asked() -> _Answer:
        async with _connected(context) as connection:
            return await ask(connection)

    return asyncio.run(asked())


def run_in_transaction(context: typer.Context, ask: Callable[[asyncpg.Connection], Awaitable[_Answer]]) -> _Answer:
    """Do something whole or not at all."""

    async def asked(connection: asyncpg.Connection) -> _Answer:
        async with connection.transaction():
            return await ask(connection)

    return run(context, asked)


def instant(text: str, option: str) -> datetime | None:
    """A date of an option; None where it is empty. Raises ConfigurationError."""
    from datetime import UTC, datetime

    from refsys.core.times import parse_moment

    if not text:
        return None
    try:
        return parse_moment(text, now=datetime.now(UTC))
    except ValueError as error:
        raise ConfigurationError(f"{option} {text}: is no date", advice="for example 2025-03-01") from error


def print_json(value: Any) -> None:
    """One JSON object on a line."""
    from dataclasses import asdict, is_dataclass

    import orjson

    from refsys.cli.finding import to_plain

    typer.echo(orjson.dumps(to_plain(asdict(value) if is_dataclass(value) and not isinstance(value, type) else value)))


@asynccontextmanager
async def _connected(context: typer.Context) -> AsyncIterator[asyncpg.Connection]:
    from refsys.cli.context import load
    from refsys.infra.postgres import connected
    from refsys.runtime.services import connect

    async with connected(connect(load(context)), application="refsys operator") as connection:
        yield connection
