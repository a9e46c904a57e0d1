"""The roles: what one process of ours does. `refsys serve <role>` runs one in the foreground; the supervisor runs
`python -m refsys.runtime.roles <role> …` with the settings on its standard input.

    api      the HTTP application
    worker   runs steps, tells subscribers
    ingest   looks into the inboxes

SIGTERM or SIGINT asks a role to finish: requests are answered, steps are ended or given back.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog

from refsys.core.errors import ConfigurationError, RefsysError
from refsys.infra.logs import configure_logs
from refsys.infra.postgres import MIGRATED_PACKAGES, await_schema, create_pool
from refsys.infra.settings import Settings, settings_from_json
from refsys.runtime import services, wiring

if TYPE_CHECKING:
    import asyncpg

# run as a program it is `__main__`, which tells nobody where a line comes from
log = structlog.get_logger("refsys.runtime.roles")

#: How long a role waits for the database and for `refsys migrate` before it gives up.
SCHEMA_TIMEOUT_S: Final = 300.0
#: Thresholds of the garbage collector (gc.set_threshold).
_COLLECT: Final = (50_000, 20, 50)


@dataclass(frozen=True, slots=True)
class Role:
    """What a role is given. `ready` is called once when it is; `stop` is set when it shall finish."""

    name: str
    settings: Settings
    stop: asyncio.Event
    ready: Callable[[], None] = lambda: None
    listening: socket.socket | None = None


async def api(role: Role) -> None:
    """Serve HTTP on the inherited socket, or on http.host and http.port."""
    from refsys.runtime.ports import listen
    from refsys.runtime.serving import serve
    from refsys.web.app import create_app

    settings = role.settings
    if role.listening is None and not settings.http.port:
        raise ConfigurationError("http.port is 0", advice="set the port that this process shall listen on")
    # one connection more: it holds the slots of downloads
    async with _resources(role, size=11, plans_anew=True) as (pool, storage, types):
        app = create_app(pool=pool, storage=storage, types=types, settings=settings)
        listening = role.listening or listen(settings.http.host, settings.http.port, settings.state_dir)
        await serve(
            app,
            listening,
            ready=role.ready,
            stop=role.stop,
            drain_s=settings.work.stop_s,
            stall_s=settings.download.stall_s,
            proxies=settings.http.proxies,
        )


async def worker(role: Role) -> None:
    """Run steps, and tell subscribers, until asked to stop."""
    from refsys.infra.work import Runner

    dsn = services.connect(role.settings)
    async with _resources(role, size=role.settings.work.concurrency + 4) as (pool, storage, types):
        stages = wiring.build_stages(role.settings, pool, storage, types)
        await wiring.plan_changes(pool, types)
        runner = Runner(pool, dsn, stages, role.settings.work, role.name)
        role.ready()
        telling = wiring.run_subscriptions(role.settings, pool, types, role.stop)
        await asyncio.gather(runner.run(role.stop), telling)


async def ingest(role: Role) -> None:
    """Look into the inboxes until asked to stop."""
    async with _resources(role) as (pool, storage, types):
        role.ready()
        await wiring.run_inboxes(role.settings, pool, storage, types, role.stop)


ROLES: Final[Mapping[str, Callable[[Role], Awaitable[None]]]] = {"api": api, "worker": worker, "ingest": ingest}


def run(
    role: str, settings: Settings, *, name: str, ready: Callable[[], None] | None = None, listening: Any = None
) -> None:
    """Run a role in this process until a signal ends it. Raises what the role raises."""

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await ROLES[role](Role(name, settings, stop, ready or (lambda: None), listening))
        log.info("role.ended", role=role)

    run_loop(main)


def run_loop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run what a process does, as fast as we know how."""
    import uvloop

    # what is loaded stays, and a step makes many objects that reference counting frees: with Python's own thresholds
    # a fifth of a worker's time goes into looking for cycles
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@contextlib.asynccontextmanager
async def _resources(
    role: Role, size: int = 10, *, plans_anew: bool = False
) -> AsyncIterator[tuple[asyncpg.Pool, Any, Any]]:
    """Pool, storage and types, once the database has the schema that this code needs."""
    from refsys.infra.storage import open_storage
    from refsys.missions import load_types

    dsn = services.connect(role.settings)
    types = load_types(role.settings.type_tables)
    storage = open_storage(role.settings)
    await await_schema(dsn, MIGRATED_PACKAGES, SCHEMA_TIMEOUT_S)
    pool = await create_pool(dsn, max_size=size, application=f"refsys {role.name}", plans_anew=plans_anew)
    try:
        yield pool, storage, types
    finally:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pool.close(), 5)
        pool.terminate()


@dataclass(slots=True)
class _ReadyPipe:
    """Tells the supervisor, once."""

    descriptor: int
    _open: bool = field(default=True)

    def __call__(self) -> None:
        if self._open:
            os.write(self.descriptor, b"ready\n")
            self._open = False


def main() -> None:
    """What the supervisor starts. Exit codes: 0 asked to stop, 2 wrong settings, 1 anything else."""
    parser = argparse.ArgumentParser(prog="refsys.runtime.roles")
    parser.add_argument("role", choices=sorted(ROLES))
    parser.add_argument("--name", required=True)
    parser.add_argument("--ready", type=int, required=True)
    parser.add_argument("--socket", type=int)
    arguments = parser.parse_args()
    settings = settings_from_json(sys.stdin.buffer.read())
    configure_logs(level=settings.log.level, process=arguments.name)
    listening = None if arguments.socket is None else socket.socket(fileno=arguments.socket)
    log.info("role.started", role=arguments.role, pid=os.getpid())
    try:
        run(arguments.role, settings, name=arguments.name, ready=_ReadyPipe(arguments.ready), listening=listening)
    except ConfigurationError as error:
        log.error("role.refused", error=str(error))
        sys.exit(2)
    except RefsysError as error:
        log.error("role.failed", error=str(error))
        sys.exit(1)
    except Exception:
        log.exception("role.crashed")
        sys.exit(1)


if __name__ == "__main__":
    main()
