"""Withdraw, supersede, republish, bans, pins, visibility, holds and the audit trail, as operators use them."""

import json
from datetime import timedelta
from urllib.parse import quote

import httpx
import pytest

from refsys.catalogue import audit, commands, control, lineage, rules, store
from refsys.catalogue.audit import Deed
from refsys.catalogue.control import Action, Selection
from refsys.catalogue.rules import About, Kind
from refsys.core.errors import RefsysError
from refsys.core.products import Arrival, FileEntry, product_id
from refsys.distribution import service
from refsys.infra.storage import open_storage
from refsys.infra.telemetry import Metrics
from refsys.web.app import create_app
from tests.catalogue_rows import START, Row, insert_rows
from tests.stored_products import GRD, TYPES, store_product
from tests.working import nothing_left, running

DEED = Deed("ann", "the calibration was wrong")
SQUARE = {"type": "Polygon", "coordinates": [[[10, 40], [12, 40], [12, 42], [10, 42], [10, 40]]]}
FIVE = [Row(f"P{number}", product_type=f"TYPE_{number % 2}") for number in range(5)]


@pytest.fixture
async def hub(pool, settings):
    """Names that users find, by a filter; and which of the deleted ones for which cause."""
    app = create_app(pool=pool, storage=open_storage(settings), types=TYPES, settings=settings)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub.test/odata/v1/") as client:

        async def ask(entity="Products", wanted="contains(Name,'P')"):
            response = await client.get(f"{entity}?$filter={quote(wanted)}&$top=100&$count=true")
            assert response.status_code == 200, response.text
            found = response.json()
            assert found["@odata.count"] == len(found["value"])
            return sorted(product["Name"] for product in found["value"])

        ask.client = client
        yield ask


async def enter(pool, *rows):
    async with pool.acquire() as connection:
        await insert_rows(connection, rows)


async def make(pool, name, *inputs):
    """A product of these inputs, described."""
    async with pool.acquire() as connection, connection.transaction():
        file = FileEntry(name, 1, md5=name.encode(), blake3=name.encode())
        arrival = Arrival(name=name, base=f"b/{name}", files=(file,), source="t", inputs=tuple(map(product_id, inputs)))
        content_id = await commands.arrive(connection, arrival, priority=50)
        content = await store.fetch_content(connection, content_id)
        await commands.describe(connection, content, TYPES.recognise(GRD), description(), priority=50)
    return product_id(name)


def description():
    from refsys.core.products import Description

    return Description(START, START, None, {})


async def feed(pool, since=None):
    """What happened to products that were not there from the beginning (START)."""
    async with pool.acquire() as connection:
        rows = await connection.fetch(
            "SELECT c.kind, p.name, c.cause FROM catalogue.change c JOIN catalogue.product p ON p.id = c.product_id"
            " WHERE c.kind <> 'created' OR c.at > $1 ORDER BY c.position",
            since or START + timedelta(days=1),
        )
    return [tuple(row) for row in rows]


async def test_withdrawn_products_are_told_with_their_cause_and_come_back_as_published_now(refsys, pool, hub):
    await enter(pool, *FIVE)
    would = await refsys("product", "withdraw", "P1", "P2", "-m", "bad", "--dry-run")
    assert "2 would be withdrawn" in would
    assert await hub() == ["P0", "P1", "P2", "P3", "P4"]
    assert await feed(pool) == []

    words = ("product", "withdraw", FIVE[1].id, "P2.zip", "-m", "bad", "--author", "ann")
    told = await refsys(*words, "--cause", "corrupted")
    assert "2 withdrawn" in told
    assert await hub() == ["P0", "P3", "P4"]
    assert await hub("DeletedProducts", "DeletionCause eq 'Corrupted product'") == ["P1", "P2"]
    again = await refsys("product", "withdraw", "P1", "P2", "-m", "bad", code=1)
    assert "2 left as they are" in again

    before = (await hub.client.get(f"Products({FIVE[0].id})")).json()["PublicationDate"]
    lines = (await refsys("product", "republish", "P1", "-m", "good again", "--json")).splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == ["republished"]
    assert await hub() == ["P0", "P1", "P3", "P4"]
    assert (await hub.client.get(f"Products({product_id('P1')})")).json()["PublicationDate"] > before
    cause = "Corrupted product"
    assert await feed(pool) == [("withdrawn", "P1", cause), ("withdrawn", "P2", cause), ("created", "P1", None)]

    trail = await refsys("audit", "--product", "P1")
    assert "ann withdraw" in trail
    assert "good again" in trail
    assert "republish" in trail
    assert "republish" not in await refsys("audit", "--product", "P2")


