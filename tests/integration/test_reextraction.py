"""Tables that change: products are described anew in the background, and the preview says before what will happen."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import httpx
import pytest
from typer.testing import CliRunner

from refsys.catalogue import commands, reextract, stale
from refsys.catalogue.fingerprints import NO_ROW, type_fingerprint
from refsys.cli.main import app
from refsys.core.products import Arrival
from refsys.infra.settings import Settings
from refsys.infra.storage import Storage
from refsys.missions import TypeRegistry, load_types
from refsys.runtime import roles
from refsys.web.app import create_app
from tests.pipeline import WORK, running_pipeline
from tests.real_products import UNKNOWN, offers
from tests.stored_products import file_table, path_of
from tests.waiting import wait_for

ROW = """
types:
  - id: my-type
    about: products of ours
    name: 'MINE_(?P<number>\\d{4})\\.xml'
    product_type: MINE
    mission: S1
    instrument: SAR
    level: L1
    documents: {file: ""}
    attributes:
      orbitNumber: "file//m/orbit"
      beginningDateTime: "file//m/start"
      endingDateTime: "file//m/start"
    footprint: {rule: positions, read: "file//m/area", expected: false}
    packaging: bare
    storage: [Mine]
"""
BETTER = ROW.replace("    attributes:\n", '    attributes:\n      cycleNumber: "file//m/cycle"\n')
METADATA = "<m><start>2024-09-01T00:00:00Z</start><orbit>{}</orbit>{}</m>"
AREA = "<area>0 0 0 1 1 1 1 0 0 0</area>"


@pytest.fixture
def tables(tmp_path: Path):
    """The packaged tables with this text as the user's."""

    def load(text: str) -> TypeRegistry:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return load_types([path])

    return load


class System:
    """A system that is started with tables, finishes its work and stops."""

    def __init__(self, settings, pool: asyncpg.Pool, dsn: str, storage: Storage) -> None:
        self.settings, self.pool, self.dsn, self.storage = settings, pool, dsn, storage

    async def start(self, types: TypeRegistry) -> list[str]:
        """What a start with these tables planned, once all is done."""
        planned = await reextract.plan(self.pool, types)
        async with running_pipeline(
            self.settings, [], pool=self.pool, dsn=self.dsn, storage=self.storage, types=types
        ) as pipeline:
            await pipeline.idle()
        assert await pipeline.parked_steps() == []
        return planned

    async def offer(self, **products: str) -> None:
        """Let products of one file arrive, by name without suffix."""
        for stem, text in products.items():
            await self.bring(f"{stem}.xml", {"": text.encode()})

    async def bring(self, name: str, members: Mapping[str, bytes]) -> None:
        """Let one product arrive."""
        base = f"attempts/{uuid.uuid4()}"
        with self.storage.batch() as batch:
            for path, data in members.items():
                batch.put(f"{base}/{path_of(name, path)}", data)
        arrival = Arrival(name, base, file_table(name, members), "test", on_change="revise", completeness="record")
        async with self.pool.acquire() as connection, connection.transaction():
            await commands.arrive(connection, arrival, priority=50)

    async def product(self, stem: str) -> asyncpg.Record:
        return await self.pool.fetchrow("SELECT * FROM catalogue.product WHERE name = $1 AND current", f"{stem}.xml")

    async def feed(self) -> list[tuple[str, str]]:
        rows = await self.pool.fetch(
            "SELECT c.kind, p.name FROM catalogue.change c JOIN catalogue.product p ON p.id = c.product_id"
            " ORDER BY c.position"
        )
        return [(row["kind"], row["name"].removesuffix(".xml")) for row in rows]


@pytest.fixture
def system(settings, pool, dsn, storage) -> System:
    return System(settings, pool, dsn, storage)


@pytest.fixture
def preview(dsn: str, tmp_path: Path):
    """What `refsys types preview` prints with the tables that were made last."""

    async def run(*words: str) -> str:
        arguments = ["--state", str(tmp_path / "state"), "--set", f"database_url={dsn}", "types", "preview"]
        arguments += ["--tables", str(tmp_path / "mine.yaml"), *words]
        result = await asyncio.to_thread(CliRunner(env={"COLUMNS": "150"}).invoke, app, arguments)
        assert result.exit_code == 0, result.output + repr(result.exception)
        return result.output

    return run


