"""The floor of a search: a server that knows the answer and only has to read the documents and send them.

`python -m benchmarks.floor DSN IDS --socket N --ready N`: `GET /<number>` sends the items of that list of IDS (JSON, a
list of lists of product ids), read from PostgreSQL. HTTP server, driver and loop are those of an API process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson
import uvloop

from refsys.infra.postgres import create_pool
from refsys.runtime.serving import serve

_BODIES: Final = """
SELECT body FROM distribution.document WHERE kind = 'stac.item' AND product_id = ANY($1::uuid[])
"""


class Floor:
    """The application."""

    def __init__(self, pool: asyncpg.Pool, ids: list[list[str]]) -> None:
        self._pool = pool
        self._ids = ids

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(_BODIES, self._ids[int(scope["path"][1:])])
        body = ",".join([row["body"] for row in rows]).encode()
        headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/geo+json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def run(dsn: str, ids: Path, listening: socket.socket, ready: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pool = await create_pool(dsn, max_size=10, application="floor")
    app = Floor(pool, orjson.loads(ids.read_bytes()))
    try:
        await serve(app, listening, ready=lambda: os.close(ready), stop=stop, drain_s=1)
    finally:
        await pool.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    parser.add_argument("dsn")
    parser.add_argument("ids", type=Path)
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--ready", type=int, required=True)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(given.dsn, given.ids, socket.socket(fileno=given.socket), given.ready))


if __name__ == "__main__":
    main()
