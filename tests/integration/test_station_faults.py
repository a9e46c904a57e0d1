"""Every misbehaviour that a station's script can order, seen from a client."""

import asyncio
import os

import httpx
import pytest

from refsys.simulation.station import (
    Answer,
    Basic,
    Cut,
    Html,
    NoRange,
    OAuth2,
    OtherETag,
    Redirect,
    Short,
    Slow,
    Stall,
    Station,
    TokensDie,
    Twice,
    WrongChecksums,
    WrongSizes,
)
from tests.waiting import wait_for

NAME = "S1A_OPER_AUX_RESORB_OPOD_20171213T143838_V20171213T102737_20171213T134507.EOF"
CONTENT = os.urandom(2_000_000)


@pytest.fixture
def source(tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    return tmp_path / NAME


@pytest.fixture
async def station(source):
    async with Station() as station:
        station.offer(source)
        yield station


@pytest.fixture
async def client():
    async with httpx.AsyncClient(timeout=5, verify=False) as client:
        yield client


async def listed(client, station):
    return await client.get(f"{station.url}/Products")


def value(station):
    return f"{station.url}/Products({station.offered()[0].id})/$value"


async def read_until_it_breaks(client, url, **headers):
    """What came, and whether the end came."""
    received = bytearray()
    try:
        async with client.stream("GET", url, headers=headers) as response:
            async for piece in response.aiter_bytes():
                received += piece
    except httpx.RemoteProtocolError:
        return bytes(received), False
    return bytes(received), True


@pytest.mark.parametrize(("status", "retry_after_s"), [(500, None), (503, 2), (429, 1), (401, None), (404, None)])
async def test_another_status_for_some_requests(client, station, status, retry_after_s):
    station.faults.on_listing(Answer(status, retry_after_s), times=2)
    station.faults.on_download(Answer(status, retry_after_s))
    for url, times in ((f"{station.url}/Products", 2), (value(station), 1)):
        for _ in range(times):
            response = await client.get(url)
            assert (response.status_code, response.json()["error"]["code"]) == (status, str(status))
            assert response.headers.get("retry-after") == (None if retry_after_s is None else str(retry_after_s))
            assert ("www-authenticate" in response.headers) is (status == 401)
        assert (await client.get(url)).status_code == 200
    assert station.faults.pending == 0


async def test_half_a_body_can_be_resumed(client, station):
    station.faults.on_download(Cut(1_200_000))
    assert (await client.head(value(station))).headers["content-length"] == "2000000"
    received, complete = await read_until_it_breaks(client, value(station))
    assert (received, complete) == (CONTENT[:1_200_000], False)
    rest, complete = await read_until_it_breaks(client, value(station), Range="bytes=1200000-")
    assert (received + rest, complete) == (CONTENT, True)
    assert station.journal.ranges() == ["", "bytes=1200000-"]
    assert [(each.sent_bytes, each.complete) for each in station.journal.downloads()] == [
        (1_200_000, False),
        (800_000, True),
    ]


async def test_a_cut_counts_from_the_start_of_the_range(client, station):
    station.faults.on_download(Cut(1000), times=None)
    received = b""
    for _ in range(3):
        piece, complete = await read_until_it_breaks(client, value(station), Range=f"bytes={len(received)}-")
        assert (len(piece), complete) == (1000, False)
        received += piece
    assert received == CONTENT[:3000]


async def test_half_a_listing(client, station):
    station.faults.on_listing(Cut(50))
    with pytest.raises(httpx.RemoteProtocolError):
        await listed(client, station)
    assert (await listed(client, station)).status_code == 200


async def test_a_web_page_in_place_of_json(client, station):
    station.faults.on_listing(Html())
    response = await listed(client, station)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "<html>" in response.text
    assert (await listed(client, station)).json()["value"]


async def test_a_body_that_stalls_until_the_client_goes(client, station):
    station.faults.on_download(Stall(1000))
    with pytest.raises(httpx.ReadTimeout):
        await client.get(value(station), timeout=0.3)
    await wait_for(lambda: station.journal.downloads_running == 0)
    assert [(each.sent_bytes, each.complete) for each in station.journal.downloads()] == [(1000, False)]


async def test_a_body_that_stalls_for_a_while(client, station):
    station.faults.on_download(Stall(1_000_000, seconds=0.2))
    started = asyncio.get_running_loop().time()
    assert (await client.get(value(station))).content == CONTENT
    assert asyncio.get_running_loop().time() - started >= 0.2


async def test_a_stalled_body_does_not_keep_the_station_from_stopping(client, source):
    async with Station() as station:
        station.offer(source)
        station.faults.on_download(Stall(0))
        reading = asyncio.create_task(read_until_it_breaks(client, value(station)))
        await wait_for(lambda: station.journal.downloads_running == 1)
    assert await reading == (b"", False)


@pytest.mark.parametrize("other_id", [False, True])
async def test_a_listing_names_a_product_twice(client, station, other_id):
    station.faults.on_listing(Twice(other_id=other_id))
    one, other = (await listed(client, station)).json()["value"]
    assert one["Name"] == other["Name"] == NAME
    assert (one["Id"] != other["Id"]) is other_id
    assert (await client.get(f"{station.url}/Products({other['Id']})/$value")).content == CONTENT
    assert len((await listed(client, station)).json()["value"]) == 1


async def test_no_ranges(client, station):
    station.faults.on_download(NoRange())
    response = await client.get(value(station), headers={"Range": "bytes=1000-"})
    assert (response.status_code, response.content) == (200, CONTENT)
    assert not {"accept-ranges", "etag", "content-range"} & response.headers.keys()


async def test_another_etag_makes_if_range_fail(client, station):
    etag = (await client.head(value(station))).headers["etag"]
    headers = {"Range": "bytes=1000-", "If-Range": etag}
    station.faults.on_download(OtherETag())
    response = await client.get(value(station), headers=headers)
    assert (response.status_code, response.content) == (200, CONTENT)
    assert response.headers["etag"] != etag
    assert (await client.get(value(station), headers=headers)).status_code == 206


async def test_a_redirect_wants_the_same_headers_again(client, source):
    async with Station(auth=Basic("user", "secret")) as station:
        station.offer(source)
        station.faults.on_download(Redirect(), times=None)
        auth = httpx.BasicAuth("user", "secret")
        first = await client.get(value(station), auth=auth, headers={"Range": "bytes=1999990-"})
        assert first.status_code == 307
        target = first.headers["location"]
        assert httpx.URL(target).host == "127.0.0.1"
        assert (await client.get(target)).status_code == 401
        second = await client.get(target, auth=auth, headers={"Range": "bytes=1999990-"})
        assert (second.status_code, second.content) == (206, CONTENT[-10:])
        assert [each.redirected for each in station.journal.downloads()] == [False, True, True]


async def test_a_redirect_to_another_station(client, source):
    async with Station() as station, Station() as other:
        for each in (station, other):
            each.offer(source)
        station.faults.on_download(Redirect(to=other.base_url))
        response = await client.get(value(station), follow_redirects=True)
        assert response.content == CONTENT
        assert response.url.port == httpx.URL(other.url).port


async def test_faults_of_one_product_leave_the_others_alone(client, station, tmp_path):
    (tmp_path / "S1A_OTHER.EOF").write_bytes(b"other")
    other = station.offer(tmp_path / "S1A_OTHER.EOF")
    station.faults.on_download(Answer(500), name="RESORB")
    assert (await client.get(f"{station.url}/Products({other.id})/$value")).content == b"other"
    assert (await client.get(value(station))).status_code == 500
    assert (await client.get(value(station))).status_code == 200


async def test_faults_come_in_the_order_of_the_script_and_end_with_clear(client, station):
    station.faults.on_listing(Answer(500))
    station.faults.on_listing(Answer(503), times=None)
    assert [(await listed(client, station)).status_code for _ in range(3)] == [500, 503, 503]
    station.faults.clear()
    assert (await listed(client, station)).status_code == 200


async def test_some_requests_can_go_well_before(client, station):
    station.faults.on_listing(Answer(500), after=2)
    assert [(await listed(client, station)).status_code for _ in range(4)] == [200, 200, 500, 200]


async def test_a_token_endpoint_that_fails(client):
    async with Station(auth=OAuth2(user="user", password="secret")) as station:
        login = {"grant_type": "password", "username": "user", "password": "secret"}
        station.faults.on_token(Answer(503, retry_after_s=3))
        station.faults.on_token(Html())
        first, second, third = [await client.post(station.token_url, data=login) for _ in range(3)]
        assert (first.status_code, first.headers["retry-after"]) == (503, "3")
        assert second.headers["content-type"].startswith("text/html")
        assert third.json()["access_token"]


async def test_a_refused_request_uses_up_no_fault(client, source):
    async with Station(auth=Basic("user", "secret")) as station:
        station.faults.on_listing(Answer(500))
        assert (await listed(client, station)).status_code == 401
        assert station.faults.pending == 1


def test_a_fault_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="OtherETag is no fault of a listing"):
        Station().faults.on_listing(OtherETag())


