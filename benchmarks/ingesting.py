"""Our side of bench-ingest: inboxes and the stages that fetch, in this process, until so many files are stored.

What follows a fetch (describing, packaging, publishing) is left out: the peers do none of it either.
Prints one JSON object: seconds from the first look to the last file stored, CPU seconds and peak memory of this
process (MB).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import time
from pathlib import Path

import asyncpg

from refsys.infra.logs import configure_logs
from refsys.infra.postgres import create_pool
from refsys.infra.settings import InboxSettings, S3Settings, Settings, StationSettings, WorkSettings
from refsys.infra.storage import open_storage
from refsys.infra.work import Runner
from refsys.ingestion import service
from refsys.missions import load_types
from refsys.runtime.roles import run_loop
from refsys.runtime.wiring import run_inboxes

_TICK_S = 0.02


async def fetch(settings: Settings, dsn: str, count: int) -> None:
    """Run until `count` files are stored; prints what it took."""
    pool = await create_pool(dsn)
    storage = open_storage(settings)
    types = load_types()
    stop = asyncio.Event()
    runner = Runner(pool, dsn, service.stages(settings, pool, storage, types), settings.work, "benchmark")
    before, started = time.process_time(), time.perf_counter()
    tasks = [
        asyncio.create_task(runner.run(stop)),
        asyncio.create_task(run_inboxes(settings, pool, storage, types, stop)),
    ]
    try:
        await _stored(pool, count)
        seconds, cpu = time.perf_counter() - started, time.process_time() - before
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        await pool.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_mb": peak}))


async def _stored(pool: asyncpg.Pool, count: int) -> None:
    while await pool.fetchval("SELECT count(*) FROM ingestion.remote WHERE state = 'stored'") < count:
        await asyncio.sleep(_TICK_S)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingesting", description=__doc__)
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--url", required=True, help="OData root")
    parser.add_argument("--type", required=True, choices=("prip", "cadip"))
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--parallel", type=int, required=True, help="files, and connections, at the same time")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--storage", default="")
    parser.add_argument("--s3", default="{}", help="the section [s3], as JSON")
    arguments = parser.parse_args()
    configure_logs(level="error")
    inbox = InboxSettings(
        id="benchmark", type=arguments.type, url=arguments.url, station="front", concurrency=arguments.parallel
    )
    settings = Settings(
        state_dir=arguments.state,
        storage_url=arguments.storage,
        s3=S3Settings(**json.loads(arguments.s3)),
        inbox=(inbox,),
        station=(StationSettings(name="front", connections=arguments.parallel),),
        work=WorkSettings(concurrency=arguments.parallel),
    )
    run_loop(lambda: fetch(settings, arguments.dsn, arguments.count))


if __name__ == "__main__":
    main()
