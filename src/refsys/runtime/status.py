"""What `refsys status` tells: services, roles, queues, inboxes, isolation; also when the system is down."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson

from refsys.core.errors import RefsysError
from refsys.infra.postgres import DATABASE_ERRORS, MIGRATED_PACKAGES, connected, require_schema
from refsys.infra.runfile import RunRecord, is_held, read_run
from refsys.infra.settings import InboxSettings, Settings
from refsys.infra.telemetry import QUEUES_SQL, RULES_SQL
from refsys.ingestion.store import STATES, InboxState, inbox_states
from refsys.runtime import services
from refsys.runtime.isolation import Isolation, look
from refsys.web.identity.rules import anonymous_choice

_TIMEOUT_S: Final = 10.0
#: Packages with stages, in the order in which data passes through them.
_WAY: Final = ("ingestion", "catalogue", "production", "distribution", "lifecycle")

#: What is told of an embedded service that has no reason to be there.
NOT_RUNNING: Final = "not running"
NOT_MADE: Final = "not made yet"

#: Steps of refsys.catalogue.reextract, by the type that they are for.
_DESCRIBED_ANEW: Final = """
SELECT key AS type, min((payload ->> 'left')::bigint) AS left FROM work.step
 WHERE stage = 'catalogue.reextract' AND state <> 'parked' GROUP BY key ORDER BY key
"""

_UNKNOWN: Final = {"id": "", "type": "", "url": "", "state": "not looked yet"}


@dataclass(frozen=True, slots=True)
class Queue:
    """One stage's steps; `deferred` of the due ones pause, and the oldest of the others waits `oldest_waiting_s`."""

    stage: str
    due: int = 0
    deferred: int = 0
    running: int = 0
    parked: int = 0
    oldest_waiting_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Status:
    """`run`: the present run, or the last one where `is_up` is false. `database`, `storage`: "ok" or what is wrong.

    `inboxes`: those of the settings, then others that are remembered, whose `type` and `url` are unknown ("").
    `rules`: how many rules of operators are in force, by kind, and the products that holds keep. `described_anew`: the
    types whose products are described anew because tables changed, and how many are `left` (None: not counted yet).
    `anonymous`: what who does not sign in may, by the settings: all, search or none.
    """

    is_up: bool
    state_dir: str
    run: RunRecord | None
    database: str
    storage: str
    published: int | None
    queues: tuple[Queue, ...]
    inboxes: tuple[dict[str, Any], ...]
    isolation: Isolation
    rules: tuple[dict[str, Any], ...] = ()
    described_anew: tuple[dict[str, Any], ...] = ()
    anonymous: str = "all"

    @property
    def is_well(self) -> bool:
        processes = self.run.processes if self.run and self.is_up else ()
        services = self.database == "ok" and self.storage in ("ok", NOT_MADE)
        return services and all(process.state == "running" for process in processes)

    def to_json(self) -> bytes:
        return orjson.dumps(
            asdict(self) | {"is_well": self.is_well}, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z, default=str
        )


async def gather(settings: Settings) -> Status:
    """Look at everything; nothing here waits longer than ten seconds, changes anything, or raises for being down."""
    is_up = is_held(settings.state_dir)
    isolation, storage = await asyncio.gather(asyncio.to_thread(look), _look_at_storage(settings, is_up=is_up))
    database, published = NOT_RUNNING, None
    queues: tuple[Queue, ...] = ()
    inboxes: tuple[dict[str, Any], ...] = tuple(_configured(inbox) for inbox in settings.inbox)
    rules: tuple[dict[str, Any], ...] = ()
    described_anew: tuple[dict[str, Any], ...] = ()
    if is_up or settings.database_url.get_secret_value():
        try:
            async with (
                asyncio.timeout(_TIMEOUT_S),
                connected(services.connect(settings), application="refsys status") as link,
            ):
                await require_schema(link, MIGRATED_PACKAGES)
                queues = _queues(await link.fetch(QUEUES_SQL))
                published = await link.fetchval("SELECT count(*) FROM catalogue.change WHERE kind = 'created'")
                inboxes = await _inboxes(link, settings)
                rules = tuple(dict(row) for row in await link.fetch(RULES_SQL) if row["in_force"])
                described_anew = tuple(dict(row) for row in await link.fetch(_DESCRIBED_ANEW))
                database = "ok"
        except (RefsysError, *DATABASE_ERRORS) as error:
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
        rules=rules,
        described_anew=described_anew,
        anonymous=anonymous_choice(settings),
    )


async def _look_at_storage(settings: Settings, *, is_up: bool) -> str:
    from refsys.infra.storage import open_storage, storage_folder

    if not settings.storage_url.startswith("s3://") and not storage_folder(settings).is_dir():
        # opening it would make it
        return f"{storage_folder(settings)} is not there" if is_up else NOT_MADE
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            storage = await asyncio.to_thread(open_storage, settings)
            await asyncio.to_thread(storage.stat, "health/ready")
    except (RefsysError, OSError, TimeoutError) as error:
        return str(error) or "does not answer in time"
    return "ok"


def _queues(rows: list[asyncpg.Record]) -> tuple[Queue, ...]:
    """In the order of the way of the data; one of a package unknown here comes last."""
    stages: dict[str, dict[str, Any]] = {}
    for row in rows:
        stage = stages.setdefault(row["stage"], {})
        stage[row["state"]] = row["steps"]
        if row["state"] == "due":
            stage["deferred"] = row["deferred"]
            stage["oldest_waiting_s"] = round(max(0.0, row["waiting_s"]), 3)
    return tuple(Queue(stage=name, **stages[name]) for name in sorted(stages, key=_place))


def _place(stage: str) -> tuple[int, str]:
    package = stage.partition(".")[0]
    return (_WAY.index(package) if package in _WAY else len(_WAY), stage)


async def _inboxes(link: asyncpg.Connection, settings: Settings) -> tuple[dict[str, Any], ...]:
    """What the settings say of each inbox, and what its memory says of its looks and offers."""
    now = await link.fetchval("SELECT clock_timestamp()")
    known = {state.id: state for state in await inbox_states(link)}
    found = [_configured(inbox) | _remembered(known.pop(inbox.id, None), now) for inbox in settings.inbox]
    found += [_UNKNOWN | {"id": state.id} | _remembered(state, now) for state in known.values()]
    return tuple(found)


def _configured(inbox: InboxSettings) -> dict[str, Any]:
    return _UNKNOWN | {"id": inbox.id, "type": inbox.type, "url": inbox.url}


def _remembered(state: InboxState | None, now: datetime) -> dict[str, Any]:
    if state is None:
        return {}
    looked_s_ago = None if state.looked_at is None else round((now - state.looked_at).total_seconds(), 1)
    told = "failing" if state.failures else "ok" if state.looked_at else _UNKNOWN["state"]
    told = "paused" if state.paused_at else told
    counts = dict.fromkeys(STATES, 0) | state.states
    counts["queued"] += counts.pop("fetching")
    remembered = {name: value for name, value in asdict(state).items() if name != "states"}
    return remembered | counts | {"state": told, "looked_s_ago": looked_s_ago}
