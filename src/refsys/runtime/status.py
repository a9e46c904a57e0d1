"""What `refsys status` tells: services, roles, queues, inboxes, isolation; also when the system is down."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from typing import Any, Final

import asyncpg
import orjson

from refsys.core.errors import RefsysError
from refsys.infra.postgres import MIGRATED_PACKAGES, connected, require_schema
from refsys.infra.runfile import RunRecord, is_held, read_run
from refsys.infra.settings import Settings
from refsys.infra.telemetry import QUEUES_SQL
from refsys.ingestion.store import inbox_states
from refsys.runtime import services
from refsys.runtime.isolation import Isolation, look

_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Queue:
    """One stage's steps; `oldest_waiting_s`: how long its oldest due step has been due."""

    stage: str
    due: int = 0
    running: int = 0
    parked: int = 0
    oldest_waiting_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Status:
    """`run`: the present run, or the last one where `is_up` is false. `database`, `storage`: "ok" or what is wrong."""

    is_up: bool
    state_dir: str
    run: RunRecord | None
    database: str
    storage: str
    published: int | None
    queues: tuple[Queue, ...]
    inboxes: tuple[dict[str, Any], ...]
    isolation: Isolation

    @property
    def is_well(self) -> bool:
        processes = self.run.processes if self.run and self.is_up else ()
        return (
            self.database == "ok" and self.storage == "ok" and all(process.state == "running" for process in processes)
        )

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self) | {"is_well": self.is_well}, option=orjson.OPT_INDENT_2, default=str)


async def gather(settings: Settings) -> Status:
    """Look at everything; nothing here waits longer than ten seconds, and nothing raises for being down."""
    is_up = is_held(settings.state_dir)
    isolation, storage = await asyncio.gather(asyncio.to_thread(look), _look_at_storage(settings))
    database, published = "not running", None
    queues: tuple[Queue, ...] = ()
    inboxes: tuple[dict[str, Any], ...] = ()
    try:
        async with (
            asyncio.timeout(_TIMEOUT_S),
            connected(services.connect(settings), application="refsys status") as link,
        ):
            await require_schema(link, MIGRATED_PACKAGES)
            queues = _queues(await link.fetch(QUEUES_SQL))
            published = await link.fetchval("SELECT count(*) FROM catalogue.change WHERE kind = 'created'")
            inboxes = await _inboxes(link, settings)
            database = "ok"
    except (RefsysError, asyncpg.PostgresError, OSError, TimeoutError) as error:
        database = str(error) or "does not answer in time"
    return Status(
        is_up=is_up,
        state_dir=str(settings.state_dir),
        run=read_run(settings.state_dir),
        database=database,
        storage=storage,
        published=published,
        queues=queues,
        inboxes=inboxes,
        isolation=isolation,
    )


async def _look_at_storage(settings: Settings) -> str:
    from refsys.infra.storage import open_storage

    try:
        async with asyncio.timeout(_TIMEOUT_S):
            storage = await asyncio.to_thread(open_storage, settings)
            await asyncio.to_thread(storage.stat, "health/ready")
    except (RefsysError, OSError, TimeoutError) as error:
        return str(error) or "does not answer in time"
    return "ok"


def _queues(rows: list[asyncpg.Record]) -> tuple[Queue, ...]:
    stages: dict[str, dict[str, Any]] = {}
    for row in rows:
        stage = stages.setdefault(row["stage"], {})
        stage[row["state"]] = row["steps"]
        if row["state"] == "due":
            stage["oldest_waiting_s"] = round(max(0.0, row["waiting_s"]), 3)
    return tuple(Queue(stage=name, **counts) for name, counts in stages.items())


async def _inboxes(link: asyncpg.Connection, settings: Settings) -> tuple[dict[str, Any], ...]:
    """What the settings say of each inbox, and what its memory says of its looks and offers."""
    known = {state.id: state for state in await inbox_states(link)}
    found = []
    for inbox in settings.inbox:
        told: dict[str, Any] = {"id": inbox.id, "type": inbox.type, "url": inbox.url}
        state = known.get(inbox.id)
        if state is not None:
            told |= {name: value for name, value in asdict(state).items() if name != "id"}
        found.append(told)
    return tuple(found)