async def test_a_filter_withdraws_all_that_it_finds_in_pieces(pool, monkeypatch):
    monkeypatch.setattr(control, "PIECE", 2)
    await enter(pool, *FIVE, Row("OTHER", product_type="TYPE_9"), Row("GONE", state="packaged", published_at=None))
    from refsys.core.filters import Comparison, Literal, Op, Property

    wanted = Comparison(Property("product_type"), Op.NE, Literal("TYPE_9"))
    async with pool.acquire() as connection:
        found = await control.select(connection, Action.WITHDRAW, Selection(filter=wanted))
        assert sorted(one.name for one in found.changed) == ["P0", "P1", "P2", "P3", "P4"]
        done = await control.act(connection, Action.WITHDRAW, found.changed, DEED)
        assert len(done.changed) == 5
        assert [entry.products for entry in await audit.entries(connection)] == [1, 2, 2]
        assert (await control.act(connection, Action.WITHDRAW, found.changed, DEED)).changed == []
        assert len(await audit.entries(connection)) == 3, "what changed nothing is no deed"


async def test_the_commands_filter_is_the_operators_odata(refsys, pool, hub):
    await enter(pool, *FIVE)
    await refsys("product", "withdraw", "--filter", "Type eq 'TYPE_1'", "-m", "bad")
    assert await hub() == ["P0", "P2", "P4"]
    assert "State" in await refsys("product", "withdraw", "--filter", "Stat eq 'x'", "-m", "bad", code=1)
    assert "no product is named" in await refsys("product", "withdraw", "-m", "bad", code=1)
    assert "reason" in await refsys("product", "withdraw", "P0", "-m", " ", code=1)


async def test_an_unknown_name_stops_everything(refsys, pool, hub):
    await enter(pool, *FIVE)
    assert "no MISSING" in await refsys("product", "withdraw", "P0", "MISSING", "-m", "bad", code=1)
    assert "P0" in await hub()


async def test_superseded_by_a_published_product_only(refsys, pool, hub):
    await enter(pool, *FIVE, Row("NEW", state="packaged", published_at=None))
    for successor in ("NEW", "MISSING", "P0"):
        await refsys("product", "supersede", "P0", "--by", successor, "-m", "better one", code=1)
    await refsys("product", "supersede", "P0", "--by", "P1", "-m", "better one")
    assert await feed(pool) == [("superseded", "P0", "Obsolete product or Other")]
    assert await hub("DeletedProducts", "contains(Name,'P')") == ["P0"]
    assert "successor: P1" in await refsys("audit")
    await refsys("product", "republish", "P0", "-m", "no", code=1)


async def test_the_lineage_is_followed_down_through_diamonds(refsys, pool, hub):
    await enter(pool, Row("AUX"), Row("L0"))
    for name, inputs in (("L1A", ["AUX", "L0"]), ("L1B", ["L0", "AUX"]), ("L2", ["L1A", "L1B"])):
        await make(pool, name, *inputs)
    async with pool.acquire() as connection:
        made = await lineage.blast_radius(connection, ["AUX"])
        assert [(relative.name, relative.step) for relative in made] == [("L1A", 1), ("L1B", 1), ("L2", 2)]
        inputs = await lineage.inputs_of(connection, product_id("L2"))
        assert [relative.name for relative in inputs] == ["L1A", "L1B"]
    lines = (await refsys("blast-radius", "AUX", "--json")).splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["L1A", "L1B", "L2"]
    assert "no product was made with it" in await refsys("blast-radius", "L2")

    told = await refsys("product", "withdraw", "AUX", "--downstream", "-m", "bad")
    assert "1 withdrawn" in told
    assert "3 left as they are" in told, "what is not published yet is told, not changed"


async def test_a_ban_ends_pins_and_tells_what_was_made(refsys, pool):
    await enter(pool, Row("AUX"), Row("OTHER"))
    await make(pool, "L1", "AUX")
    await refsys("aux", "pin", "AUX", "-m", "the good one", "--satellite", "A", "--from", "2024-01-01")
    told = await refsys("aux", "ban", "AUX", "-m", "corrupt", "--author", "bob")
    assert "1 product was made with it" in told
    assert "L1" in told
    assert "is banned by rule" in await refsys("aux", "pin", "AUX", "-m", "again", code=1)
    in_force = [json.loads(line) for line in (await refsys("aux", "list", "--json")).splitlines()]
    assert [(rule["kind"], rule["name"], rule["author"]) for rule in in_force] == [("ban", "AUX", "bob")]
    everything = await refsys("aux", "list", "--all")
    assert "pin" in everything
    assert "lifted" in everything
    assert "no such product" in await refsys("aux", "ban", "MISSING", "-m", "corrupt", code=1)
    assert "(ban) is lifted" in await refsys("aux", "free", "AUX", "-m", "it was not")
    assert "no ban" in await refsys("aux", "free", "AUX", "-m", "twice", code=1)
    assert "corrupt" in await refsys("product", "show", "AUX"), "the trail of a product is with it"


