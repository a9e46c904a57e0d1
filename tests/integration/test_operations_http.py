"""The parking lot and replay over HTTP: what is answered, and to whom."""

import asyncio

import httpx
import pytest

from refsys.core.errors import ConfigurationError, Permanent
from refsys.infra.settings import HttpSettings, load_settings
from refsys.infra.storage import open_storage
from refsys.infra.work import emit
from refsys.missions import load_types
from refsys.web.app import create_app
from tests.parking_lot import DESCRIBE, GRD, MSI, PACKAGE, Works, ended, park, running, step, three_parked
from tests.waiting import wait_for

TYPES = load_types()
TOKEN = "a-token-of-some-length"
HERE = "http://127.0.0.1:8080"


@pytest.fixture
def connect(pool, settings):
    """A client at this address, whose requests are for the host of `base`."""

    def client(address="127.0.0.1", base=HERE, **http):
        used = settings.model_copy(update={"http": HttpSettings(**http)})
        app = create_app(pool=pool, storage=open_storage(used), types=TYPES, settings=used)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 40000))
        return httpx.AsyncClient(transport=transport, base_url=f"{base}/operations/v1/")

    return client


@pytest.fixture
async def client(connect):
    async with connect() as client:
        yield client


async def get(client, path="parked", **parameters):
    response = await client.get(path, params=parameters)
    assert response.status_code == 200, response.text
    return response.json()


async def post(client, path, status=200, **body):
    response = await client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


