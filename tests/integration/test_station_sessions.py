"""The simulated CADIP station, asked over real HTTP, and long-term archives."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from lxml import etree

from refsys.core.times import parse_instant
from refsys.simulation.station import CADU_BYTES, CadipStation, LtaStation, Made, OAuth2

CERTIFICATE = Path(__file__).parent.parent / "self_signed.pem"
SESSION = "S1A_20241114143038056552"
NOON = datetime(2024, 11, 14, 12, 0, 0, 50_000, tzinfo=UTC)


class Clock:
    """Stands still until it is told."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now

    def forward(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def client():
    async with httpx.AsyncClient(verify=False) as client:
        yield client


async def asked(client, station, resource, status=200, **options):
    query = {f"${name}": text for name, text in options.items()}
    response = await client.get(f"{station.url}/{resource}", params=query)
    assert response.status_code == status, response.text
    return response.json()


async def values(client, station, resource, **options):
    return (await asked(client, station, resource, **options))["value"]


async def test_it_looks_like_the_real_one(client, clock, shared_data):
    real = json.loads((shared_data / "sessions" / f"{SESSION}.json").read_bytes())["value"][0]
    async with CadipStation(clock=clock) as station:
        session = station.session(
            SESSION,
            planned_start=NOON,
            planned_stop=NOON,
            downlink_start=NOON,
            downlink_stop=NOON,
        )
        for channel in (1, 2):
            session.publish_channel(channel, 3)
            session.deliver(channel)
        [told] = await values(client, station, "Sessions", expand="Files,QualityInfo")
    for mine, theirs in ((told, real), (told["Files"][0], real["Files"][0]), (told["QualityInfo"][0],) * 2):
        assert mine.keys() == theirs.keys()
        assert {name: type(value) for name, value in mine.items()} == {
            name: type(value) for name, value in theirs.items()
        }
    assert told["QualityInfo"][0].keys() == real["QualityInfo"][0].keys()
    assert (told["DownlinkOrbit"], told["AcquisitionId"], told["NumChannels"]) == (56552, "56552_1", 2)
    first = told["Files"][0]
    assert first["Name"] == real["Files"][1]["Name"]
    # zeros at the end of the fraction are left out, and eviction is to the minute
    assert (first["PublicationDate"], first["EvictionDate"]) == ("2024-11-14T12:00:00.05Z", "2024-11-21T12:00:00Z")
    assert [each["FinalBlock"] for each in told["Files"]] == [False, False, True] * 2


async def test_every_byte_can_be_verified(client):
    async with CadipStation() as station, CadipStation() as other:
        session, again = station.session(SESSION), other.session(SESSION, retransfer=True)
        block = session.publish(1, 1, size_bytes=700 * CADU_BYTES)
        twin = again.publish(1, 1, size_bytes=700 * CADU_BYTES)
        session.publish(2, 1, size_bytes=700 * CADU_BYTES)
        url = f"{station.url}/Files({block.id})/$value"
        body = (await client.get(url)).content
        assert len(body) == 700 * CADU_BYTES
        assert {body[start : start + 4] for start in range(0, len(body), CADU_BYTES)} == {bytes.fromhex("1acffc1d")}
        assert hashlib.md5(body).hexdigest() == block.md5 == twin.md5
        assert (twin.name, twin.id == block.id) == (block.name, False)
        assert len(set(session.md5s().values())) == 2
        part = await client.get(url, headers={"Range": f"bytes={512 * CADU_BYTES - 2}-{512 * CADU_BYTES + 20}"})
        assert part.content == body[512 * CADU_BYTES - 2 : 512 * CADU_BYTES + 21]
        assert (await client.get(url, headers={"Range": "bytes=-5"})).content == body[-5:]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"SessionId eq '{SESSION}' and Retransfer eq false", 6),
        (f"SessionId in ('{SESSION}','x') and Channel eq 2", 3),
        ("BlockNumber gt 1 and FinalBlock eq false", 2),
        ("PublicationDate gt 2024-11-14T12:00:00.05Z", 0),
        ("PublicationDate ge 2024-11-14T12:00:00.050Z", 6),
        (f"Size lt {10 * CADU_BYTES}", 0),
        ("contains(Name,'_ch1_')", 3),
    ],
)
async def test_files_are_chosen(client, clock, text, found):
    async with CadipStation(clock=clock) as station:
        session = station.session(SESSION)
        for channel in (1, 2):
            session.publish_channel(channel, 3)
        assert len(await values(client, station, "Files", filter=text)) == found
        counted = await client.get(f"{station.url}/Files/$count", params={"$filter": text})
        assert (counted.text, counted.headers["content-type"]) == (str(found), "text/plain")