async def test_a_changed_row_changes_what_is_published_once_and_leaves_the_rest(
    system, tables, pool, settings, storage
):
    before = tables(ROW)
    assert await system.start(before) == []
    plain, with_cycle = METADATA.format(7, ""), METADATA.format(8, "<cycle>3</cycle>" + AREA)
    await system.offer(MINE_0001=plain, MINE_0002=with_cycle)
    await system.start(before)
    old = await system.product("MINE_0002")
    assert old["type_fingerprint"] == type_fingerprint(before.types["my-type"])

    after = tables(BETTER.replace("rule: positions", "rule: geo_points").replace("level: L1", "level: L2"))
    assert await system.start(after) == ["my-type"]
    new = await system.product("MINE_0002")
    assert new["attributes"] == old["attributes"] | {"cycleNumber": 3}
    assert (new["level"], new["edition"]) == ("L2", 2)
    stays = ("id", "name", "final_base", "package_name", "package_md5", "published_at", "feed_position", "described_at")
    assert [new[column] for column in stays] == [old[column] for column in stays]
    assert new["modified_at"] > old["modified_at"]
    assert sorted(await system.feed()) == [
        ("created", "MINE_0001"), ("created", "MINE_0002"), ("modified", "MINE_0001"), ("modified", "MINE_0002"),
    ]  # fmt: skip

    web = httpx.ASGITransport(create_app(pool=pool, storage=storage, types=after, settings=settings))
    async with httpx.AsyncClient(transport=web, base_url="http://refsys") as client:
        answer = await client.get(f"/odata/v1/Products({new['id']})?$expand=Attributes")
    assert {"cycleNumber": 3}.items() <= {a["Name"]: a["Value"] for a in answer.json()["Attributes"]}.items()
    assert await system.start(after) == []


async def test_what_does_not_change_gets_no_entry_of_the_feed(system, tables):
    await system.offer(MINE_0001=METADATA.format(7, ""), MINE_0002=METADATA.format(8, "<cycle>3</cycle>"))
    await system.start(tables(ROW))
    await system.start(tables(BETTER))
    assert (await system.feed())[2:] == [("modified", "MINE_0002")]
    unchanged = await system.product("MINE_0001")
    assert (unchanged["edition"], unchanged["modified_at"]) == (1, unchanged["published_at"])


async def test_a_footprint_that_changes_is_found_where_it_is_now(system, tables, pool):
    await system.offer(MINE_0001=METADATA.format(7, AREA))
    await system.start(tables(ROW.replace("m/area", "m/region")))
    assert (await system.product("MINE_0001"))["footprint"] is None
    await system.start(tables(ROW))
    assert (await system.product("MINE_0001"))["footprint"]["type"] == "Polygon"
    found = "SELECT count(*) FROM catalogue.footprint_part WHERE part && '((0.2,0.2),(0.3,0.2),(0.3,0.3))'::polygon"
    assert await pool.fetchval(found) == 1
    await system.start(tables(ROW.replace("m/area", "m/region")))
    assert await pool.fetchval("SELECT count(*) FROM catalogue.footprint_part") == 0


async def test_rows_that_come_and_go_take_their_products_along(system, tables):
    await system.offer(MINE_0001=METADATA.format(1, ""), MINE_0002=METADATA.format(2, ""))
    await system.start(tables(ROW))
    # asked before the one that knew the product
    new = ROW.replace("my-type", "new-type").replace("product_type: MINE", "product_type: NEW")
    both = tables(new.replace("(?P<number>\\d{4})", "0002") + ROW.removeprefix("\ntypes:\n"))
    assert await system.start(both) == ["(names)"]
    assert [(await system.product(stem))["product_type"] for stem in ("MINE_0001", "MINE_0002")] == ["MINE", "NEW"]

    assert sorted(await system.start(tables("types: []"))) == ["(names)", "my-type", "new-type"]
    orphan = await system.product("MINE_0002")
    assert (orphan["product_type"], orphan["type_id"], orphan["type_fingerprint"]) == ("NEW", "new-type", NO_ROW)
    assert orphan["problems"] == ["it is described as before: no product type has such a name any more"]
    assert (await system.feed())[2:] == [("modified", "MINE_0002")]

    await system.start(tables(ROW))
    back = await system.product("MINE_0002")
    assert (back["product_type"], back["problems"]) == ("MINE", [])