def told(response, status, code):
    """The message of an error in the shape of all errors."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"code", "message"}
    assert error["code"] == code
    return error["message"]


async def test_the_list_has_what_an_operator_needs_and_pages(client, pool, dsn):
    assert await get(client) == {"count": 0, "parked": [], "next": None}
    grd, msi, olci = await three_parked(pool, dsn)
    first = await get(client, limit=2)
    assert first["count"] == 3
    second = await get(client, limit=2, page=first["next"])
    assert second["next"] is None
    found = {parked["id"]: parked for parked in first["parked"] + second["parked"]}
    assert sorted(found) == [grd, msi, olci]
    assert (found[grd]["stage"], found[grd]["key"], found[grd]["attempts"]) == (DESCRIBE, GRD, 1)
    assert found[grd]["error"]["message"] == "lacks 3 files"
    assert "traceback" not in found[grd]["error"]
    instants = [parked["parked_at"] for parked in first["parked"] + second["parked"]]
    assert instants == sorted(instants, reverse=True)


async def test_the_list_is_filtered_and_grouped(client, pool, dsn):
    grd, _, olci = await three_parked(pool, dsn)
    assert [parked["id"] for parked in (await get(client, text="lacks 3"))["parked"]] == [grd]
    assert [parked["id"] for parked in (await get(client, stage="*.package", since="1h"))["parked"]] == [olci]
    assert (await get(client, key="nothing"))["count"] == 0
    grouped = await get(client, group="true")
    assert grouped["count"] == 3
    assert [(group["stage"], group["message"], group["count"]) for group in grouped["groups"]] == [
        (DESCRIBE, "lacks # files", 2), (PACKAGE, "storage denies access", 1),
    ]  # fmt: skip


async def test_one_step_is_shown_whole(client, pool, dsn):
    grd, *_ = await three_parked(pool, dsn)
    shown = await get(client, f"parked/{grd}")
    assert (shown["state"], shown["payload"], shown["worker"]) == ("parked", {"content_id": 5}, "worker-7")
    assert "Traceback" in shown["error"]["traceback"]
    assert told(await client.get("parked/999"), 404, "NotFound").startswith("step 999: there is no such step")
    assert "cannot be the id" in told(await client.get(f"parked/{2**63}"), 400, "BadRequest")


async def test_steps_are_restarted_resubmitted_and_deleted(client, pool, dsn):
    grd, msi, olci = await three_parked(pool, dsn)
    assert await post(client, f"parked/{grd}/restart", reason="they came") == {
        "id": grd, "outcome": "restarted", "by": None,
    }  # fmt: skip
    assert (await step(pool, grd))["log"][-1].endswith("restarted by client 127.0.0.1: they came")
    resubmitted = await post(client, f"parked/{msi}/resubmit", author="anna")
    assert (resubmitted["outcome"], (await ended(pool, msi))["detail"]["author"]) == ("resubmitted", "anna")
    response = await client.request("DELETE", f"parked/{olci}", json={"reason": "useless", "author": "bob"})
    assert response.json() == {"id": olci, "outcome": "deleted", "by": None}
    assert (await ended(pool, olci))["detail"]["reason"] == "useless"
    works = Works()
    async with running(pool, dsn, works):
        await wait_for(lambda: len(works.done) == 2)
    assert sorted(key for _, key, _ in works.done) == [GRD, MSI]


async def test_a_step_that_is_not_parked_is_a_conflict(client, pool, dsn):
    grd, *_ = await three_parked(pool, dsn)
    both = await asyncio.gather(*(client.post(f"parked/{grd}/restart", json={}) for _ in range(2)))
    assert sorted(response.status_code for response in both) == [200, 409]
    message = told(max(both, key=lambda response: response.status_code), 409, "Conflict")
    assert message.startswith(f"step {grd}: nothing was done: it is due already")
    told(await client.post("parked/999/restart", json={}), 404, "NotFound")


async def test_a_resubmission_can_begin_at_an_earlier_stage(client, pool, dsn):
    [parked] = await park(pool, dsn, {(PACKAGE, GRD): Permanent("no")})
    body = {"from": DESCRIBE}
    message = told(await client.post(f"parked/{parked}/resubmit", json=body), 409, "Conflict")
    assert f"no event of its key is kept that {DESCRIBE} is subscribed to" in message
    async with pool.acquire() as connection:
        await emit(connection, "product.arrived", key=GRD, payload={"content_id": 8})
    done = await post(client, f"parked/{parked}/resubmit", **body)
    assert (await step(pool, done["by"]))["stage"] == DESCRIBE
    assert "has no stage to begin from" in told(
        await client.post(f"parked/{parked}/restart", json=body), 400, "BadRequest"
    )


async def test_many_are_restarted_by_ids_filter_or_all(client, pool, dsn):
    grd, msi, olci = await three_parked(pool, dsn)
    tried = await post(client, "parked/restart", filter={"text": "lacks"}, dry_run=True)
    assert tried == {
        "action": "restart",
        "dry_run": True,
        "steps": [{"id": step_id, "outcome": "selected", "by": None} for step_id in (msi, grd)],
        "skipped": [],
    }
    assert (await get(client))["count"] == 3
    done = await post(client, "parked/restart", ids=[grd, 999])
    assert [(member["id"], member["outcome"]) for member in done["steps"]] == [(grd, "restarted")]
    assert done["skipped"] == [{"id": 999, "why": "there is no such step"}]
    done = await post(client, "parked/resubmit", filter={"stage": DESCRIBE})
    assert [member["id"] for member in done["steps"]] == [msi]
    done = await post(client, "parked/delete", all=True, reason="useless")
    assert [member["id"] for member in done["steps"]] == [olci]
    assert (await get(client))["count"] == 0


async def test_replay(client, pool):
    async with pool.acquire() as connection:
        await emit(connection, "product.arrived", key=GRD, payload={"content_id": 8})
        await connection.execute("TRUNCATE work.step, work.pgqueuer")
    tried = await post(client, "replay", stage=DESCRIBE, since="1h", dry_run=True)
    assert (tried["made"], await pool.fetchval("SELECT count(*) FROM work.step")) == (1, 0)
    done = await post(client, "replay", stage=DESCRIBE, since="1h", key="S1A*")
    assert (done["events"], done["made"], done["due"]) == (1, 1, 0)
    assert await pool.fetchval("SELECT key FROM work.step") == GRD


WRONG = [
    ("POST", "parked/restart", {}, "no step is named"),
    ("POST", "parked/restart", {"ids": [1], "all": True}, "ids together with a filter"),
    ("POST", "parked/restart", {"ids": ["1"]}, "ids.0: Input should be a valid integer"),
    ("POST", "parked/restart", {"ids": [2**63]}, "ids.0: Input should be less than or equal to"),
    ("POST", "parked/restart", {"ids": [True]}, "ids.0: Input should be a valid integer"),
    ("POST", "parked/restart", {"ids": list(range(1, 10_002))}, "ids: List should have at most 10000 items"),
    ("POST", "parked/restart", {"filter": {"stge": "x"}}, "filter.stge: Extra inputs are not permitted"),
    ("POST", "parked/restart", {"filter": {"key": "a\0"}}, "key has characters that are no text"),
    ("POST", "parked/restart", {"filter": {"stage": "catalogue.discribe"}}, "did you mean catalogue.describe?"),
    ("POST", "parked/restart", {"all": "yes"}, "all: Input should be a valid boolean"),
    ("POST", "parked/restart", [], "body: Input should be"),
    ("POST", "parked/delete", {"all": True}, "a deletion needs a reason"),
    ("DELETE", "parked/1", {}, "a deletion needs a reason"),
    ("POST", "parked/1/restart", {"reason": "x\0"}, "reason has characters that are no text"),
    ("POST", "parked/1/restart", {"ids": [1]}, "ids: Extra inputs are not permitted"),
    ("POST", "replay", {"stage": DESCRIBE}, "since: Field required"),
    ("POST", "replay", {"stage": DESCRIBE, "since": ""}, "since is empty"),
    ("POST", "replay", {"stage": DESCRIBE, "since": "soon"}, "since 'soon' is no time"),
    ("POST", "replay", {"stage": "zzz", "since": "1h"}, "no stage 'zzz' is subscribed to events"),
    ("GET", "parked?stge=x", None, "there is no parameter 'stge' (did you mean stage?)"),
    ("GET", "parked?limit=0", None, "limit '0' is not a number from 1 to 1000"),
    ("GET", "parked?limit=1001", None, "limit '1001' is not a number"),
    ("GET", "parked?page=2024", None, "page '2024' is not from a list"),
    ("GET", "parked?page=0001-01-01T00:00:00%2B14:00_1", None, "is not from a list"),
    ("GET", "parked?group=maybe", None, "group 'maybe' is neither true nor false"),
    ("GET", "parked?key=%00", None, "key has characters that are no text"),
    ("GET", "parked?since=0001-01-01T00:00:00%2B14:00", None, "is no time"),
]


async def test_a_request_that_cannot_be_meant_says_why(client, subtests):
    for method, path, body, message in WRONG:
        with subtests.test(message):
            response = await client.request(method, path, json=body, headers={"content-type": "application/json"})
            assert message in told(response, 400, "BadRequest")


async def test_what_is_not_json_is_refused(client):
    for body in (b"{", b"\xff", b"[" * 100_000, b'{"reason": "\\ud800"}'):
        response = await client.post("parked/1/restart", content=body, headers={"content-type": "application/json"})
        assert "the body is not JSON" in told(response, 400, "BadRequest")


async def test_a_body_without_end_is_refused(client):
    async def endless():
        while True:
            yield b" " * 2**16

    response = await client.post("replay", content=endless(), headers={"content-type": "application/json"})
    assert "the body is longer than" in told(response, 413, "ContentTooLarge")


async def test_what_is_not_there_is_not_there(client):
    told(await client.get("parking"), 404, "NotFound")
    told(await client.put("parked/1", json={}), 405, "MethodNotAllowed")


async def test_clients_on_this_machine_may(connect):
    for address in ("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"):
        for base in (HERE, "http://localhost", "http://[::1]:8080"):
            async with connect(address, base) as client:
                assert (await get(client))["count"] == 0
                assert (await post(client, "parked/restart", all=True))["steps"] == []


async def test_others_may_not(connect):
    for address in ("192.0.2.7", "10.0.0.1", "::ffff:192.0.2.7", "2001:db8::1", "localhost", ""):
        async with connect(address) as client:
            for response in (await client.get("parked"), await client.post("parked/restart", json={"all": True})):
                assert "operations are for clients on this machine" in told(response, 403, "Forbidden")


async def test_what_came_through_a_proxy_is_not_local(client):
    for header in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"):
        response = await client.get("parked", headers={header: "127.0.0.1"})
        assert "the request came through a proxy" in told(response, 403, "Forbidden")


async def test_a_name_that_was_pointed_at_this_machine_is_not_this_machine(connect):
    for base in ("http://hub.example", "http://127.0.0.1.evil.example", "http://192.0.2.7"):
        async with connect(base=base) as client:
            response = await client.get("parked")
        assert "for another host name than localhost" in told(response, 403, "Forbidden")


async def test_with_a_token_whoever_has_it_may_and_nobody_else(connect):
    async with connect("192.0.2.7", "https://hub.example", operations_token=TOKEN) as client:
        response = await client.get("parked", headers={"Authorization": f"bearer {TOKEN}"})
        assert response.status_code == 200
    async with connect(operations_token=TOKEN) as client:
        for wrong in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Basic {TOKEN}"},
                      {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": b"Bearer \xff\xfe"}):  # fmt: skip
            response = await client.get("parked", headers=wrong)
            assert "operations need the bearer token" in told(response, 401, "Unauthorized")
            assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_page_of_another_site_cannot_change_anything(connect, pool, dsn):
    grd, *_ = await three_parked(pool, dsn)
    async with connect() as client:
        for origin in ("http://evil.example", "null", "http://127.0.0.1:9999", "https://127.0.0.1:8080"):
            response = await client.post(f"parked/{grd}/restart", json={}, headers={"Origin": origin})
            assert "cannot change anything here" in told(response, 403, "Forbidden")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", ""):
            response = await client.post(f"parked/{grd}/restart", content=b"{}", headers={"Content-Type": kind})
            assert "the body has to be JSON" in told(response, 415, "UnsupportedMediaType")
        assert (await step(pool, grd))["state"] == "parked"
        response = await client.post(f"parked/{grd}/restart", json={}, headers={"Origin": HERE})
        assert response.status_code == 200


async def test_the_public_url_is_an_origin_of_ours(connect):
    known = {"operations_token": TOKEN, "public_url": "https://hub.example/refsys"}
    async with connect("192.0.2.7", "http://api-3:8080", **known) as client:
        for origin, status in (("https://hub.example", 200), ("https://hub.example.evil", 403)):
            headers = {"Origin": origin, "Authorization": f"Bearer {TOKEN}"}
            response = await client.post("parked/restart", json={"all": True}, headers=headers)
            assert response.status_code == status


@pytest.mark.parametrize("token", ["short", "with some spaces in it", "ümlaut-is-not-visible-ascii"])
def test_a_token_that_cannot_be_sent_or_is_easily_guessed_is_refused(token):
    with pytest.raises(ConfigurationError, match=r"operations_token.*16 visible ASCII characters"):
        load_settings(overrides={"http.operations_token": token}, environ={})
