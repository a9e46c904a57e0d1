"""Subscriptions as their users see them: the hub's shapes, what is told, and that nothing is told wrongly or lost."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from refsys.catalogue import rules
from refsys.catalogue.audit import Deed
from refsys.catalogue.rules import About, Kind
from refsys.core.times import format_instant
from refsys.distribution.subscriptions import store
from refsys.distribution.subscriptions.matching import Matcher
from refsys.distribution.subscriptions.model import OPERATOR
from refsys.infra.settings import Settings, SubscriptionSettings
from tests.publishers import make_packaged, numbered
from tests.stored_products import TYPES
from tests.subscribing import QUICK, announce, match, positions, publish, subscribe, subscriber

ENTITY = [
    "Id", "FilterParam", "StageOrder", "Priority", "Status", "SubscriptionEvent", "SubmissionDate",
    "CurrentQueueLength", "MaxQueueLength", "ChangesBehind", "@odata.context",
]  # fmt: skip


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"subscriptions": QUICK})


@pytest.fixture
async def client(pool: asyncpg.Pool, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with subscriber(pool, settings) as client:
        yield client


async def read(client: httpx.AsyncClient, address: str, top: int = 20) -> list[dict[str, Any]]:
    answer = await client.get(f"{address}/Read?$top={top}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def shown(client: httpx.AsyncClient, address: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(address)).json()
    return found


async def test_a_subscription_has_the_hubs_members_and_tells_what_is_published_after_it(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    await publish(pool, 1)
    answer = await client.post("Subscriptions", json={"StageOrder": True, "Priority": 1, "Status": "running"})
    made = answer.json()
    assert answer.status_code == 201
    assert list(made) == ENTITY
    assert made | {"Id": "", "SubmissionDate": ""} == {
        "Id": "", "FilterParam": "", "StageOrder": True, "Priority": 1, "Status": "running",
        "SubscriptionEvent": ["created"], "SubmissionDate": "", "CurrentQueueLength": 0, "MaxQueueLength": 100_000,
        "ChangesBehind": 0, "@odata.context": "$metadata#OData.CSC.Subscription",
    }  # fmt: skip
    address = f"Subscriptions({made['Id']})"
    ids = await publish(pool, 2, 3)
    assert (await shown(client, address))["ChangesBehind"] == 2
    await match(pool)
    assert len((await client.get(f"{address}/Read")).json()) == 1, "one, unless more are asked for"
    first, second = await read(client, address)
    assert list(first) == [
        "@odata.context", "SubscriptionEvent", "ProductId", "ProductName", "SubscriptionId", "NotificationDate",
        "AckId", "value",
    ]  # fmt: skip
    assert first["@odata.context"] == "$metadata#Notification/$entity"
    assert (first["SubscriptionEvent"], first["ProductId"]) == ("created", str(ids[0]))
    assert (first["ProductName"], first["SubscriptionId"]) == (numbered(2), made["Id"])
    at = await pool.fetchval("SELECT at FROM catalogue.change WHERE position = 2")
    assert base64.b64decode(first["AckId"]).decode() == f"{int(at.timestamp() * 1000)}-2:{made['Id']}"
    value = first["value"]
    assert value["@odata.context"] == "$metadata#Products(Attributes(),Assets(),Locations())/$entity"
    assert (value["Id"], value["Name"]) == (str(ids[0]), numbered(2))
    assert {"Attributes", "Assets", "Locations", "PublicationDate"} <= value.keys()
    assert second["ProductName"] == numbered(3)
    (listed,) = (await client.get("Subscriptions/Info")).json()
    assert listed == await shown(client, address)


async def test_acknowledging_takes_a_notification_and_all_before_it(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    address = await subscribe(client)
    other = await subscribe(client)
    await publish(pool, *range(5))
    await match(pool)
    told = await read(client, address)
    assert await read(client, address) == told, "reading removes nothing"

    async def acknowledge(ack_id: str, code: int = 200) -> Any:
        answer = await client.post(f"{address}/Ack?$ackid={ack_id}")
        assert answer.status_code == code, answer.text
        return answer.json()

    assert await acknowledge(told[2]["AckId"]) == {
        "@odata.context": "$metadata#Notification/$entity", "AckMessagesNum": 3, "CurrentQueueLength": 2,
        "MaxQueueLength": 100_000,
    }  # fmt: skip
    assert await read(client, address) == told[3:]
    assert (await acknowledge(told[0]["AckId"]))["AckMessagesNum"] == 0, "it is gone already"
    assert "LastNotificationDate" in await shown(client, address)
    assert (await acknowledge(told[4]["AckId"]))["CurrentQueueLength"] == 0
    assert await read(client, address) == []
    assert len(await read(client, other)) == 5
    for wrong in ((await read(client, other))[0]["AckId"], "x", "YWJj", "%ff", ""):
        await acknowledge(wrong, 400)
    later = base64.b64encode(f"1-99:{address[14:50]}".encode()).decode()
    assert "not made yet" in (await acknowledge(later, 400))["error"]["message"]
    assert (await client.post(f"{address}/Ack")).status_code == 422


async def test_each_event_and_filter_tells_what_it_names_and_nothing_else(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    (before,) = await publish(pool, 0)
    wanted = {
        "created": {},
        "modified": {"SubscriptionEvent": ["modified"]},
        "deleted": {"SubscriptionEvent": ["deleted"], "FilterParam": "DeletionCause eq 'Corrupted product'"},
        "all": {"SubscriptionEvent": ["created", "modified", "deleted"]},
        "named": {"FilterParam": f"Name eq '{numbered(2)}'", "SubscriptionEvent": "created"},
        "attribute": {
            "FilterParam": "Attributes/OData.CSC.IntegerAttribute/any(att:att/Name eq 'orbitNumber' and "
            "att/OData.CSC.IntegerAttribute/Value eq 39156)"
        },
        "none": {"FilterParam": "Collection/Name eq 'SENTINEL-2'"},
    }
    addresses = {name: await subscribe(client, **members) for name, members in wanted.items()}
    one, _ = await publish(pool, 1, 2)  # 2, 3
    await announce(pool, "modified", before)  # 4
    await announce(pool, "withdrawn", one)  # 5
    await announce(pool, "superseded", before)  # 6
    await match(pool)
    assert {name: await positions(pool, address) for name, address in addresses.items()} == {
        "created": [2, 3], "modified": [4], "deleted": [5, 6], "all": [2, 3, 4, 5, 6], "named": [3],
        "attribute": [2, 3], "none": [],
    }  # fmt: skip
    events = [told["SubscriptionEvent"] for told in await read(client, addresses["all"])]
    assert events == ["created", "created", "modified", "deleted", "deleted"]
    deleted = (await read(client, addresses["deleted"]))[0]["value"]
    assert deleted["@odata.context"] == "$metadata#DeletedProducts(Attributes())/$entity"
    assert deleted["DeletionCause"] == "Corrupted product"
    # the value is the product as it is now: this one was taken away since
    assert "DeletionDate" in (await read(client, addresses["created"]))[0]["value"]


async def test_what_users_may_not_see_is_not_told(client: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    address = await subscribe(client)
    deed = Deed("me", "a test")
    ids = await publish(pool, 1, 2)
    async with pool.acquire() as connection:
        await rules.add(connection, Kind.VISIBILITY, About(name=numbered(1)), deed, visibility="internal")
    await match(pool)
    assert await positions(pool, address) == [2]
    # and what may not be seen any more is not shown: as the hub tells what is old
    async with pool.acquire() as connection:
        await rules.add(connection, Kind.VISIBILITY, About(name=numbered(2)), deed, visibility="internal")
    (told,) = await read(client, address)
    assert told["ProductId"] == str(ids[1])
    assert not {"ProductName", "value"} & told.keys()


async def test_what_happens_during_a_pause_is_told_after_it(client: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    address = await subscribe(client, Status="paused")
    await publish(pool, 1, 2)
    await match(pool)
    assert await positions(pool, address) == []
    answer = await client.patch(address, json={"Status": "running"})
    assert (answer.json()["Status"], answer.json()["ChangesBehind"]) == ("running", 2)
    await match(pool)
    assert await positions(pool, address) == [1, 2]
    assert (await client.patch(address, json={"Status": "paused"})).json()["Status"] == "paused"
    assert len(await read(client, address)) == 2, "what waits can still be read"
    async with pool.acquire() as connection:
        await store.pause(connection, UUID(address[14:50]), OPERATOR, "too much of it")
    answer = await client.patch(address, json={"Status": "running"})
    assert (answer.status_code, "too much of it" in answer.text) == (403, True)


async def test_a_full_queue_loses_nothing(pool: asyncpg.Pool, settings: Settings) -> None:
    small = QUICK.model_copy(update={"queue_length": 3})
    async with subscriber(pool, settings.model_copy(update={"subscriptions": small})) as client:
        address = await subscribe(client)
        await publish(pool, *range(8))
        seen: list[str] = []
        while True:
            await match(pool, small)
            told = await read(client, address)
            assert len(told) <= 3
            if len(told) == 3:
                assert "the queue is full (3 notifications)" in (await shown(client, address))["StatusReason"]
            if not told:
                break
            seen += [notification["ProductName"] for notification in told]
            await client.post(f"{address}/Ack?$ackid={told[-1]['AckId']}")
    assert seen == [numbered(number) for number in range(8)]


async def test_a_replay_tells_again_from_an_id_a_position_or_an_instant(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    address = await subscribe(client)
    await publish(pool, *range(1, 7))
    await match(pool)
    told = await read(client, address)
    await client.post(f"{address}/Ack?$ackid={told[5]['AckId']}")
    at = format_instant(await pool.fetchval("SELECT at FROM catalogue.change WHERE position = 4"))
    begins = {told[1]["AckId"]: 2, 5: 5, "3": 3, at: 4, "start": 0, "now": 6, "2000-01-01": 0, "2999-01-01": 6}
    for start, position in begins.items():
        answer = await client.post(f"{address}/Replay", json={"From": start})
        assert (answer.status_code, answer.json()["ChangesBehind"]) == (200, 6 - position), answer.text
        await match(pool)
        again = await read(client, address)
        assert [(n["AckId"], n["ProductName"]) for n in again] == [
            (n["AckId"], n["ProductName"]) for n in told[position:]
        ]
    for start in (7, "-1", "yesterday", "", -1):
        assert (await client.post(f"{address}/Replay", json={"From": start})).status_code == 400
    assert (await client.post(f"{address}/Replay", json={})).status_code == 422


async def test_a_subscription_is_its_owners_alone(client: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    address = await subscribe(client)
    stranger = {"X-User": "bob"}
    requests = (
        ("GET", "", None), ("PATCH", "", {"Status": "cancelled"}), ("DELETE", "", None), ("GET", "/Read", None),
        ("POST", f"/Ack?$ackid={base64.b64encode(f'1-0:{address[14:50]}'.encode()).decode()}", None),
        ("POST", "/Replay", {"From": "start"}), ("GET", "/Events", None),
    )  # fmt: skip
    for method, path, body in requests:
        answer = await client.request(method, f"{address}{path}", json=body, headers=stranger)
        assert answer.status_code == 404, method
        assert answer.json() == {
            "detail": {
                "message": f"Subscription with id {address[14:50]} not found.",
                "request_id": answer.headers["x-request-id"],
            }
        }
    assert (await client.get("Subscriptions/Info", headers=stranger)).json() == []
    assert (await client.get("Subscriptions/Info", headers={"X-User": ""})).json() == []
    assert len((await client.get("Subscriptions/Info")).json()) == 1
    assert (await client.get("Subscriptions(x)")).status_code == 404


async def test_a_cancelled_subscription_is_gone(client: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    first, second = [await subscribe(client) for _ in range(2)]
    await publish(pool, 1)
    await match(pool)
    assert (await client.patch(first, json={"Status": "cancelled"})).json()["Status"] == "cancelled"
    assert (await client.delete(second)).status_code == 204
    for address in (first, second):
        assert (await client.get(address)).status_code == 404
    assert (await client.get("Subscriptions/Info")).json() == []
    assert await pool.fetchval("SELECT count(*) FROM distribution.notification") == 0


async def test_users_have_so_many_subscriptions_and_so_many_running_ones(
    pool: asyncpg.Pool, settings: Settings
) -> None:
    few = SubscriptionSettings(per_user=4, running_per_user=2)
    async with subscriber(pool, settings.model_copy(update={"subscriptions": few})) as client:
        # at the same time too
        answers = await asyncio.gather(*(client.post("Subscriptions", json={}) for _ in range(5)))
        assert sorted(answer.status_code for answer in answers) == [201, 201, 403, 403, 403]
        paused = [await subscribe(client, Status="paused") for _ in range(2)]
        answer = await client.post("Subscriptions", json={"Status": "paused"})
        assert (answer.status_code, "at most 4 subscriptions" in answer.text) == (403, True)
        answer = await client.patch(paused[0], json={"Status": "running"})
        assert (answer.status_code, "at most 2 running subscriptions" in answer.text) == (403, True)
        await subscribe_as(client, "bob")


async def subscribe_as(client: httpx.AsyncClient, user: str) -> None:
    assert (await client.post("Subscriptions", json={}, headers={"X-User": user})).status_code == 201


WRONG = [
    ({"FilterParam": "Name eq"}, 400, "position 8"),
    ({"FilterParam": "Online eq true", "SubscriptionEvent": ["deleted"]}, 400, "position 1"),
    ({"FilterParam": "DeletionCause eq 'x'"}, 400, "position 1"),
    ({"FilterParam": "DeletionCause eq 'x'", "SubscriptionEvent": ["created", "deleted"]}, 400, "position 1"),
    ({"SubscriptionEvent": ["vanished"]}, 422, "SubscriptionEvent"),
    ({"SubscriptionEvent": []}, 422, "SubscriptionEvent"),
    ({"Status": "cancelled"}, 422, "Status"),
    ({"FilterParm": "x"}, 422, "FilterParm"),
    ({"StageOrder": "perhaps"}, 422, "StageOrder"),
    ({"NotificationEpUsername": "me"}, 422, "NotificationEndpoint"),
    ({"NotificationEndpoint": "ftp://host/"}, 400, "NotificationEndpoint"),
    ({"NotificationEndpoint": "https://me:secret@host/"}, 400, "NotificationEpUsername"),
    ({"NotificationEndpoint": "https://host/", "NotificationEpUsername": "a:b"}, 422, "colon"),
    ({"NotificationEndpoint": "https://host/", "NotificationEpPassword": "a\0b"}, 422, "control"),
    ({"NotificationEndpoint": "https://host/", "NotificationEpUsername": "a" * 201}, 422, "NotificationEpUsername"),
    ([], 422, "body"),
]


@pytest.mark.parametrize(("body", "status", "told"), WRONG, ids=str)
async def test_a_wrong_body_is_refused_with_what_is_wrong(
    client: httpx.AsyncClient, body: Any, status: int, told: str
) -> None:
    answer = await client.post("Subscriptions", json=body)
    assert (answer.status_code, told in answer.text) == (status, True), answer.text
    assert (await client.get("Subscriptions/Info")).json() == []


async def test_what_is_no_json_body_or_no_option_is_refused(client: httpx.AsyncClient) -> None:
    for content, kind, status in (
        (b"{}", "text/plain", 415), (b"{", "application/json", 400), (b"\xff", "application/json", 400),
        (b'"' + b"x" * 70_000 + b'"', "application/json", 413), (b"", "application/json", 400),
    ):  # fmt: skip
        answer = await client.post("Subscriptions", content=content, headers={"Content-Type": kind})
        assert answer.status_code == status, answer.text
    address = await subscribe(client)
    for query, status in (("$top=21", 422), ("$top=0", 422), ("$top=x", 422), ("$top=9" * 9, 422), ("$skip=1", 400)):
        assert (await client.get(f"{address}/Read?{query}")).status_code == status
    for body in ({"NotificationEndpoint": "https://host/"}, {"NotificationEpPassword": "x"}, {"FilterParam": ""}):
        assert (await client.patch(address, json=body)).status_code == 422, "it is a PULL subscription"
    for content in (b'{"FilterParam":"Name eq \'\\u0000\'"}', b'{"FilterParam":"\\ud800"}'):
        answer = await client.post("Subscriptions", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (201, 400), answer.text


async def test_a_matcher_that_dies_before_its_commit_leaves_nothing_and_two_at_once_tell_once(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    addresses = [await subscribe(client) for _ in range(4)]
    await publish(pool, *range(20))
    async with pool.acquire() as dying:
        pid = dying.get_server_pid()
        # its rows are written, its commit never comes
        await pool.execute(
            """
            CREATE FUNCTION public.kill() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF pg_backend_pid() = (SELECT pid FROM public.victim) AND new.position <> old.position THEN
                    PERFORM pg_terminate_backend(pg_backend_pid());
                END IF;
                RETURN new;
            END $$;
            """
        )
        await pool.execute("CREATE TABLE public.victim (pid int)")
        await pool.execute("INSERT INTO public.victim VALUES ($1)", pid)
        await pool.execute(
            "CREATE TRIGGER kill AFTER UPDATE ON distribution.subscription FOR EACH ROW EXECUTE FUNCTION public.kill()"
        )
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
            await Matcher(TYPES, QUICK).match(dying)
    assert [await positions(pool, address) for address in addresses] == [[]] * 4
    await asyncio.gather(*(match(pool) for _ in range(4)))
    assert [await positions(pool, address) for address in addresses] == [list(range(1, 21))] * 4
    assert [s["CurrentQueueLength"] for s in (await client.get("Subscriptions/Info")).json()] == [20] * 4


async def test_a_filter_that_is_too_costly_holds_up_no_other_and_is_tried_again(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    costly = await subscribe(client, FilterParam="contains(Name, 'SAFE')")
    cheap = await subscribe(client)
    await publish(pool, 1)
    await pool.execute(
        """
        CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_sleep(30) FROM distribution.subscription WHERE id = new.subscription_id AND filter_text <> '';
            RETURN new;
        END $$;
        """
    )
    await pool.execute(
        "CREATE TRIGGER slow BEFORE INSERT ON distribution.notification FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    matcher = Matcher(TYPES, QUICK, patience_s=0.2)
    async with pool.acquire() as connection:
        assert await matcher.match(connection) == 1
        assert await matcher.match(connection) == 0, "not at once"
    assert (await positions(pool, costly), await positions(pool, cheap)) == ([], [1])
    assert "took too long" in (await shown(client, costly))["LastError"]
    await pool.execute("DROP TRIGGER slow ON distribution.notification")
    await match(pool)
    assert await positions(pool, costly) == [1]


async def test_a_filter_that_is_not_understood_any_more_pauses_and_says_so(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    address = await subscribe(client)
    await pool.execute("UPDATE distribution.subscription SET filter_text = 'of another release'")
    await publish(pool, 1)
    await match(pool)
    found = await shown(client, address)
    assert (found["Status"], "not understood any more" in found["StatusReason"]) == ("paused", True)
    await pool.execute("UPDATE distribution.subscription SET filter_text = ''")
    await client.patch(address, json={"Status": "running"})
    await match(pool)
    assert await positions(pool, address) == [1]


async def test_a_product_that_is_published_later_than_others_is_told_in_its_place(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    """A publication that is not committed yet holds up those behind it, and the subscription is not moved past it."""
    address = await subscribe(client)
    async with pool.acquire() as connection:
        key, content = await make_packaged(connection, numbered(1))
        async with connection.transaction():
            await connection.fetch("SELECT * FROM catalogue.publish($1, $2)", key, content)
            later = asyncio.create_task(publish(pool, 2))
            await match(pool)
            assert await positions(pool, address) == []
    await later
    await match(pool)
    assert [told["ProductName"] for told in await read(client, address)] == [numbered(1), numbered(2)]
