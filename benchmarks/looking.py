"""Our side of (c) of bench-ingest: `python -m benchmarks.looking DSN URL` looks once, and again for each line of input.

Prints one JSON object for each look: how many products were new, its seconds, CPU seconds of this process, and its peak
memory (MB).
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta

from refsys.infra.logs import configure_logs
from refsys.infra.postgres import create_pool
from refsys.infra.settings import InboxSettings, Settings
from refsys.ingestion.inboxes.entering import Look
from refsys.ingestion.inboxes.progress import Progress
from refsys.ingestion.inboxes.rating import Rater
from refsys.ingestion.protocols import open_source
from refsys.missions import load_types
from refsys.runtime.roles import run_loop


async def look(dsn: str, url: str) -> None:
    """As the inbox does, without queueing."""
    inbox = InboxSettings(id="benchmark", type="prip", url=url, page_size=1000)
    settings = Settings(inbox=(inbox,))
    pool = await create_pool(dsn)
    source = await open_source(inbox, settings)
    types = load_types()
    while True:
        started, before = time.perf_counter(), time.process_time()
        one = Look(pool, Rater(inbox, types))
        memory = await one.begin()
        progress = Progress(memory.cursor, datetime.now(UTC) + timedelta(days=1))
        async for findings in source.look(memory):
            progress.take(findings.offers)
            await one.take(findings, progress.safe)
        await one.finish(progress.newest)
        told = {
            "new": one.fresh,
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - before,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        print(json.dumps(told), flush=True)
        if not await asyncio.to_thread(sys.stdin.readline):
            break
    await source.close()
    await pool.close()


def main() -> None:
    configure_logs(level="error")
    run_loop(lambda: look(*sys.argv[1:3]))


if __name__ == "__main__":
    main()
