"""Passes, the report of a day, the scoreboard, and why something is not here: from plans and stations to users."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from refsys.infra.settings import InboxSettings, Settings, StationSettings
from refsys.infra.storage import Storage
from refsys.ingestion.passes.report import tell_yesterday
from refsys.simulation.station import CadipStation
from tests.pipeline import running_pipeline
from tests.station_plans import plan_document, plan_name
from tests.waiting import wait_for

Command = Callable[..., Awaitable[str]]
NOW = datetime.now(UTC).replace(microsecond=0)
SESSION = f"S1A_{NOW:%Y%m%d%H%M%S}056552"
LOST = "S1A_20261101000000056000"
DAY = timedelta(days=1)


def settings_text(folder: Path, url: str) -> str:
    return f"""
[[station]]
name = "svalbard"
code = "SGS_"

[[inbox]]
id = "north"
type = "cadip"
url = "{url}"
station = "svalbard"
poll_s = 0.2
since = "2020-01-01"

[[inbox]]
id = "plans"
type = "folder"
url = "{folder}"
match = ".*MPL_SP.*"
poll_s = 0.2
stable_s = 0
"""


@pytest.fixture
async def seen(
    settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Storage, tmp_path: Path, refsys: Command
) -> Command:
    """The command after a station sent one whole session and half of another, and a plan told of both and a third."""
    folder, config = tmp_path / "plans", tmp_path / "refsys.toml"
    folder.mkdir()
    start, created = NOW - DAY, NOW - DAY
    passes = [
        (56552, NOW - timedelta(minutes=5), NOW + timedelta(minutes=8)),
        (56550, NOW - timedelta(hours=4), NOW - timedelta(hours=3.8)),
        (56560, NOW + timedelta(hours=12), NOW + timedelta(hours=12.2)),
    ]
    name = plan_name(start, start + 7 * DAY, created=created)
    (folder / name).write_bytes(plan_document(passes, start, start + 7 * DAY, created=created))
    with CadipStation() as station:
        config.write_text(settings_text(folder, station.url))
        session = station.session(SESSION, downlink_start=NOW, downlink_stop=NOW + timedelta(seconds=20))
        session.publish_channel(1, 3)
        session.publish_channel(2, 1)
        # the second channel's last block comes first: one is out of order
        late = station.session(f"S1A_{NOW:%Y%m%d%H%M%S}056553", downlink_start=NOW + timedelta(hours=1))
        late.publish(1, 2, is_final=True, published_at=NOW - timedelta(seconds=2))
        late.publish(1, 1, published_at=NOW - timedelta(seconds=1))
        inboxes = [
            InboxSettings(
                id="north", type="cadip", url=station.url, station="svalbard", poll_s=0.2, since="2020-01-01"
            ),
            InboxSettings(
                id="plans", type="folder", url=str(folder), match=".*MPL_SP.*", poll_s=0.2, stable_s=0, mission=""
            ),
        ]
        settings = settings.model_copy(update={"station": (StationSettings(name="svalbard", code="SGS_"),)})
        async with running_pipeline(settings, inboxes, pool=pool, dsn=dsn, storage=storage):

            async def is_done() -> bool:
                stored = await pool.fetchval("SELECT count(*) FROM ingestion.remote WHERE state = 'stored'")
                plans = await pool.fetchval("SELECT count(*) FROM ingestion.planned_pass")
                whole = await pool.fetchval(
                    "SELECT handed_at IS NOT NULL FROM ingestion.session WHERE name = $1", SESSION
                )
                return bool(stored == 7 and plans == 3 and whole)

            await wait_for(is_done, 30, "the session and the plan are here")

    async def run(*words: Any, **rest: Any) -> str:
        return await refsys("-c", config, *words, **rest)

    return run


async def test_every_pass_is_told_planned_or_not(seen: Command, pool: asyncpg.Pool) -> None:
    found = {each["orbit"]: each for each in map(json.loads, (await seen("pass", "list", "--json")).splitlines())}
    assert {orbit: each["state"] for orbit, each in found.items()} == {
        56550: "missing",
        56552: "complete",
        56553: "receiving",
        56560: "expected",
    }
    whole = found[56552]
    assert (whole["station"], whole["session"]["name"]) == ("SGS", SESSION)
    numbers = {name: whole["session"][name] for name in ("offered", "fetched", "verified", "lost")}
    assert numbers == {"offered": 4, "fetched": 4, "verified": 4, "lost": 0}
    assert whole["session"]["handed_at"]
    assert found[56553]["plan"] == ""
    told = await seen("pass", "list", "--only", "missing")
    assert "56550" in told
    assert SESSION not in told
    assert "56552" in await seen("pass", "list", "--station", "svalbard")
    assert "no pass in that time" in await seen("pass", "list", "--satellite", "S3B")
    assert "is no state" in await seen("pass", "list", "--only", "gone", code=1)


async def test_one_session_is_told_by_channel(seen: Command, pool: asyncpg.Pool) -> None:
    told = await seen("pass", "show", SESSION.lower())
    assert "complete" in told
    assert "revision 1 handed over complete" in told
    assert "channel 1: 3/3 blocks" in told
    name = f"S1A_{NOW:%Y%m%d%H%M%S}056553"
    await pool.execute(
        "UPDATE ingestion.remote SET state = 'failed', problem = 'bad \x1b[31m', content_id = NULL, evicted_at = $2"
        " WHERE session_name = $1 AND block = 1",
        name,
        NOW + DAY,
    )
    told = await seen("pass", "show", name)
    assert "not been told" in told
    assert "failed in north: bad \\x1b[31m; deleted there at" in told
    assert "no station told of such a session" in await seen("pass", "show", LOST, code=1)


async def test_the_report_of_a_day_tells_passes_stations_and_what_was_lost(seen: Command, pool: asyncpg.Pool) -> None:
    await pool.execute(
        "UPDATE ingestion.remote SET state = 'expired', why = 'answered 404', content_id = NULL"
        " WHERE session_name = $1 AND channel = 2",
        SESSION,
    )
    told = await seen("pass", "report", "--day", f"{NOW:%Y-%m-%d}")
    assert "svalbard" in told
    assert "expired" in told
    assert "answered 404" in told
    [report] = [
        json.loads(line) for line in (await seen("pass", "report", "--day", f"{NOW:%Y-%m-%d}", "--json")).splitlines()
    ]
    [station] = [each for each in report["stations"] if each["station"] == "svalbard"]
    assert (station["offered"], station["expired"], station["sessions"], station["out_of_order"]) == (6, 1, 2, 1)
    assert "no passes" in await seen("pass", "report", "--day", "2020-01-01")


async def test_a_day_that_is_over_is_told_once(seen: Command, pool: asyncpg.Pool, settings: Settings) -> None:
    await pool.execute("DELETE FROM ingestion.day")  # whoever watched the inboxes may have told it
    assert await tell_yesterday(pool, settings)
    assert not await tell_yesterday(pool, settings)
    [row] = await pool.fetch("SELECT day, said FROM ingestion.day")
    assert row["day"] == (datetime.now(UTC) - DAY).date()
    assert row["said"]["lost_files"] == 0


async def test_the_scoreboard_tells_how_stations_do(seen: Command) -> None:
    scores = {
        each["station"]: each for each in map(json.loads, (await seen("station", "scoreboard", "--json")).splitlines())
    }
    assert scores["svalbard"]["stored"] == 6
    assert scores["svalbard"]["delay_s"] is not None
    assert scores["plans"]["sessions"] == 0
    assert "svalbard" in await seen("station", "scoreboard")
    assert "no station offered anything" in await seen("station", "scoreboard", "--until", "2020-01-01")


async def test_why_not_tells_the_decisive_thing(seen: Command, pool: asyncpg.Pool) -> None:
    block = f"DCS_04_{SESSION}_ch1_DSDB_00001.raw"
    assert (await seen("why-not", SESSION)).splitlines()[0] == f"{SESSION} is here"
    assert "is here" in await seen("why-not", block)
    # nobody offered it: what each inbox would do with it, and how each does
    told = await seen("why-not", "DCS_04_S1A_20200101000000012345_ch1_DSDB_00001.raw")
    assert "no inbox was ever offered" in told
    assert "inbox plans would leave it alone: its name does not match `match`" in told
    assert "inbox north would take it, and its source did not list it" in told
    await pool.execute("UPDATE ingestion.inbox SET failures = 3, problem = 'answered 503' WHERE id = 'north'")
    assert "its last 3 looks failed: answered 503" in await seen(
        "why-not", "DCS_04_S1A_20200101000000012345_ch1_DSIB.xml"
    )
    assert "no product type's name pattern matches" in await seen("why-not", "no such name.txt")
    # offered, and failed
    await pool.execute("DELETE FROM catalogue.product WHERE name = $1", f"DCS_04_{SESSION}_ch2_DSDB_00001.raw")
    await pool.execute(
        "UPDATE ingestion.remote SET state = 'failed', problem = 'has the wrong size', tries = 3, content_id = NULL"
        " WHERE session_name = $1 AND channel = 2",
        SESSION,
    )
    told = await seen("why-not", f"DCS_04_{SESSION}_ch2_DSDB_00001.raw")
    assert told.splitlines()[0].endswith("is not here")
    assert "its last of 3 tries ended so: has the wrong size" in told