async def test_a_batch_that_is_killed_is_done_again_and_nothing_twice(system, tables, monkeypatch, pool):
    stems = [f"MINE_{number:04d}" for number in range(7)]
    await system.offer(**{stem: METADATA.format(1, "<cycle>3</cycle>") for stem in stems})
    await system.start(tables(ROW))
    monkeypatch.setattr(reextract, "BATCH", 2)
    committed, enter = [], reextract.enter

    async def dies_once(connection, redescribed):
        done = await enter(connection, redescribed)
        committed.append(len(redescribed))
        if len(committed) == 2:
            raise ConnectionResetError
        return done

    monkeypatch.setattr(reextract, "enter", dies_once)
    await system.start(tables(BETTER))
    assert committed == [2, 2, 2, 2, 1]
    assert sorted(name for kind, name in await system.feed() if kind == "modified") == stems
    # what waited went on at each step, in the transaction of its effect
    assert await pool.fetchval("SELECT count(*) FROM work.history WHERE stage = $1", reextract.STAGE) == 4


async def test_what_is_replaced_meanwhile_does_not_get_its_old_values_back(system, tables, monkeypatch, pool):
    await pool.execute(
        "INSERT INTO catalogue.rule (kind, name, reason, author) VALUES ('hold', 'MINE_0001.xml', 'not yet', 'me')"
    )
    await system.offer(MINE_0001=METADATA.format(1, "<cycle>3</cycle>"))
    await system.start(tables(ROW))
    redescribe = reextract.redescribe

    async def overtaken(product, *rest, **others):
        done = await redescribe(product, *rest, **others)
        assert done.values
        await system.offer(MINE_0001=METADATA.format(22, "<cycle>33</cycle>"))
        other = "SELECT true FROM catalogue.product WHERE content_id <> $1"
        await wait_for(lambda: pool.fetchval(other, product.content_id), 20)
        # as a worker of the release before would have described it
        await pool.execute("UPDATE catalogue.product SET type_fingerprint = $1", product.type_fingerprint)
        return done

    monkeypatch.setattr(reextract, "redescribe", overtaken)
    await system.start(tables(BETTER))
    assert (await system.product("MINE_0001"))["attributes"].items() >= {"cycleNumber": 33, "orbitNumber": 22}.items()


async def test_what_cannot_be_described_anew_keeps_its_values_and_tells_why(system, tables, storage):
    await system.offer(**{f"MINE_000{number}": METADATA.format(number, "<cycle>3</cycle>") for number in (1, 2, 3)})
    await system.start(tables(ROW))
    damaged, lost = [await system.product(stem) for stem in ("MINE_0001", "MINE_0002")]
    storage.put(f"{damaged['final_base']}/MINE_0001.xml", b"<m>")
    storage.delete([f"{lost['final_base']}/MINE_0002.xml"])
    after = tables(BETTER)
    await system.start(after)
    assert [name for kind, name in await system.feed() if kind == "modified"] == ["MINE_0003"]
    kept = await system.product("MINE_0001")
    assert kept["attributes"] == damaged["attributes"]
    assert "it is described as before: MINE_0001.xml: is not well-formed XML" in kept["problems"][0]
    # bytes that are away may come back: the next start tries again
    assert (await system.product("MINE_0002"))["type_fingerprint"] == lost["type_fingerprint"]
    storage.put(f"{lost['final_base']}/MINE_0002.xml", METADATA.format(2, "<cycle>3</cycle>").encode())
    assert await system.start(after) == ["my-type"]
    assert (await system.product("MINE_0002"))["attributes"]["cycleNumber"] == 3
    assert await system.start(after) == []


async def test_names_are_looked_through_in_pieces(system, tables, monkeypatch):
    stems = [f"MINE_{number:04d}" for number in range(9)]
    await system.offer(**{stem: METADATA.format(1, "") for stem in stems})
    await system.start(tables(ROW))
    monkeypatch.setattr(stale, "PAGE", 4)
    monkeypatch.setattr(reextract, "BATCH", 2)
    new = ROW.replace("my-type", "new-type").replace("\\d{4}", "000[0-57]")
    assert await system.start(tables(new + ROW.removeprefix("\ntypes:\n"))) == ["(names)"]
    kinds = [(await system.product(stem))["type_id"] for stem in stems]
    assert kinds == ["new-type" if stem[-1] in "0123457" else "my-type" for stem in stems]
    modified = {name for kind, name in await system.feed() if kind == "modified"}
    assert modified == {stem for stem, kind in zip(stems, kinds, strict=True) if kind == "new-type"}