async def test_a_redirect_to_the_stations_other_address(client, source):
    async with Station(auth=Basic("user", "secret"), other_host="127.0.0.2") as station:
        station.offer(source)
        station.faults.on_download(Redirect(), times=None)
        auth = httpx.BasicAuth("user", "secret")
        target = (await client.get(value(station), auth=auth)).headers["location"]
        assert target.startswith(f"{station.elsewhere}/")
        assert httpx.URL(target).host == "127.0.0.2"
        assert (await client.get(target)).status_code == 401
        assert (await client.get(target, auth=auth, headers={"Range": "bytes=-5"})).content == CONTENT[-5:]


async def test_tokens_die_in_the_middle_of_a_body(client, source):
    async with Station(auth=OAuth2(user="user", password="secret")) as station:
        station.offer(source)
        station.faults.on_download(TokensDie(1000))
        login = {"grant_type": "password", "username": "user", "password": "secret"}

        async def headers():
            token = (await client.post(station.token_url, data=login)).json()["access_token"]
            return {"Authorization": f"Bearer {token}", "Range": "bytes=1000-"}

        first = await headers()
        received, complete = await read_until_it_breaks(client, value(station), **first)
        assert (received, complete) == (CONTENT[1000:2000], False)
        assert (await client.get(value(station), headers=first)).status_code == 401
        assert (await client.get(value(station), headers=await headers())).content == CONTENT[1000:]


