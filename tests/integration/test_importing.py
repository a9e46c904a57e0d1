"""Taking over what exists: idempotent, resumable, in place; broken and hostile input is reported and passed over."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
from aiohttp import web

from refsys.catalogue import commands, store
from refsys.catalogue import service as catalogue
from refsys.catalogue.takeover import bucket
from refsys.catalogue.takeover.entering import enter_all
from refsys.catalogue.takeover.reference import lines
from refsys.catalogue.takeover.runs import Line, Run
from refsys.core.errors import RefsysError
from refsys.core.products import Description
from refsys.infra.postgres import connect, create_pool
from refsys.infra.settings import Settings
from refsys.infra.storage import Reader, Storage, open_storage
from refsys.infra.storage.local import LocalStorage
from refsys.runtime.embedded import EmbeddedPostgres
from refsys.web.app import create_app
from tests.catalogue_rows import insert_rows, plausible_rows
from tests.conftest import database
from tests.main_called import Done, caller
from tests.stored_products import EOF, GRD, START, TYPES, store_product
from tests.stranger import Stranger, stranger
from tests.unit.test_takeover import CATALOGUE, ENTITY, PRIP, RAW
from tests.waiting import wait_for
from tests.web import served
from tests.working import running

Call = Callable[..., Any]


@pytest.fixture
def refsys(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """`refsys import …` on the test's database and storage."""
    call = caller(tmp_path, monkeypatch, capsys)

    async def run(*words: str | Path, code: int = 0) -> Done:
        settings = ("--state", tmp_path / "state", "--set", f"database_url={dsn}")
        return await asyncio.to_thread(call, *settings, "import", *words, code=code)

    return run


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(dsn)
    yield connection
    await connection.close()


def numbered(number: int) -> str:
    return RAW.replace("038B80", f"{number:06X}")


def write_lines(path: Path, *documents: Any) -> Path:
    """Documents one a line; bytes as they are."""
    path.write_bytes(b"".join(d + b"\n" if isinstance(d, bytes) else orjson.dumps(d) + b"\n" for d in documents))
    return path


def report_of(path: Path) -> list[tuple[str, str]]:
    return [(line["outcome"], line["name"]) for line in map(orjson.loads, path.read_bytes().splitlines())]


async def test_documents_of_the_reference_are_entered_once_and_bad_ones_are_passed_over(
    pool: asyncpg.Pool, refsys: Call, tmp_path: Path
) -> None:
    other = numbered(1)
    path = write_lines(
        tmp_path / "dump.jsonl",
        PRIP,
        {"index": {"_id": other}},
        {"_source": CATALOGUE | {"productName": other}},
        CATALOGUE,
        b"{ not json",
        b'{"deep":' + b"[" * 5000 + b"]" * 5000 + b"}",
        CATALOGUE | {"productName": "../../../etc/passwd"},
        CATALOGUE | {"productName": "holiday.jpg"},
        PRIP
        | {"name": numbered(2), "footprint": {"type": "polygon", "coordinates": [[[0, 0], [5, 5], [0, 5], [5, 0]]]}},
        PRIP | {"name": numbered(3), "footprint": {"type": "polygon", "coordinates": "x"}, "contentLength": 2**63},
        b"",
        {"_source": {"neither": 1}},
    )
    first = await refsys("reference", path, "--report", tmp_path / "report")
    assert sorted(report_of(tmp_path / "report")) == sorted([
        ("already there", RAW), ("refused", ""), ("refused", ""), ("refused", "../../../etc/passwd"),
        ("unknown type", "holiday.jpg"), ("refused", ""), ("entered", RAW), ("entered", other),
        ("entered", numbered(2)), ("entered", numbered(3)),
    ])  # fmt: skip
    assert "4 entered" in first.stdout
    assert "4 refused" in first.stdout
    assert "dump.jsonl:5: the line is not JSON" in first.stdout
    rows = {row["name"]: row for row in await pool.fetch("SELECT * FROM catalogue.product")}
    assert rows.keys() == {RAW, other, numbered(2), numbered(3)}
    row = rows[RAW]
    assert (row["state"], row["online"], row["package_size"]) == ("published", False, 1559908047)
    assert row["package_md5"].hex() == "8d2d" * 8
    assert row["lineage"]["origin"]["id"] == PRIP["id"]
    assert row["lineage"]["source"] == "import reference"
    assert rows[numbered(2)]["footprint_quality"] == "the ring crosses itself; repaired"
    assert (rows[numbered(3)]["footprint"], len(rows[numbered(3)]["problems"])) == (None, 2)
    again = await refsys("reference", path)
    assert "5 already there" in again.stdout
    assert "entered" not in again.stdout
    assert await pool.fetchval("SELECT count(*) FROM catalogue.change") == 4
    trail = await pool.fetch("SELECT action, reason, details FROM catalogue.audit ORDER BY id")
    assert [(entry["action"], entry["details"]["counts"].get("entered")) for entry in trail] == [
        ("import", 4),
        ("import", None),
    ]


