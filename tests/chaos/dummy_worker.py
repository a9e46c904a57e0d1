"""A worker process with one dummy stage, to be killed, stopped and misled: `python -m tests.chaos.dummy_worker`.

Standard input: JSON of name, dsn and work settings. What a step does is in its payload: `do` (see `_Dummy`). Every
start of a step is noted in table `seen`, its effect is a row of table `effect`; held steps wait until table `gate` says
that it is open.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import asyncpg
import orjson

from refsys.core.errors import Transient
from refsys.infra.postgres import create_pool
from refsys.infra.settings import WorkSettings
from refsys.infra.work import Attempt, Runner, Stage, keeper
from tests.waiting import wait_for
from tests.working import EFFECTS, note_effect

TABLES = f"""
{EFFECTS};
CREATE TABLE seen (key text, attempt int, worker text, token uuid);
CREATE TABLE gate (is_open boolean);
INSERT INTO gate VALUES (false);
"""


class _Dummy:
    def __init__(self, pool: asyncpg.Pool, worker: str) -> None:
        self._pool = pool
        self._worker = worker

    async def handle(self, attempt: Attempt) -> None:
        do = attempt.payload["do"]
        await self._pool.execute(
            "INSERT INTO seen VALUES ($1, $2, $3, $4)", attempt.key, attempt.number, self._worker, attempt.token
        )
        if do == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if do == "fail once" and attempt.number == 1:
            raise Transient("answers 503")
        if do == "hold":
            await self._opened()
        async with attempt.commit() as connection:
            await note_effect(connection, attempt, self._worker)
            if do == "hold in commit":
                await self._opened()

    async def _opened(self) -> None:
        await wait_for(lambda: self._pool.fetchval("SELECT is_open FROM gate"), 600)


async def main() -> None:
    told = orjson.loads(sys.stdin.buffer.read())
    keeper._ORDER_S = 0.2  # to see a queue put in order without waiting half a minute for it
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    pool = await create_pool(told["dsn"])
    stages = [Stage("dummy", _Dummy(pool, told["name"]).handle)]
    await Runner(pool, told["dsn"], stages, WorkSettings(**told["work"]), told["name"]).run(stop)
    pool.terminate()


if __name__ == "__main__":
    asyncio.run(main())