async def test_a_file_that_ends_too_early_as_if_it_were_whole(client, station):
    station.faults.on_download(Short(1000))
    response = await client.get(value(station))
    assert (response.status_code, response.content) == (200, CONTENT[:1000])
    assert (await listed(client, station)).json()["value"][0]["ContentLength"] == len(CONTENT)


async def test_a_body_that_drips(client, station):
    station.faults.on_download(Slow(bytes_per_s=8_000_000))
    started = asyncio.get_running_loop().time()
    assert (await client.get(value(station))).content == CONTENT
    assert asyncio.get_running_loop().time() - started >= 0.2


async def test_listings_that_tell_wrong_checksums_or_sizes(client, station):
    [true] = (await listed(client, station)).json()["value"]
    station.faults.on_listing(WrongChecksums())
    station.faults.on_listing(WrongSizes(7))
    [checksum], [size] = [(await listed(client, station)).json()["value"] for _ in range(2)]
    assert checksum["Checksum"][0]["Value"] != true["Checksum"][0]["Value"]
    assert checksum["Checksum"][0]["Value"][1:] == true["Checksum"][0]["Value"][1:]
    assert size["ContentLength"] == true["ContentLength"] + 7
    assert checksum | {"Checksum": 0} == size | {"Checksum": 0, "ContentLength": true["ContentLength"]}


async def test_a_fault_may_hit_by_chance(client, station):
    station.faults.on_listing(Answer(500), times=None, chance=0.5)
    statuses = [(await listed(client, station)).status_code for _ in range(40)]
    assert 5 < statuses.count(500) < 35
    assert set(statuses) == {200, 500}


@pytest.mark.parametrize(
    ("change", "query", "status"),
    [
        ({"refuses": frozenset({"ge"})}, "$filter=PublicationDate ge 2024-01-01", 400),
        ({"refuses": frozenset({"ge"})}, "$filter=PublicationDate gt 2024-01-01", 200),
        ({"refuses": frozenset({"in"})}, "$filter=Name in ('x')", 400),
        ({"refuses": frozenset({"$count"})}, "$count=true", 400),
    ],
)
async def test_a_station_may_not_know_a_word_of_odata(client, station, change, query, status):
    assert (await client.get(f"{station.url}/Products?{query}")).status_code == 200
    station.speak(**change)
    assert (await client.get(f"{station.url}/Products?{query}")).status_code == status


async def test_pages_may_be_short_or_always_the_first(client, tmp_path):
    async with Station(page_limit=4) as station:
        for number in range(6):
            (tmp_path / f"S1A_OPER_AUX_{number}.EOF").write_bytes(b"x")
            station.offer(tmp_path / f"S1A_OPER_AUX_{number}.EOF")

        async def names(skip):
            answer = await client.get(f"{station.url}/Products?$orderby=Name&$top=4&$skip={skip}")
            return [each["Name"][-5] for each in answer.json()["value"]], "@odata.nextLink" in answer.json()

        assert [await names(0), await names(4)] == [(["0", "1", "2", "3"], True), (["4", "5"], False)]
        station.speak(short_pages=True, next_links=False)
        assert [await names(0), await names(2)] == [(["0", "1"], False), (["2", "3", "4", "5"], False)]
        station.speak(short_pages=False, skip_ignored=True)
        assert await names(4) == (["0", "1", "2", "3"], False)


async def test_an_empty_listing_may_be_a_bare_list_and_sizes_texts(client, station):
    station.speak(empty_list=True, text_numbers=True)
    [product] = (await listed(client, station)).json()["value"]
    assert product["ContentLength"] == str(len(CONTENT))
    assert (await client.get(f"{station.url}/Products?$skip=1")).json() == []