async def test_a_dry_run_says_the_same_and_writes_nothing(pool: asyncpg.Pool, refsys: Call, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "dump.jsonl", PRIP, b"nothing", CATALOGUE | {"productName": "x.jpg"})
    told = (await refsys("reference", path, "--dry-run")).stdout
    assert "would be: 1 refused, 1 unknown type, 1 entered" in told
    for table in ("catalogue.product", "catalogue.content", "catalogue.import_run", "catalogue.audit"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 0


class Killed(Exception):
    """As if the process had ended here."""


def killed_after(batches: int) -> Callable[[Sequence[Line]], None]:
    """A report that ends the import when so many batches were told to it."""
    left = [batches]

    def report(lines: Sequence[Line]) -> None:
        left[0] -= 1
        if not left[0]:
            raise Killed

    return report


async def test_an_import_that_was_killed_goes_on_where_it_was(
    dsn: str, pool: asyncpg.Pool, refsys: Call, tmp_path: Path
) -> None:
    path = write_lines(tmp_path / "dump.jsonl", *(PRIP | {"name": numbered(number)} for number in range(1300)))
    connection = await connect(dsn)
    run = await Run.open(connection, "reference", str(path), killed_after(1))
    with pytest.raises(Killed):
        await enter_all(run, TYPES, lines(path, TYPES, run.place))
    with pytest.raises(RefsysError, match="is being imported by another process"):
        async with pool.acquire() as other:
            await Run.open(other, "reference", str(path), killed_after(1))
    await connection.close()
    assert await pool.fetchval("SELECT count(*) FROM catalogue.product") == 500
    told = await refsys("reference", path, "--report", tmp_path / "report")
    assert "goes on where the last import came to" in told.stderr
    assert "800 entered" in told.stdout
    assert "already there" not in told.stdout
    assert await pool.fetchval("SELECT count(*) FROM catalogue.product") == 1300
    counts = await pool.fetchval("SELECT counts FROM catalogue.import_run WHERE finished_at IS NOT NULL")
    assert counts == {"entered": 1300}


@pytest.fixture
async def hub(
    postgres_server: EmbeddedPostgres, template: str, settings: Settings
) -> AsyncIterator[tuple[str, asyncpg.Pool]]:
    """Another system of ours as the hub: its OData root and its database."""
    connection = await asyncpg.connect(postgres_server.dsn)
    await connection.execute(f"CREATE DATABASE hub TEMPLATE {template} STRATEGY FILE_COPY")
    pool = await create_pool(database(postgres_server.dsn, "hub"))
    app = create_app(pool=pool, storage=open_storage(settings), types=TYPES, settings=settings)
    async with served(app) as port:
        yield f"http://127.0.0.1:{port}/odata/v1", pool
    pool.terminate()
    await connection.execute("DROP DATABASE hub WITH (FORCE)")
    await connection.close()


async def test_another_hub_is_taken_over_by_publication_date(
    pool: asyncpg.Pool, refsys: Call, hub: tuple[str, asyncpg.Pool], settings: Settings
) -> None:
    root, of_hub = hub
    rows = list(plausible_rows(130))
    # most of them at one instant, more than a page
    for row in rows[20:80]:
        row.published_at = rows[20].published_at
    async with of_hub.acquire() as connection:
        await insert_rows(connection, rows)
    only = f"{root}/Products?$filter=Collection/Name eq 'SENTINEL-1'&$top=15"
    wanted = sum(row.collection == "SENTINEL-1" for row in rows)
    assert f"{wanted} entered" in (await refsys("odata", only)).stdout
    assert (
        f"{130 - wanted} entered, {wanted} already there" in (await refsys("odata", f"{root}/Products?$top=20")).stdout
    )
    ours = {row["name"]: row for row in await pool.fetch("SELECT * FROM catalogue.product")}
    for row in rows:
        found = ours[row.name]
        assert (found["sensing_start"], found["sensing_stop"]) == (row.sensing_start, row.sensing_stop)
        assert (found["package_size"], found["online"]) == (row.package_size, False)
        assert found["available_at"] == row.published_at
        assert found["lineage"]["origin"] == {"id": str(row.id)}
        assert (found["footprint"] is None) == (row.footprint is None)
        # of the orbits these names say something else
        given = {name: value for name, value in row.attributes.items() if "rbit" not in name}
        assert given.items() <= found["attributes"].items()
    # and users of this one find the same
    app = create_app(pool=pool, storage=open_storage(settings), types=TYPES, settings=settings)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://ours") as us, httpx.AsyncClient() as them:
        asked = {"$filter": f"Name eq '{rows[0].name}'", "$expand": "Attributes"}
        [of_us] = (await us.get("/odata/v1/Products", params=asked)).json()["value"]
        [of_them] = (await them.get(f"{root}/Products", params=asked)).json()["value"]
    same = ("Id", "Name", "ContentLength", "ContentDate", "OriginDate")
    assert {key: of_us[key] for key in same} == {key: of_them[key] for key in same}
    # the MD5 of these rows is none, and left out
    [checksum] = of_us["Checksum"]
    assert checksum["Value"] in {checksum["Value"] for checksum in of_them["Checksum"]}
    assert (of_us["Online"], of_them["Online"]) == (False, True)
    # what comes later is found from there on, and nothing is asked again
    new = list(plausible_rows(140, seed=9))[-1]
    async with of_hub.acquire() as connection:
        await insert_rows(connection, [new])
    told = await refsys("odata", f"{root}/Products?$top=20")
    assert "1 entered" in told.stdout
    assert "already" not in told.stdout


@pytest.fixture
async def station() -> AsyncIterator[Stranger]:
    async with stranger() as station:
        yield station


async def test_a_broken_page_ends_the_import_which_then_goes_on(
    pool: asyncpg.Pool, refsys: Call, station: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refsys.catalogue.takeover.odata._PAUSE_S", 0.01)
    entities = [
        ENTITY | {"Id": str(number), "Name": numbered(number), "PublicationDate": f"2024-01-01T00:00:0{number}Z"}
        for number in range(4)
    ]
    pages = [orjson.dumps({"value": entities[:2]}), b"<html>busy", b"<html>busy", b"<html>busy", b"<html>busy"]
    pages += [orjson.dumps({"value": [*entities[1:], {"Id": "7", "PublicationDate": "2024-01-02"}]})]
    pages += [orjson.dumps({"value": [{"Id": "7", "PublicationDate": "2024-01-02"}]}), b'{"value": []}']
    waiting = iter(pages)

    station.answers["/odata/Products"] = lambda request: web.Response(body=next(waiting))
    broken = await refsys("odata", f"{station.url}/odata", code=1)
    assert "that is not JSON" in broken.stderr
    assert "2 entered" in broken.stdout
    told = await refsys("odata", f"{station.url}/odata")
    assert "1 refused, 2 entered" in told.stdout
    assert "the entry has no Name" in told.stdout
    assert "PublicationDate%20ge%202024-01-01T00:00:01" in station.asked[-3].target
    assert await pool.fetchval("SELECT count(*) FROM catalogue.product") == 4


async def test_a_hub_that_does_not_keep_the_order_is_left_alone(refsys: Call, station: Stranger) -> None:
    dates = ("2024-01-02", "2024-01-01")
    station.answer("/Products", body=orjson.dumps({"value": [ENTITY | {"PublicationDate": date} for date in dates]}))
    told = await refsys("odata", station.url, code=1)
    assert "does not list products in the order of their publication" in told.stderr


async def test_saved_pages_of_which_one_is_broken(pool: asyncpg.Pool, refsys: Call, tmp_path: Path) -> None:
    (tmp_path / "1.json").write_bytes(orjson.dumps({"value": [ENTITY, ENTITY | {"Name": None}, 7]}))
    (tmp_path / "2.json").write_bytes(b'{"value": [')
    (tmp_path / "3.json").write_bytes(orjson.dumps(ENTITY | {"Name": numbered(1)}))
    told = await refsys("odata", *(tmp_path / f"{number}.json" for number in (1, 2, 3)))
    assert "3 refused, 2 entered" in told.stdout
    assert await pool.fetchval("SELECT count(*) FROM catalogue.product") == 2
    missing = await refsys("odata", tmp_path / "4.json", code=2)
    assert "cannot be read" in missing.stderr


def put_product(storage: Storage, base: str, name: str, files: dict[str, bytes]) -> dict[str, bytes]:
    """Key → bytes of a product that lies in storage."""
    top = f"{base}/" if base else ""
    found = {f"{top}{name}/{path}" if path else f"{top}{name}": data for path, data in files.items()}
    with storage.batch() as batch:
        for key, data in found.items():
            batch.put(key, data)
    return found


def sums_of(found: dict[str, bytes]) -> bytes:
    """As the reference writes them, with an eTag, and a line that cannot be meant."""
    lines = [f"{hashlib.md5(data).hexdigest()} etag-{number} {key}" for number, (key, data) in enumerate(found.items())]
    return "\n".join([*lines, "# x", ""]).encode()


def all_bytes(storage: Storage) -> dict[str, bytes]:
    return {info.key: storage.read(info.key) for info in storage.list("")}


@pytest.fixture(params=["local", "s3"])
def stored(request: pytest.FixtureRequest, storage: Storage) -> Storage:
    return storage if request.param == "local" else request.getfixturevalue("s3_gateway").storage()


async def look_and_take(connection: asyncpg.Connection, storage: Storage, prefix: str = "", **how: Any) -> list[Line]:
    told: list[Line] = []
    run = await Run.open(connection, "bucket", prefix, told.extend, **how)
    with contextlib.closing(bucket.Reader(storage)) as reader:
        findings = await asyncio.to_thread(reader.look, prefix, TYPES)
        await bucket.take_over(run, reader, TYPES, findings)
    return told


async def test_products_in_storage_arrive_where_they_lie(connection: asyncpg.Connection, stored: Storage) -> None:
    files = {"manifest.safe": b"<x/>", "measurement/a.tiff": b"pixels" * 1000, "void": b""}
    top = put_product(stored, "", GRD, files)
    deep = put_product(stored, "rs/s1 l0/2020", RAW, files)
    put_product(stored, "rs", EOF, {"": b"<Earth_Explorer_File/>"})
    put_product(stored, "attempts/7", numbered(9), files)
    stored.put(f"{GRD}.md5sum", sums_of(top))
    stored.put(f"rs/{numbered(1)}.zip", b"PK")
    stored.put("rs/readme.txt", b"hello")
    damaged = put_product(stored, "bad", numbered(2), files)
    stored.put(f"bad/{numbered(2)}.md5sum", sums_of(damaged | {f"bad/{numbered(2)}/void": b"not", "other": b""}))
    lacking = put_product(stored, "bad", numbered(3), files)
    stored.put(f"bad/{numbered(3)}.md5sum", sums_of(lacking | {f"bad/{numbered(3)}/more": b""}))
    put_product(stored, "bad", numbered(4), files)
    stored.put(f"bad/{numbered(4)}.md5sum", b"\xff\xfe nonsense")
    before = all_bytes(stored)
    told = await look_and_take(connection, stored)
    assert {(line.outcome.value, line.place) for line in told} == {
        ("archive", f"rs/{numbered(1)}.zip"),
        ("entered", GRD),
        ("entered", f"rs/s1 l0/2020/{RAW}"),
        ("entered", f"rs/{EOF}"),
        ("refused", f"bad/{numbered(2)}"),
        ("refused", f"bad/{numbered(3)}"),
        ("refused", f"bad/{numbered(4)}"),
    }
    reasons = {line.name: line.why for line in told if line.outcome == "refused"}
    assert "void has another MD5" in reasons[numbered(2)]
    assert "more is missing" in reasons[numbered(3)]
    assert "name none of its files" in reasons[numbered(4)]
    rows = await connection.fetch("SELECT name, base, in_place FROM catalogue.content")
    assert {tuple(row) for row in rows} == {(GRD, "", True), (RAW, "rs/s1 l0/2020", True), (EOF, "rs", True)}
    entries = await connection.fetch("SELECT f.* FROM catalogue.file f JOIN catalogue.content c ON c.id = content_id"
                                     " WHERE c.name = $1 ORDER BY path", RAW)  # fmt: skip
    assert [(row["path"], row["size"], row["md5"].hex()) for row in entries] == [
        (key.removeprefix("rs/s1 l0/2020/"), len(data), hashlib.md5(data).hexdigest())
        for key, data in sorted(deep.items())
    ]
    assert all_bytes(stored) == before
    again = await look_and_take(connection, stored, again=True)
    assert {line.outcome.value for line in again} == {"archive", "already there", "refused"}


async def test_files_with_names_that_are_no_keys_are_refused(
    connection: asyncpg.Connection, storage: LocalStorage, refsys: Call, tmp_path: Path
) -> None:
    for folder in (b"a\nb", b"a\xffb", b"a\\b"):
        path = os.fsencode(storage.root) + b"/" + folder + b"/" + RAW.encode()
        Path(os.fsdecode(path)).mkdir(parents=True)
        Path(os.fsdecode(path + b"/manifest.safe")).write_bytes(b"<x/>")
    told = await refsys("bucket", "--report", tmp_path / "report")
    assert "3 refused" in told.stdout
    assert await connection.fetchval("SELECT count(*) FROM catalogue.content") == 0


class Breaking(LocalStorage):
    """Storage that fails when the file of one product is opened."""

    def __init__(self, storage: LocalStorage, name: str) -> None:
        super().__init__(storage.root)
        self.name: str = name
        self.opened: list[str] = []

    def open(self, key: str) -> Reader:
        self.opened.append(key)
        if self.name and self.name in key:
            raise Killed
        return super().open(key)


async def test_a_bucket_whose_import_was_killed_is_read_no_further_than_it_needs(
    dsn: str, pool: asyncpg.Pool, storage: LocalStorage
) -> None:
    names = [numbered(number) for number in range(10)]
    for name in names:
        put_product(storage, "rs", name, {"manifest.safe": name.encode()})
    breaking = Breaking(storage, names[6])
    first = await connect(dsn)
    with pytest.raises(Killed):
        await look_and_take(first, breaking)
    await first.close()
    assert await pool.fetchval("SELECT count(*) FROM catalogue.content") == 4
    breaking.name, breaking.opened = "", []
    second = await connect(dsn)
    told = await look_and_take(second, breaking)
    await second.close()
    assert [(line.outcome.value, line.name) for line in told] == [("entered", name) for name in names[4:]]
    assert sorted(breaking.opened) == [f"rs/{name}/manifest.safe" for name in names[4:]]


async def test_bytes_in_place_survive_being_replaced_and_being_a_second_copy(
    dsn: str, pool: asyncpg.Pool, connection: asyncpg.Connection, storage: LocalStorage
) -> None:
    ours = put_product(storage, "rs", GRD, {"manifest.safe": b"<one/>"})
    stages = catalogue.stages(pool, storage, TYPES)
    await look_and_take(connection, storage)
    await describe_as_it_is(pool)
    # other bytes of the name take its place, and then the first ones come again in place
    _, replacing = await store_product(pool, storage, {"manifest.safe": b"<two/>"})
    async with running(dsn, pool, *(stage for stage in stages if stage.name == "catalogue.discard")):
        await wait_for(lambda: pool.fetchval("SELECT count(*) = 1 FROM work.history WHERE stage = 'catalogue.discard'"))
    contents = await pool.fetch("SELECT id, discarded_at IS NOT NULL AS gone FROM catalogue.content ORDER BY id")
    assert [row["gone"] for row in contents] == [True, False]
    assert replacing == contents[1]["id"]
    assert {key: storage.read(key) for key in ours} == ours


async def describe_as_it_is(pool: asyncpg.Pool) -> None:
    """Describe the one content that arrived, without looking into its metadata."""
    async with pool.acquire() as connection, connection.transaction():
        content = await store.fetch_content(connection, await connection.fetchval("SELECT id FROM catalogue.content"))
        assert content is not None
        described = await commands.describe(
            connection, content, TYPES.recognise(content.name), Description(START, START, None, {}),
            priority=10,
        )  # fmt: skip
        product = await store.fetch_product(connection, described.product_id)
        assert product is not None
        assert (product.final_base, product.lineage["in_place"]) == (content.base, content.base)
        await connection.execute("DELETE FROM work.step")
        await connection.execute("DELETE FROM work.pgqueuer")