async def test_visibility_rules_are_obeyed_at_once_the_newest_first(refsys, pool, hub):
    early = Row("P_EARLY", product_type="TYPE_1", sensing_start=START - timedelta(days=9), sensing_stop=START)
    hidden = Row("P_HIDDEN", product_type="TYPE_2", visibility="internal")
    placed = Row("P_PLACED", product_type="TYPE_1", footprint=SQUARE)
    await enter(pool, early, hidden, placed)
    assert await hub() == ["P_EARLY", "P_PLACED"]
    await refsys("visibility", "set", "internal", "--type", "TYPE_1", "--from", "2024-01-01", "-m", "embargo")
    assert await hub() == ["P_EARLY"]
    area = "OData.CSC.Intersects(area=geography'SRID=4326;POLYGON((9 39,13 39,13 43,9 43,9 39))')"
    assert await hub(wanted=area) == []
    assert (await hub.client.get(f"Products({placed.id})/$value")).status_code == 404
    assert (await hub.client.get(f"Products({placed.id})")).status_code == 404
    await refsys("visibility", "set", "public", "--name", "P_PLACED", "-m", "this one may be seen")
    assert await hub(wanted=area) == ["P_PLACED"]
    await refsys("visibility", "set", "public", "--type", "TYPE_2", "--satellite", "A", "-m", "for all")
    assert await hub() == ["P_EARLY", "P_HIDDEN", "P_PLACED"]
    listed = await refsys("visibility", "list")
    assert listed.index("TYPE_2") < listed.index("P_PLACED") < listed.index("embargo")
    assert "no rule 99" in await refsys("visibility", "lift", "99", "-m", "no", code=1)
    for number in (3, 2, 1):
        await refsys("visibility", "lift", str(number), "-m", "over")
    assert await hub() == ["P_EARLY", "P_PLACED"]
    assert "every product" in await refsys("visibility", "set", "internal", "-m", "all of it", code=1)


async def test_what_was_hidden_stays_hidden_when_it_is_withdrawn(refsys, pool, hub):
    await enter(pool, *FIVE)
    await refsys("visibility", "set", "internal", "--type", "TYPE_1", "-m", "embargo")
    await refsys("product", "withdraw", "P0", "P1", "-m", "bad")
    assert await hub("DeletedProducts", "contains(Name,'P')") == ["P0"]


async def test_what_is_held_is_published_when_the_last_hold_is_lifted(refsys, dsn, pool, storage):
    await refsys("hold", "add", "--type", "IW_GRDH_1S", "-m", "check the new processor")
    await refsys("hold", "add", "--satellite", "A", "-m", "manoeuvre")
    identity, _ = await store_product(pool, storage, {"manifest.safe": b"<one/>"})

    async def state():
        async with pool.acquire() as connection:
            return (await store.fetch_product(connection, identity)).state

    async with running(dsn, pool, *service.stages(pool, storage, TYPES)):
        await nothing_left(pool)
        assert await state() == "packaged"
        assert "check the new processor" in await refsys("product", "show", GRD)
        assert "2 of hold (1 products wait)" in await refsys("status")
        metrics = (await Metrics(pool).render()).decode()
        assert 'refsys_rules_in_force{kind="hold"} 2.0' in metrics
        assert "refsys_products_held 1.0" in metrics
        await refsys("hold", "lift", "1", "-m", "it is good")
        await nothing_left(pool)
        assert await state() == "packaged"
        await refsys("hold", "lift", "2", "-m", "over")
        await nothing_left(pool)
        assert await state() == "published"
    assert [kind for kind, *_ in await feed(pool)] == ["created"]


async def test_a_hold_waits_for_publications_on_their_way(pool, storage):
    identity, content_id = await store_product(pool, storage, {"manifest.safe": b"<one/>"})
    async with pool.acquire() as one, pool.acquire() as other:
        await commands.set_packaged(
            one, identity, content_id, base="b", layout=1, package_name="x", size_bytes=1, md5=b"m", blake3=b"b"
        )
        await one.execute("BEGIN")
        assert await commands.publish(one, identity, content_id)
        await other.execute("SET lock_timeout = '200ms'")
        with pytest.raises(Exception, match="lock timeout"):
            async with other.transaction():
                await rules.add(other, Kind.HOLD, About(platform="A"), DEED)
        await one.execute("COMMIT")


async def test_rules_say_who_and_why():
    for author, reason in (("", "x"), ("x", ""), ("x", "y" * 3000), ("x\0", "y")):
        with pytest.raises(RefsysError):
            Deed(author, reason)