async def test_real_products_that_are_described_anew_stay_as_they_are(system, pool, storage, shared_data):
    types = load_types()
    kinds: dict[str, Path] = {}
    for path in offers(shared_data):
        if path.name not in UNKNOWN:
            kinds.setdefault(types.recognise(path.name).type.id, path)
    for path in kinds.values():
        members = {"": path.read_bytes()} if path.is_file() else {
            member.relative_to(path).as_posix(): member.read_bytes() for member in path.rglob("*") if member.is_file()
        }  # fmt: skip
        await system.bring(path.name, members)
    await system.start(types)
    await pool.execute("UPDATE catalogue.product SET type_fingerprint = ''")
    assert {*await system.start(types)} == {*kinds}
    rows = await pool.fetch("SELECT name, edition, type_id, type_fingerprint, problems FROM catalogue.product")
    assert len(rows) == len(kinds) > 20
    assert {row["name"] for row in rows if row["edition"] > 1} == set()
    assert all(row["type_fingerprint"] == type_fingerprint(types.types[row["type_id"]]) for row in rows)
    assert not [row["problems"] for row in rows if "as before" in str(row["problems"])]


async def test_products_without_bytes_are_left_alone(system, tables, pool):
    await system.offer(MINE_0001=METADATA.format(1, "<cycle>3</cycle>"))
    await system.start(tables(ROW))
    await pool.execute("UPDATE catalogue.product SET online = false")
    assert await system.start(tables(BETTER)) == []
    assert "cycleNumber" not in (await system.product("MINE_0001"))["attributes"]


async def test_a_worker_with_other_tables_leaves_the_step_to_those_that_have_them(system, tables, pool, monkeypatch):
    await system.offer(MINE_0001=METADATA.format(1, "<cycle>3</cycle>"))
    old, new = tables(ROW), tables(BETTER)
    await system.start(old)
    await reextract.plan(pool, new)
    monkeypatch.setattr(reextract, "_LATER", "SELECT clock_timestamp() + interval '1 hour'")
    async with running_pipeline(
        system.settings, [], pool=pool, dsn=system.dsn, storage=system.storage, types=old
    ) as pipeline:
        await wait_for(lambda: pool.fetchval("SELECT true FROM work.step WHERE payload->>'passed' = '1'"), 20)
    assert await pipeline.parked_steps() == []
    assert "cycleNumber" not in (await system.product("MINE_0001"))["attributes"]
    await system.start(new)
    assert (await system.product("MINE_0001"))["attributes"]["cycleNumber"] == 3


async def test_status_tells_how_many_are_left(system, tables, pool, dsn, tmp_path, monkeypatch):
    monkeypatch.setattr(reextract, "BATCH", 2)
    await system.offer(**{f"MINE_{number:04d}": METADATA.format(1, "") for number in range(5)})
    await system.start(tables(ROW))

    async def told() -> str:
        arguments = ["--state", str(tmp_path / "state"), "--set", f"database_url={dsn}", "status"]
        return (await asyncio.to_thread(CliRunner(env={"COLUMNS": "120"}).invoke, app, arguments)).output

    assert "described anew" not in await told()
    await reextract.plan(pool, tables(BETTER))
    assert "tables    changed: my-type is described anew, products are being counted" in await told()
    enter, during = reextract.enter, []

    async def tells(connection, redescribed):
        during.append(await told())
        return await enter(connection, redescribed)

    monkeypatch.setattr(reextract, "enter", tells)
    await system.start(tables(BETTER))
    left = [re.findall(r"my-type is described anew, (\w+) products", text) for text in during]
    assert left == [[], ["3"], ["1"]]
    assert "described anew" not in await told()


