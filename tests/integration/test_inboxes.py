"""From a station or a folder into the catalogue: what is found, fetched, remembered, and what happens when it fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import web
from pydantic import SecretStr

from refsys.core.times import format_instant, parse_instant
from refsys.infra.settings import AuthSettings, InboxSettings, Settings
from refsys.infra.storage import Storage
from refsys.ingestion.store import inbox_states
from refsys.simulation.samples import make_many
from refsys.simulation.station import (
    Answer,
    Basic,
    Cut,
    Html,
    NoRange,
    OAuth2,
    OtherETag,
    Redirect,
    Station,
    Twice,
)
from tests.pipeline import Pipeline, running_pipeline
from tests.s3_gateway import Gateway
from tests.stranger import stranger
from tests.waiting import wait_for

Start = Callable[..., AbstractAsyncContextManager[Pipeline]]


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_many(tmp_path_factory.mktemp("products"), 4, size_bytes=60_000)


@pytest.fixture
def copied(products: list[Path], tmp_path: Path) -> list[Path]:
    """The same products, free to be changed."""
    return [Path(shutil.copytree(product, tmp_path / "copied" / product.name)) for product in products]


@pytest.fixture
async def station() -> AsyncIterator[Station]:
    async with Station() as station:
        yield station


@pytest.fixture
def start(settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Storage) -> Start:
    """Start a pipeline with these inboxes."""

    def begin(*inboxes: InboxSettings) -> AbstractAsyncContextManager[Pipeline]:
        return running_pipeline(settings, inboxes, pool=pool, dsn=dsn, storage=storage)

    return begin


def prip(where: Station, **changes: Any) -> InboxSettings:
    return InboxSettings(**{"id": "station", "type": "prip", "url": where.url, "poll_s": 0.1, **changes})


def folder(path: Path, **changes: Any) -> InboxSettings:
    return InboxSettings(
        **{"id": "folder", "type": "folder", "url": str(path), "poll_s": 0.05, "stable_s": 0.1, **changes}
    )


async def problem_of(pool: asyncpg.Pool, inbox: str = "station") -> str:
    """What the inbox last complained of; waits for it."""

    async def look() -> str:
        async with pool.acquire() as connection:
            return next((state.problem for state in await inbox_states(connection) if state.id == inbox), "")

    found: str = await wait_for(look, 20, f"a problem of inbox {inbox}")
    return found


async def files_in(pipeline: Pipeline, product: asyncpg.Record) -> dict[str, bytes]:
    rows = await pipeline.pool.fetch(
        "SELECT f.path, c.base FROM catalogue.file f JOIN catalogue.content c ON c.id = f.content_id"
        " WHERE c.id = $1 AND NOT f.is_folder",
        product["content_id"],
    )
    return {row["path"]: pipeline.storage.read(f"{row['base']}/{row['path']}") for row in rows}


def files_on_disk(product: Path) -> dict[str, bytes]:
    return {
        path.relative_to(product.parent).as_posix(): path.read_bytes() for path in product.rglob("*") if path.is_file()
    }


async def test_products_of_a_station_are_published_with_the_bytes_they_had(
    station: Station, start: Start, products: list[Path]
) -> None:
    for product in products:
        station.offer(product)
    async with start(prip(station)) as pipeline:
        found = await pipeline.published(*(product.name for product in products))
        for row, product in zip(found, sorted(products), strict=True):
            assert await files_in(pipeline, row) == files_on_disk(product)
            assert row["available_at"] == station.offered()[products.index(product)].published_at
    assert len(station.journal.downloads()) == len(products)


async def test_products_go_through_s3_as_through_a_folder(
    station: Station, settings: Settings, pool: asyncpg.Pool, dsn: str, s3_gateway: Gateway, products: list[Path]
) -> None:
    for product in products:
        station.offer(product)
    storage = s3_gateway.storage("some/prefix")
    async with running_pipeline(settings, [prip(station)], pool=pool, dsn=dsn, storage=storage) as pipeline:
        found = await pipeline.published(*(product.name for product in products))
        for row, product in zip(found, sorted(products), strict=True):
            assert await files_in(pipeline, row) == files_on_disk(product)
        await pipeline.idle()
        assert {info.key.split("/")[0] for info in storage.list("")} == {"Sentinel-1"}


async def test_products_of_a_folder_are_published_as_folders_and_as_archives(
    start: Start, copied: list[Path], tmp_path: Path
) -> None:
    place = tmp_path / "inbox"
    place.mkdir()
    copied[0].rename(place / copied[0].name)
    for product, kind in zip(copied[1:], ("zip", "tar", "gztar"), strict=True):
        shutil.make_archive(str(place / product.name), kind, product.parent, product.name)
    async with start(folder(place)) as pipeline:
        found = await pipeline.published(*(product.name for product in copied))
        assert await files_in(pipeline, found[1]) == files_on_disk(copied[1])


async def test_a_folder_is_taken_only_when_it_stands_still(start: Start, products: list[Path], tmp_path: Path) -> None:
    place = tmp_path / "inbox"
    growing = place / products[0].name
    shutil.copytree(products[0], growing, ignore=shutil.ignore_patterns("manifest.safe"))
    for path in growing.rglob("*"):
        os.utime(path)
    async with start(folder(place, stable_s=1.5)) as pipeline:
        shutil.copytree(products[1], place / products[1].name)
        shutil.copy2(products[0] / "manifest.safe", growing)
        await pipeline.published(products[0].name, products[1].name)
        assert await pipeline.parked_steps() == []


async def test_links_in_a_folder_lead_nowhere(start: Start, copied: list[Path], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not yours")
    (copied[0] / "measurement" / "more.tiff").symlink_to(secret)
    (copied[1] / "more").symlink_to(tmp_path, target_is_directory=True)
    async with start(folder(copied[0].parent)) as pipeline:
        for product in copied[:2]:
            error = await pipeline.parked(product.name)
            assert error["type"] == "HostileInput"
            assert "is a link" in error["message"]
        await pipeline.published(*(product.name for product in copied[2:]))


async def test_each_offer_is_fetched_once_however_often_it_is_listed(
    station: Station, start: Start, products: list[Path]
) -> None:
    station.offer(products[0])
    async with start(prip(station)) as pipeline:
        await pipeline.published(products[0].name)
        looks = len(station.journal.listings())
        await wait_for(lambda: len(station.journal.listings()) > looks + 4)
    async with start(prip(station)) as pipeline:  # another process, the same memory
        looks = len(station.journal.listings())
        await wait_for(lambda: len(station.journal.listings()) > looks + 4)
    assert len(station.journal.downloads()) == 1


@pytest.mark.parametrize("next_links", [True, False], ids=["by link", "by counting"])
async def test_pages_are_followed(next_links: bool, products: list[Path], start: Start) -> None:
    async with Station(page_limit=2, next_links=next_links) as station:
        for product in products:
            station.offer(product)
        async with start(prip(station, page_size=3)) as pipeline:
            await pipeline.published(*(product.name for product in products))


async def test_a_late_publication_with_an_older_date_is_found(
    station: Station, start: Start, products: list[Path]
) -> None:
    now = datetime.now(UTC)
    station.offer(products[0], published_at=now)
    async with start(prip(station)) as pipeline:
        await pipeline.published(products[0].name)
        station.offer(products[1], published_at=now - timedelta(minutes=30))
        await pipeline.published(products[1].name)


async def test_a_product_dated_into_the_future_is_taken_and_hides_no_other(
    station: Station, start: Start, products: list[Path]
) -> None:
    station.offer(products[0], published_at=datetime(2999, 1, 1, tzinfo=UTC))
    async with start(prip(station)) as pipeline:
        await pipeline.published(products[0].name)
        station.offer(products[1])
        await pipeline.published(products[1].name)


async def test_a_look_that_breaks_off_hides_nothing_of_a_station_that_sorts_otherwise(
    start: Start, pool: asyncpg.Pool
) -> None:
    published = [datetime.now(UTC) - timedelta(days=days) for days in range(4)]  # newest first, whatever is asked
    limit = 2

    def page(request: web.Request) -> web.Response:
        skip = int(request.query.get("$skip", 0))
        if skip >= limit:
            return web.Response(status=500)
        since = parse_instant(request.query["$filter"].removeprefix("PublicationDate gt "))
        shown = [
            {"Id": str(number), "Name": f"unheard-of-{number}.zip", "PublicationDate": format_instant(date)}
            for number, date in enumerate(published)
            if date > since
        ]
        return web.json_response({"value": shown[skip : skip + 1]})

    async with stranger() as other:
        other.answers["/odata/v1/Products"] = page
        inbox = InboxSettings(id="station", type="prip", url=f"{other.url}/odata/v1", poll_s=0.1, overlap_s=60)
        async with start(inbox) as pipeline:
            await problem_of(pool)
            assert len(await pipeline.offers()) == 2
            limit = 10
            await wait_for(lambda: _are_known(pipeline, 4))


async def _are_known(pipeline: Pipeline, count: int) -> bool:
    return len(await pipeline.offers()) == count


async def test_what_the_patterns_leave_alone_is_remembered_with_the_reason(
    station: Station, start: Start, products: list[Path]
) -> None:
    for product in products[:2]:
        station.offer(product)
    async with start(prip(station, ignore=f"{products[0].name}.*")) as pipeline:
        await pipeline.published(products[1].name)
        ignored = (await pipeline.offers(products[0].name))[0]
    assert (ignored["state"], ignored["why"]) == ("filtered", "its name matches `ignore`")


async def test_an_inbox_of_one_mission_takes_what_is_of_it_or_of_none(start: Start) -> None:
    wanted = {
        "DCS_04_S1A_20241114143038056552_ch1_DSIB.xml",
        "DCS_02_L20171109175634707000125_ch1_DSIB.xml",
        "EDR_OPER_MPL_RQ1_OA_20200303T093232_V20200303T170000_20200310T170000.xml",
        "S1A_unheard-of.zip",
    }
    others = {
        "DCS_04_S2A_20241114143038056552_ch1_DSIB.xml",
        "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE.zip",
        "unheard-of.zip",
    }
    published = format_instant(datetime.now(UTC))
    value = [{"Id": name, "Name": name, "PublicationDate": published} for name in wanted | others]
    async with stranger() as other:
        other.answers["/odata/v1/Products"] = lambda request: web.json_response(
            {"value": [] if int(request.query.get("$skip", 0)) else value}
        )
        inbox = InboxSettings(id="station", type="prip", url=f"{other.url}/odata/v1", poll_s=0.1, mission="S1")
        async with start(inbox) as pipeline:
            await wait_for(lambda: _are_known(pipeline, len(value)))
            offers = await pipeline.offers()
    assert {offer["name"] for offer in offers if offer["state"] == "filtered"} == others
    assert {offer["why"] for offer in offers if offer["state"] == "filtered"} == {"it is not of mission S1"}


async def test_two_inboxes_on_one_station_share_nothing(station: Station, start: Start, products: list[Path]) -> None:
    for product in products[:2]:
        station.offer(product)
    one = prip(station, id="one", match=f"{products[0].name}.*")
    other = prip(station, id="other", match=f"{products[1].name}.*")
    async with start(one, other) as pipeline:
        await pipeline.published(products[0].name, products[1].name)
        states = {(row["inbox"], row["name"]): row["state"] for row in await pipeline.offers()}
    assert sorted(states.values()) == ["filtered", "filtered", "stored", "stored"]


@pytest.mark.parametrize("kind", ["basic", "oauth2", "oauth2 in its own header"])
async def test_a_station_with_authentication_is_asked_as_it_wants(
    kind: str, start: Start, products: list[Path]
) -> None:
    secret = SecretStr("pass:word ü")
    gate = (
        Basic(user="user", password="pass:word ü") if kind == "basic" else OAuth2(user="user", password="pass:word ü")
    )
    async with Station(auth=gate) as station:
        station.offer(products[0])
        auth = AuthSettings(kind="basic", user="user", password=secret)
        if kind != "basic":
            header = "Authorization" if kind == "oauth2" else "OAUTH2-ACCESS-TOKEN"
            auth = AuthSettings(
                kind="oauth2", user="user", password=secret, token_url=station.token_url, token_header=header
            )
        async with start(prip(station, auth=auth)) as pipeline:
            await pipeline.published(products[0].name)
            tokens = len(station.journal.requests("token"))
            station.expire_tokens()
            station.offer(products[1])
            await pipeline.published(products[1].name)
        # one token for the inbox and one for the worker, each renewed once, however many requests
        assert tokens <= 2
        assert len(station.journal.requests("token")) <= 4 * (kind != "basic")


async def test_wrong_credentials_are_told_and_never_shown(
    start: Start, pool: asyncpg.Pool, products: list[Path]
) -> None:
    async with Station(auth=Basic(user="user", password="right")) as station:
        station.offer(products[0])
        auth = AuthSettings(kind="basic", user="user", password=SecretStr("wr0ng"))
        async with start(prip(station, auth=auth)):
            problem = await problem_of(pool)
    assert "401" in problem
    assert "check user, password" in problem
    assert "wr0ng" not in problem


async def test_credentials_do_not_follow_a_redirect_to_another_host(start: Start, products: list[Path]) -> None:
    async with Station(auth=Basic(user="user", password="word")) as station, Station() as stranger:
        station.offer(products[0])
        stranger.offer(products[0])
        station.faults.on_download(Redirect(stranger.base_url))
        auth = AuthSettings(kind="basic", user="user", password=SecretStr("word"))
        async with start(prip(station, auth=auth)) as pipeline:
            await pipeline.published(products[0].name)
        assert len(stranger.journal.downloads()) == 1
        assert [request.authorised_by for request in stranger.journal.requests()] == [""]


@pytest.mark.parametrize("fault", [Answer(500), Answer(503), Html(), Cut(10)], ids=["500", "503", "html", "cut"])
async def test_a_listing_that_fails_is_told_and_asked_again(
    fault: Any, station: Station, start: Start, pool: asyncpg.Pool, products: list[Path]
) -> None:
    station.offer(products[0])
    station.faults.on_listing(fault, times=None)
    async with start(prip(station, station="Svalbard")) as pipeline:
        problem = await problem_of(pool)
        station.faults.clear()
        await pipeline.published(products[0].name)
        assert await pipeline.parked_steps() == []
    assert problem.startswith("Svalbard: ")
    async with pool.acquire() as connection:
        state = (await inbox_states(connection))[0]
    assert (state.failures, state.problem) == (0, "")


async def test_a_station_that_asks_for_patience_is_left_alone_so_long(
    station: Station, start: Start, pool: asyncpg.Pool, products: list[Path]
) -> None:
    station.offer(products[0])
    station.faults.on_listing(Answer(429, retry_after_s=1))
    station.faults.on_download(Answer(429, retry_after_s=1))
    async with start(prip(station)) as pipeline:
        await pipeline.published(products[0].name)
    listings, downloads = station.journal.listings(), station.journal.downloads()
    assert listings[1].at - listings[0].at >= 1.0
    assert downloads[1].at - downloads[0].at >= 1.0


async def test_a_cut_download_goes_on_where_it_stopped(station: Station, start: Start, products: list[Path]) -> None:
    station.offer(products[0])
    station.faults.on_download(Cut(20_000))
    station.faults.on_download(Cut(5_000))
    async with start(prip(station)) as pipeline:
        await pipeline.published(products[0].name)
    assert station.journal.ranges() == ["", "bytes=20000-", "bytes=25000-"]


@pytest.mark.parametrize("fault", [NoRange(), OtherETag()], ids=["no ranges", "another file"])
async def test_what_cannot_be_resumed_begins_again(
    fault: Any, station: Station, start: Start, products: list[Path]
) -> None:
    station.offer(products[0])
    station.faults.on_download(Cut(20_000))
    station.faults.on_download(fault)
    async with start(prip(station)) as pipeline:
        (product,) = await pipeline.published(products[0].name)
        assert await files_in(pipeline, product) == files_on_disk(products[0])


@pytest.mark.parametrize("status", [500, 401, 429, 503])
async def test_a_download_that_is_refused_for_a_while_succeeds_later(
    status: int, station: Station, start: Start, products: list[Path]
) -> None:
    station.offer(products[0])
    station.faults.on_download(Answer(status), times=2)
    async with start(prip(station)) as pipeline:
        await pipeline.published(products[0].name)


async def test_a_product_that_the_station_has_no_more_expires(
    station: Station, start: Start, products: list[Path]
) -> None:
    station.offer(products[0])
    station.faults.on_download(Answer(404), times=None)
    async with start(prip(station)) as pipeline:

        async def expired() -> Any:
            return [offer for offer in await pipeline.offers() if offer["state"] == "expired"]

        (offer,) = await wait_for(expired)
        assert await pipeline.parked_steps() == []
    assert "404" in offer["why"]
    assert offer["tries"] == len(station.journal.downloads()) > 1


async def test_a_wrong_checksum_parks_after_a_second_download(
    station: Station, start: Start, products: list[Path]
) -> None:
    station.offer(products[0], checksums={"MD5": "0" * 32})
    station.offer(products[1])
    async with start(prip(station)) as pipeline:
        error = await pipeline.parked(products[0].name)
        await pipeline.published(products[1].name)
    assert f"{'0' * 32} was announced" in error["message"]
    assert "ask the station" in error["advice"]
    # twice, and twice again by itself where it came in a group
    assert len(station.journal.downloads(products[0].name)) in (2, 4)


@pytest.mark.parametrize("size", [100, 10_000_000], ids=["too small", "too large"])
async def test_a_size_that_lies_parks(size: int, station: Station, start: Start, products: list[Path]) -> None:
    station.offer(products[0], size_bytes=size)
    station.offer(products[1])
    async with start(prip(station)) as pipeline:
        error = await pipeline.parked(products[0].name)
        await pipeline.published(products[1].name)
    assert "announced" in error["message"]
    assert error["subject"] == f"{products[0].name}.zip"


@pytest.mark.parametrize("other_id", [False, True], ids=["one id", "another id"])
async def test_the_same_product_twice_is_published_once(
    other_id: bool, station: Station, start: Start, pool: asyncpg.Pool, products: list[Path]
) -> None:
    station.offer(products[0])
    station.faults.on_listing(Twice(other_id), times=None)
    async with start(prip(station)) as pipeline:
        await pipeline.published(products[0].name)
        await pipeline.idle()
        assert await pipeline.parked_steps() == []
    assert await pool.fetchval("SELECT count(*) FROM catalogue.change") == 1


async def test_the_same_bytes_from_two_stations_are_published_once(
    station: Station, start: Start, pool: asyncpg.Pool, products: list[Path]
) -> None:
    async with Station(deflate=True) as second:  # another archive of the same files
        station.offer(products[0])
        second.offer(products[0])
        async with start(prip(station, id="one"), prip(second, id="two")) as pipeline:
            await pipeline.published(products[0].name)
            await wait_for(lambda: second.journal.downloads())
            await pipeline.idle()
            assert await pipeline.parked_steps() == []
            kept = {info.key.split("/")[0] for info in pipeline.storage.list("")}
    assert await pool.fetchval("SELECT count(*) FROM catalogue.change") == 1
    assert kept == {"Sentinel-1"}  # nothing is left of the second


async def test_what_changes_under_its_name_before_publication_replaces(
    station: Station, start: Start, pool: asyncpg.Pool, copied: list[Path], products: list[Path]
) -> None:
    _spoil(copied[0])
    station.offer(copied[0])
    async with start(prip(station)) as pipeline:
        await pipeline.parked(products[0].name)
        station.replace(f"{products[0].name}.zip", products[0])
        (product,) = await pipeline.published(products[0].name)
        assert await files_in(pipeline, product) == files_on_disk(products[0])
    assert product["revision"] == 1


async def test_what_changes_under_its_name_after_publication_is_parked_by_default(
    station: Station, start: Start, copied: list[Path], products: list[Path]
) -> None:
    station.offer(products[0])
    async with start(prip(station, completeness="record")) as pipeline:
        (before,) = await pipeline.published(products[0].name)
        _spoil(copied[0])
        station.replace(f"{products[0].name}.zip", copied[0])
        error = await pipeline.parked(products[0].name)
        (after,) = await pipeline.published(products[0].name)
    assert "other bytes under the same name" in error["message"]
    assert "on_change" in error["advice"]
    assert after == before


async def test_what_changes_under_its_name_after_publication_can_become_a_revision(
    station: Station, start: Start, pool: asyncpg.Pool, copied: list[Path], products: list[Path]
) -> None:
    station.offer(products[0])
    async with start(prip(station, completeness="record", on_change="revise")) as pipeline:
        (before,) = await pipeline.published(products[0].name)
        _spoil(copied[0])
        station.replace(f"{products[0].name}.zip", copied[0])
        await wait_for(lambda: pool.fetchval("SELECT count(*) = 3 FROM catalogue.change"))
        (after,) = await pipeline.published(products[0].name)
        assert await files_in(pipeline, after) == files_on_disk(copied[0])
        assert await files_in(pipeline, before) == files_on_disk(products[0])
    assert after["revision"] == 2
    old = await pool.fetchrow("SELECT state, deletion_cause FROM catalogue.product WHERE id = $1", before["id"])
    assert tuple(old) == ("superseded", "Obsolete product or Other")


async def test_nothing_is_left_of_an_attempt_that_came_to_nothing(
    station: Station, start: Start, products: list[Path]
) -> None:
    station.offer(products[0], checksums={"MD5": "0" * 32})
    async with start(prip(station)) as pipeline:
        await pipeline.parked(products[0].name)
        assert list(pipeline.storage.list("")) == []


async def test_names_that_cannot_be_names_are_parked_and_harm_nothing(
    station: Station, start: Start, products: list[Path], tmp_path: Path
) -> None:
    hostile = ["S1A/etc/passwd", "S1A_IW_\x00.SAFE.zip", "S1А_IW_GRDH.SAFE.zip", "N" * 300, "unheard-of.zip"]
    archive = Path(shutil.make_archive(str(tmp_path / "product"), "zip", products[0].parent, products[0].name))
    for name in [*hostile, "S1A/../../etc/passwd"]:  # the last one `ignore` leaves alone
        station.offer(archive, name=name)
    station.offer(products[1])
    async with start(prip(station)) as pipeline:
        await pipeline.published(products[1].name)
        await pipeline.idle()
        parked = await pipeline.parked_steps()
    assert len(parked) == len(hostile)
    assert {request.name for request in station.journal.downloads()} == {f"{products[1].name}.zip"}
    assert {message.split(":")[0] for _, _, message in parked} == {
        "is not a product name",
        "no product type has such a name",
    }


async def test_fetching_pauses_while_storage_is_nearly_full(
    station: Station,
    settings: Settings,
    pool: asyncpg.Pool,
    dsn: str,
    storage: Storage,
    products: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    station.offer(products[0])
    free = [10]
    monkeypatch.setattr(storage, "free_bytes", lambda: (free[0], 100))
    async with running_pipeline(settings, [prip(station)], pool=pool, dsn=dsn, storage=storage) as pipeline:
        await wait_for(pipeline.offers)
        looks = len(station.journal.listings())
        await wait_for(lambda: len(station.journal.listings()) > looks + 3)
        assert [row["state"] for row in await pipeline.offers()] == ["waiting"]
        free[0] = 17  # above the share at which it pauses, below that at which it resumes
        await wait_for(lambda: len(station.journal.listings()) > looks + 6)
        assert [row["state"] for row in await pipeline.offers()] == ["waiting"]
        free[0] = 25
        await pipeline.published(products[0].name)


async def test_abandoned_attempts_are_swept_and_used_ones_stay(pool: asyncpg.Pool, storage: Storage) -> None:
    from refsys.catalogue import commands
    from refsys.core.products import Arrival, FileEntry
    from refsys.ingestion.inboxes.sweeping import sweep_attempts

    storage.put("attempts/lost/X/file", b"1")
    storage.put("attempts/used/Y/file", b"2")
    arrival = Arrival("Y", "attempts/used", (FileEntry("Y/file", 1),), "test")
    async with pool.acquire() as connection, connection.transaction():
        await commands.arrive(connection, arrival, priority=50)
    assert await sweep_attempts(pool, storage, datetime.now(UTC) - timedelta(days=1)) == []
    assert await sweep_attempts(pool, storage, datetime.now(UTC) + timedelta(seconds=5)) == ["attempts/lost"]
    assert [info.key for info in storage.list("")] == ["attempts/used/Y/file"]


def _spoil(product: Path) -> None:
    """Other bytes in one of its files than its manifest says."""
    file = next(path for path in sorted((product / "measurement").iterdir()) if path.is_file())
    file.write_bytes(file.read_bytes()[:-2] + b"\x00\x01")