async def test_a_session_leads_to_its_files_and_quality(client):
    async with CadipStation() as station:
        session, other = station.session(SESSION), station.session("S1C_20241114150000004000", satellite="S1C")
        block = session.publish(1, 1, is_final=True)
        other.publish(1, 1)
        session.deliver(1, TotalChunks=7)
        alone = await asked(client, station, f"Sessions({session.id})", expand="Files")
        assert alone["@odata.context"].endswith("$metadata#Sessions(Files())/$entity")
        assert [each["Id"] for each in alone["Files"]] == [str(block.id)]
        assert await values(client, station, f"Sessions({session.id})/Files") == alone["Files"]
        [quality] = await values(client, station, f"Sessions({session.id})/QualityInfo")
        assert (quality["TotalChunks"], quality["TotalVolume"]) == (7, 10 * CADU_BYTES)
        assert await values(client, station, "QualityInfo", filter=f"SessionId eq '{SESSION}'") == [quality]
        [theirs] = await values(client, station, "Sessions", filter="Satellite eq 'S1C'")
        assert (theirs["SessionId"], theirs["DownlinkStop"], theirs["DeliveryPushOK"]) == (other.session_id, None, None)
        document = await asked(client, station, f"Files({block.id})")
        assert {name: document[name] for name in alone["Files"][0]} == alone["Files"][0]
        for resource in (f"Files({session.id})", f"Sessions({block.id})", "Products"):
            await asked(client, station, resource, status=404)
        for resource in ("Sessions(1)", "QualityInfo(1)", "Files?$expand=Sessions", "Sessions?$expand=Blocks"):
            assert (await client.get(f"{station.url}/{resource}")).status_code in (400, 501)


async def test_the_service_describes_its_entities(client):
    async with CadipStation() as station:
        namespace = {"edm": "http://docs.oasis-open.org/odata/ns/edm"}
        metadata = etree.fromstring((await client.get(f"{station.url}/$metadata")).content)
        sets = metadata.xpath("//edm:EntitySet/@Name", namespaces=namespace)
        assert sets == ["Sessions", "Files", "QualityInfo"]
        for name in ("Session", "File", "QualityInfo"):
            path = f"//edm:EntityType[@Name='{name}']/edm:Property[@Name='SessionId']/@Type"
            assert metadata.xpath(path, namespaces=namespace) == ["Edm.String"]
        navigation = metadata.xpath("//edm:NavigationProperty/@Type", namespaces=namespace)
        assert navigation == ["Collection(OData.CSC.File)", "Collection(OData.CSC.QualityInfo)"]


async def test_a_growing_file_has_what_was_written_and_a_liar_announces_more(client):
    async with CadipStation() as station:
        session = station.session(SESSION)
        growing = session.publish(1, 1, size_bytes=10 * CADU_BYTES, written_bytes=0)
        liar = session.publish(1, 2, size_bytes=2 * CADU_BYTES, announced_bytes=4_000_000_000)

        async def seen(block):
            told = await asked(client, station, f"Files({block.id})")
            body = (await client.get(f"{station.url}/Files({block.id})/$value")).content
            return told["Size"], body

        assert await seen(growing) == (0, b"")
        session.grow(growing, 3 * CADU_BYTES + 7)
        size, half = await seen(growing)
        assert size == len(half) == 3 * CADU_BYTES + 7
        session.grow(growing)
        size, whole = await seen(growing)
        assert whole.startswith(half)
        assert (size, hashlib.md5(whole).hexdigest()) == (10 * CADU_BYTES, growing.md5)
        assert [len(part) if isinstance(part, bytes) else part for part in await seen(liar)] == [
            4_000_000_000,
            2 * CADU_BYTES,
        ]


async def test_what_is_older_than_the_retention_is_gone(client, clock):
    async with CadipStation(clock=clock, retention=timedelta(seconds=60)) as station:
        session = station.session(SESSION)
        first = session.publish(1, 1)
        clock.forward(30)
        session.publish(1, 2, is_final=True)
        late = session.publish(2, 1, published_at=clock.now - timedelta(hours=1))
        told = await values(client, station, "Files")
        assert [parse_instant(each["EvictionDate"]) - clock.now for each in told if each["Id"] == str(first.id)] == [
            timedelta(seconds=30)
        ]
        assert str(late.id) not in {each["Id"] for each in told}
        clock.forward(30)
        assert [each["BlockNumber"] for each in await values(client, station, "Files")] == [2]
        for then in ("", "/$value"):
            assert (await client.get(f"{station.url}/Files({first.id}){then}")).status_code == 404
        clock.forward(30)
        assert await values(client, station, "Sessions") == []


