"""What `refsys status` and `refsys product show` tell of inboxes and of offers that did not arrive."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from refsys.cli.main import app
from refsys.core.errors import InvalidProduct
from refsys.infra.work import Stage
from refsys.ingestion.inboxes import store
from refsys.ingestion.inboxes.rating import Judged
from refsys.ingestion.model import FETCH, Offer
from tests.waiting import wait_for
from tests.working import running

NAME = "S1A_OPER_AUX_RESORB_OPOD_20241028T213806_V20241028T172746_20241028T204506.EOF"
INBOX = '[{"id": "drop", "type": "folder", "url": "in"}, {"id": "station", "type": "prip", "url": "http://127.0.0.1/"}]'


@pytest.fixture
def refsys(dsn, tmp_path):
    """Run the command in a thread, as it has an event loop of its own."""

    async def run(*words, code=0):
        arguments = [*words, "--state", str(tmp_path), "--set", f"database_url={dsn}", "--set", f"inbox={INBOX}"]
        result = await asyncio.to_thread(CliRunner(env={"COLUMNS": "80"}).invoke, app, arguments)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result.output + (str(result.exception) if code else "")

    return run


async def offer(pool, why=""):
    """The inbox `drop` finds the product, and queues it if it is wanted."""
    found = Offer(f"{NAME}.zip", "1", f"{NAME}.zip", 1, datetime(2024, 10, 28, tzinfo=UTC))
    async with pool.acquire() as connection:
        await store.open_inbox(connection, "drop")
        judged = Judged(found, NAME, 50, "filtered" if why else "waiting", why)
        await store.enter(connection, "drop", [(judged, None)])
        await store.look_succeeded(connection, "drop", found.published_at)


async def test_status_with_services_of_ones_own_says_so_and_counts_each_inbox(refsys, pool):
    await offer(pool)
    told = await refsys("status")
    assert "apart     no `refsys up` runs in this folder" in told
    assert "database  ok   PostgreSQL at " in told
    drop, station = (line.split() for line in told.splitlines() if line.split()[:1] in (["drop"], ["station"]))
    assert drop[1:3] == ["folder", "ok"]
    assert drop[-4:] == ["1", "0", "0", "0"]
    assert station[1:] == ["prip", "not", "looked", "yet", *["–"] * 5]


async def test_status_shows_an_inbox_that_cannot_look(refsys, pool):
    async with pool.acquire() as connection:
        await store.open_inbox(connection, "station")
        await store.look_failed(connection, "station", "answered 401")
        await store.look_failed(connection, "station", "answered 401 again")
    told = await refsys("status")
    assert "inbox station failed 2 times in a row (no good look yet): answered 401 again" in told


async def test_show_of_an_offer_that_waits_says_so(refsys, pool):
    await offer(pool)
    assert "was offered to inbox drop and waits until there is room" in await refsys("product", "show", NAME, code=1)


async def test_show_of_an_offer_that_was_left_alone_says_why(refsys, pool):
    await offer(pool, why="its name does not match `match`")
    told = await refsys("product", "show", f"{NAME}.zip", code=1)
    assert "was offered to inbox drop, which left it alone: its name does not match `match`" in told


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("seen", "is not to be taken yet: it grows"),
        ("expired", "the station gave it up before it was fetched: it grows"),
        ("failed", "cannot be fetched: broken"),
    ],
)
async def test_show_of_an_offer_tells_its_state(refsys, pool, state, told):
    await offer(pool)
    await pool.execute("UPDATE ingestion.remote SET state = $1, why = 'it grows', problem = 'broken'", state)
    assert told in await refsys("product", "show", NAME, code=1)


async def test_show_of_an_offer_that_cannot_be_fetched_names_the_parked_step(refsys, pool, dsn):
    async def refuse(attempt):
        raise InvalidProduct("is cut short", subject=attempt.key)

    await offer(pool)
    async with pool.acquire() as connection:
        async with connection.transaction():
            await store.dispatch(
                connection, "drop", 1, guard=timedelta(), near_only=False, group_files=1, group_bytes=0
            )
        told = await refsys("product", "show", NAME, code=1)
        assert "is about to be fetched from inbox drop: step 1 is due" in told
        async with running(dsn, pool, Stage(f"{FETCH}drop", refuse)):
            await wait_for(lambda: connection.fetchval("SELECT count(*) FROM work.step WHERE state = 'parked'"))
    told = await refsys("product", "show", NAME, code=1)
    assert "was offered to inbox drop; step 1, which fetches it, is parked: is cut short" in told
    assert "`refsys parked show 1` says what to do" in told