async def test_the_preview_says_what_then_happens(system, tables, preview):
    texts = (
        METADATA.format(1, "<cycle>3</cycle>"),
        METADATA.format(2, ""),
        METADATA.format(3, f"<cycle>x</cycle>{AREA}"),
    )
    await system.offer(**{f"MINE_000{number}": text for number, text in enumerate(texts, 1)})
    await system.start(tables(ROW))
    after = tables(BETTER.replace("product_type: MINE", "product_type: OURS"))

    async def previewed() -> list[dict]:
        return [json.loads(line) for line in (await preview("--json")).splitlines()]

    before = {name: await system.product(name) for name in ("MINE_0001", "MINE_0002", "MINE_0003")}
    summary, *samples = await previewed()
    assert summary == {"affected": 3, "types": {"my-type": 3}}
    assert {name: await system.product(name) for name in before} == before

    await system.start(after)
    for sample in samples:
        old = before[sample["name"].removesuffix(".xml")]
        new = await system.product(sample["name"].removesuffix(".xml"))
        told = {what: change["new"] for what, change in sample["attributes"].items()}
        assert told == {k: v for k, v in new["attributes"].items() if old["attributes"].get(k) != v}
        assert sample["columns"]["product_type"] == {"old": "MINE", "new": new["product_type"]}
        assert sample["new_problems"] == [p for p in new["problems"] if p not in old["problems"]]
    assert len(samples) == 3
    assert await previewed() == [{"affected": 0, "types": {}}]
    assert "nothing would change" in await preview()


async def test_the_preview_finds_products_of_other_types_and_says_what_stays(system, tables, preview):
    await system.offer(**{f"MINE_000{number}": METADATA.format(number, "") for number in range(4)})
    await system.start(tables(ROW))
    new = ROW.replace("my-type", "new-type").replace("(?P<number>\\d{4})", "0002").replace("level: L1", "level: L2")
    tables(new + ROW.removeprefix("\ntypes:\n"))
    told = await preview()
    assert told.startswith("1 product of type my-type would be described anew\n\nMINE_0002.xml\n")
    for line in ("type_id: my-type → new-type", "level: L1 → L2", "1 of them were looked at; 0 would stay as they are"):
        assert line in told
    assert "MINE_0002" in await preview("--type", "new-type")
    assert "nothing would change" in await preview("--type", "s1-l1")
    tables(BETTER)
    told = await preview("--limit", "3")
    assert told.startswith("4 products of type my-type would be described anew\n")
    assert "3 of them were looked at; 3 would stay as they are" in told
    assert (await system.product("MINE_0002"))["type_id"] == "my-type"


async def test_a_worker_that_starts_with_other_tables_describes_anew_by_itself(system, tables, dsn, tmp_path):
    await system.offer(MINE_0001=METADATA.format(1, "<cycle>3</cycle>"))
    await system.start(tables(ROW))
    tables(BETTER)
    settings = Settings(
        state_dir=system.settings.state_dir, database_url=dsn, type_tables=(tmp_path / "mine.yaml",), work=WORK
    )
    stop = asyncio.Event()
    working = asyncio.create_task(roles.worker(roles.Role("worker", settings, stop)))

    async def is_better() -> bool:
        return (await system.product("MINE_0001"))["attributes"].get("cycleNumber") == 3

    await wait_for(is_better)
    stop.set()
    await working


async def test_publications_on_their_way_are_waited_for_before_any_product_is_locked(system, tables, pool):
    await pool.execute(
        "INSERT INTO catalogue.rule (kind, name, reason, author) VALUES ('hold', 'MINE_0001.xml', 'not yet', 'me')"
    )
    await system.offer(**{f"MINE_000{number}": METADATA.format(number, "<cycle>3</cycle>") for number in (1, 2)})
    await system.start(tables(ROW))
    packaged = await system.product("MINE_0001")
    assert packaged["state"] == "packaged"
    async with pool.acquire() as publisher:
        async with publisher.transaction():
            # what catalogue.publish does: the feed's lock, then the product
            await publisher.execute("SELECT catalogue.lock_feed()")
            describing = asyncio.create_task(system.start(tables(BETTER)))
            waits = "SELECT true FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
            await wait_for(lambda: pool.fetchval(waits), 20)
            await publisher.execute("SET LOCAL lock_timeout = '300ms'")
            await publisher.execute("SELECT FROM catalogue.product WHERE id = $1 FOR UPDATE", packaged["id"])
        await describing
    assert (await system.product("MINE_0001"))["attributes"]["cycleNumber"] == 3