async def test_blocks_come_again_and_go(client):
    async with CadipStation() as station:
        session = station.session(SESSION)
        first, again = session.publish(1, 1, is_final=True), session.publish(1, 1, is_final=True)
        finals = await values(client, station, "Files", filter="FinalBlock eq true")
        assert {each["Id"] for each in finals} == {str(first.id), str(again.id)}
        assert first.md5 == again.md5
        station.archive.withdraw(first)
        assert (await client.get(f"{station.url}/Files({first.id})/$value")).status_code == 404
        assert len(await values(client, station, "Files")) == 1


async def test_very_many_files_are_listed_page_by_page(client, clock):
    async with CadipStation(clock=clock) as station:
        session = station.session(SESSION)
        for number in range(20_000):
            session.publish(1, number)
        query = {"filter": "PublicationDate ge 2024-01-01", "orderby": "PublicationDate asc,Id", "count": "true"}
        page = await asked(client, station, "Files", **query, skip="19999")
        assert page["@odata.count"] == 20_000
        assert [len(page["value"]), "@odata.nextLink" in page] == [1, False]
        assert len(await values(client, station, "Files", **query, skip="10000")) == 1000


async def test_it_may_be_encrypted(client):
    async with CadipStation(certificate=CERTIFICATE) as station:
        assert station.url.startswith("https://")
        assert await values(client, station, "Sessions") == []
        async with httpx.AsyncClient() as careful:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await careful.get(station.url)


async def test_tokens_are_asked_for(client):
    async with CadipStation(auth=OAuth2(user="user", password="secret")) as station:
        await asked(client, station, "Sessions", status=401)
        login = {"grant_type": "password", "username": "user", "password": "secret"}
        token = (await client.post(station.token_url, data=login)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        assert await values(client, station, "Sessions") == []


ORDER = "OData.CSC.Order"


async def test_a_product_of_an_archive_is_ordered_waited_for_and_evicted(client, clock):
    async with LtaStation(clock=clock, queue_s=2, order_s=10, online_s=60) as station:
        product = station.offer(Made("tape", 5000), name="S1A_X.SAFE.zip")
        value = f"{station.url}/Products({product.id})/$value"

        async def state(order):
            told = await asked(client, station, f"Orders({order['Id']})")
            [again] = await values(client, station, "Orders", filter=f"Id eq {order['Id']}")
            assert again == {name: told[name] for name in again}
            online = (await asked(client, station, f"Products({product.id})"))["Online"]
            return told["Status"], online, (await client.get(value)).status_code

        assert (await client.get(value)).status_code == 403
        response = await client.post(f"{station.url}/Products({product.id})/{ORDER}", json={"Priority": 50})
        order = response.json()
        assert (response.status_code, order["Status"], order["Priority"]) == (201, "queued", 50)
        assert parse_instant(order["EstimatedDate"]) == clock.now + timedelta(seconds=10)
        assert await state(order) == ("queued", False, 403)
        again = await client.post(f"{station.url}/Products({product.id})/{ORDER}")
        assert again.json()["Id"] == order["Id"]
        clock.forward(2)
        assert await state(order) == ("in_progress", False, 403)
        clock.forward(8)
        assert await state(order) == ("completed", True, 200)
        assert (await asked(client, station, f"Orders({order['Id']})/Product"))["Name"] == product.name
        clock.forward(60)
        assert await state(order) == ("completed", False, 403)
        anew = await client.post(f"{station.url}/Products({product.id})/{ORDER}")
        assert anew.json()["Id"] != order["Id"]


async def test_an_archive_refuses_too_many_orders_and_some_fail(client, clock):
    async with LtaStation(clock=clock, quota=1, failing=["BAD"]) as station:
        bad, good = [station.offer(Made(name, 5000), name=f"S1A_{name}.SAFE.zip") for name in ("BAD", "GOOD")]

        async def order(product, **body):
            return await client.post(f"{station.url}/Products({product.id})/{ORDER}", **body)

        assert (await order(bad, content=b"[1]")).status_code == 400
        assert (await client.post(f"{station.url}/Products({bad.id})/OData.CSC.Burn")).status_code == 405
        assert (await order(bad)).status_code == 201
        refused = await order(good)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        clock.forward(10)
        assert [each["Status"] for each in await values(client, station, "Orders")] == ["failed"]
        assert (await client.get(f"{station.url}/Products({bad.id})/$value")).status_code == 403
        assert (await order(good)).status_code == 201
