"""From places where files lie into the catalogue: over WebDAV, FTP and S3, and when they do not behave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import asyncpg
import obstore
import pytest
from obstore.store import S3Store
from pydantic import SecretStr

from refsys.infra.settings import AuthSettings, InboxSettings, Settings
from refsys.infra.storage import Storage
from refsys.ingestion.store import inbox_states
from refsys.simulation.files import EdipStation, FileStation, XbipStation
from refsys.simulation.samples import make_many
from refsys.simulation.station import CADU_BYTES, Answer, Cut, Held
from tests.integration.test_inboxes import files_in, files_on_disk
from tests.pipeline import Pipeline, running_pipeline
from tests.s3_gateway import ACCESS_KEY, SECRET_KEY, Gateway
from tests.sessions import NAME, blocks_of
from tests.waiting import wait_for

CERTIFICATE = Path(__file__).parent.parent / "self_signed.pem"
Start = Callable[..., AbstractAsyncContextManager[Pipeline]]


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_many(tmp_path_factory.mktemp("products"), 2, size_bytes=60_000)


@pytest.fixture
def start(settings: Settings, pool: asyncpg.Pool, dsn: str, storage: Storage) -> Start:
    def begin(*inboxes: InboxSettings) -> AbstractAsyncContextManager[Pipeline]:
        return running_pipeline(settings, inboxes, pool=pool, dsn=dsn, storage=storage)

    return begin


@pytest.fixture(params=["xbip", "ftp", "ftps"])
def station(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileStation]:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    made: FileStation
    if request.param == "xbip":
        made = XbipStation()
    else:
        made = EdipStation(certificate=CERTIFICATE if request.param == "ftps" else None)
        made.session_reuse = True
    with made:
        yield made


def inbox(station: FileStation, **changes: Any) -> InboxSettings:
    kind = "xbip" if isinstance(station, XbipStation) else "edip"
    given = {"id": "drop", "type": kind, "url": station.url, "poll_s": 0.1, "stable_s": 0.05, **changes}
    return InboxSettings(**given)


async def test_product_folders_are_published_with_the_bytes_they_had(
    station: FileStation, start: Start, products: list[Path]
) -> None:
    for product in products:
        for path, data in files_on_disk(product).items():
            station.put(f"NOMINAL/{path}", Held(data))
    async with start(inbox(station, directories=True)) as pipeline:
        found = await pipeline.published(*(product.name for product in products))
        for row, product in zip(found, sorted(products), strict=True):
            assert await files_in(pipeline, row) == files_on_disk(product)
        assert await pipeline.parked_steps() == []


async def test_product_folders_of_a_bucket_are_published(
    s3_gateway: Gateway, start: Start, products: list[Path]
) -> None:
    bucket = s3_gateway.new_bucket()
    known = {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY, "region": "us-east-1"}
    store = S3Store(bucket, endpoint=s3_gateway.endpoint, client_options={"allow_http": True}, **known)
    for path, data in files_on_disk(products[0]).items():
        obstore.put(store, f"drop/{path}", data)
    given = InboxSettings(
        id="drop",
        type="s3",
        url=f"s3://{bucket}/drop",
        endpoint=s3_gateway.endpoint,
        directories=True,
        auth=AuthSettings(kind="basic", user=ACCESS_KEY, password=SecretStr(SECRET_KEY)),
        poll_s=0.1,
        stable_s=0.05,
    )
    async with start(given) as pipeline:
        (row,) = await pipeline.published(products[0].name)
        assert await files_in(pipeline, row) == files_on_disk(products[0])


async def test_a_session_that_comes_slowly_and_is_cut_is_stored_once(
    station: FileStation, start: Start, pool: asyncpg.Pool, storage: Storage
) -> None:
    session = station.session(NAME)
    whole = session.publish(1, 1, size_bytes=100 * CADU_BYTES)
    growing = session.publish(1, 2, size_bytes=100 * CADU_BYTES)
    station.faults.on_download(Cut(30_000), name=whole.name)
    async with start(inbox(station)) as pipeline:
        await wait_for(lambda: _states(pipeline, {"stored": 2}))
        session.publish_dsib(1)
        await wait_for(lambda: _states(pipeline, {"stored": 3}))
        assert await pipeline.parked_steps() == []
    blocks = await blocks_of(pool)
    assert [block.name for block in blocks.blocks] == [whole.name, growing.name]
    for block, published in zip(blocks.blocks, (whole, growing), strict=True):
        assert storage.read(f"{block.base}/{block.name}") == published.content.open().file.read()
    starts = [request.range for request in station.journal.requests("download", whole.name)]
    assert starts[0] == ""
    assert starts[1].startswith("bytes=")


async def _states(pipeline: Pipeline, wanted: dict[str, int]) -> bool:
    found: dict[str, int] = {}
    for offer in await pipeline.offers():
        found[offer["state"]] = found.get(offer["state"], 0) + 1
    return found == wanted


async def test_what_grows_is_seen_and_fetched_once_it_stands_still(
    station: FileStation, start: Start, storage: Storage
) -> None:
    name = "DCS_04_S1A_20241114143038056552_ch1_DSDB_00001.raw"
    path = f"NOMINAL/S1A/{name}"
    station.put(path, Held(b""))
    async with start(inbox(station, stable_s=0.3)) as pipeline:
        await wait_for(lambda: _states(pipeline, {"seen": 1}))
        for size in range(1000, 6000, 1000):
            station.put(path, Held(bytes(size)))

            async def is_noticed(size: int = size) -> bool:
                return any(offer["size"] == size for offer in await pipeline.offers())

            await wait_for(is_noticed)

        async def is_stored() -> bool:
            return [offer["size"] for offer in await pipeline.offers() if offer["state"] == "stored"] == [5000]

        await wait_for(is_stored)
        assert await pipeline.parked_steps() == []
    assert {request.sent_bytes for request in station.journal.requests("download") if request.complete} <= {0, 5000}


async def test_a_listing_that_fails_makes_nothing_vanish(
    station: FileStation, start: Start, pool: asyncpg.Pool
) -> None:
    session = station.session(NAME)
    blocks = session.publish_channel(1, 3)
    async with start(inbox(station, concurrency=1)) as pipeline:
        station.faults.on_download(Answer(503), times=None)
        await wait_for(lambda: station.journal.requests("download"))
        station.faults.on_listing(Answer(500), times=None)

        async def has_failed() -> bool:
            async with pool.acquire() as connection:
                return any(state.failures > 1 for state in await inbox_states(connection))

        await wait_for(has_failed)
        assert {offer["state"] for offer in await pipeline.offers()} <= {"waiting", "queued", "fetching"}
        assert len(await pipeline.offers()) == len(blocks)
