"""What operators decide of sessions that lack something; each decision is in the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import asyncpg

from refsys.catalogue.audit import Deed, record
from refsys.core.errors import RefsysError
from refsys.ingestion.sessions import store
from refsys.ingestion.sessions.judged import judge
from refsys.ingestion.sessions.model import Session
from refsys.ingestion.sessions.reading import fetch_session

_RELEASE: Final = """
UPDATE ingestion.session SET passed_at = coalesce(passed_at, clock_timestamp()), wait_until = NULL, is_held = false
 WHERE id = $1
"""
_WAIT: Final = """
UPDATE ingestion.session
   SET passed_at = NULL, wait_until = $2, is_held = $2::timestamptz IS NULL, deadline_at = $2
 WHERE id = $1
"""
_GIVE_UP: Final = """
UPDATE ingestion.session SET gave_up = true, wait_until = NULL, is_held = false WHERE id = $1
"""


async def release(connection: asyncpg.Connection, name: str, retransfer: bool, deed: Deed) -> Session:
    """Hand a session over to production now, flagged as incomplete; what comes later is handed over again.

    Raises RefsysError where it is unknown, complete, or nothing of it is stored.
    """
    session = await _held(connection, name, retransfer, needs_blocks=True)
    await connection.execute(_RELEASE, session.id)
    await judge(connection, session.name, {retransfer}, settle=True, hand=f"released by {deed.author}: {deed.reason}")
    return await _decided(connection, session, deed, "release session")


async def wait(
    connection: asyncpg.Connection, name: str, retransfer: bool, deed: Deed, *, until: datetime | None
) -> Session:
    """Wait for what is missing until an instant, None = for as long as nobody releases it.

    A session that becomes complete is handed over all the same. Raises RefsysError where it is unknown or complete.
    """
    session = await _held(connection, name, retransfer, needs_blocks=False)
    await connection.execute(_WAIT, session.id, until)
    await judge(connection, session.name, {retransfer})
    return await _decided(connection, session, deed, "wait for session", {"until": until and until.isoformat()})


async def forget_missing(connection: asyncpg.Connection, name: str, retransfer: bool, deed: Deed) -> Session:
    """Take a session as complete without what is missing: that is not awaited, nor asked for, any more.

    Raises RefsysError where it is unknown, complete, or nothing of it is stored.
    """
    session = await _held(connection, name, retransfer, needs_blocks=True)
    missing = {str(each.channel): list(each.missing) for each in session.channels if each.missing}
    await connection.execute(_GIVE_UP, session.id)
    why = f"what is missing was given up by {deed.author}: {deed.reason}"
    await judge(connection, session.name, {retransfer}, settle=True, hand=why)
    return await _decided(connection, session, deed, "forget missing blocks", {"missing": missing})


async def _held(connection: asyncpg.Connection, name: str, retransfer: bool, *, needs_blocks: bool) -> Session:
    await store.hold(connection, [name.upper()])
    session = await fetch_session(connection, name, retransfer)
    if session is None:
        other = await fetch_session(connection, name, not retransfer)
        raise RefsysError(
            "is not known" if other is None else f"has {'no' if retransfer else 'only a'} retransfer",
            subject=name,
            advice="`refsys session list` shows what is" if other is None or retransfer else "add --retransfer",
        )
    if session.state == "complete":
        raise RefsysError("is complete: there is nothing to wait for", subject=name)
    if needs_blocks and not any(channel.stored for channel in session.channels):
        raise RefsysError("has nothing that is stored", subject=name, advice="`refsys session wait` puts off its end")
    return session


async def _decided(
    connection: asyncpg.Connection, session: Session, deed: Deed, action: str, details: dict[str, Any] | None = None
) -> Session:
    told = {"session": session.name, "retransfer": session.retransfer} | (details or {})
    await record(connection, action, deed, names=[session.name], details=told)
    found = await fetch_session(connection, session.name, session.retransfer)
    assert found is not None
    return found
