"""The simulated station, asked over real HTTP."""

import hashlib
import io
import os
import tarfile
import zipfile
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest
from lxml import etree

from refsys.core.errors import ConfigurationError
from refsys.core.times import parse_instant
from refsys.simulation.station import Basic, OAuth2, Station
from tests.waiting import wait_for

GRD = "S1A_IW_GRDH_1SDV_20210401T152855_20210401T152914_037258_04638E_6001.SAFE"
ORBIT = "S1A_OPER_AUX_RESORB_OPOD_20171213T143838_V20171213T102737_20171213T134507.EOF"
FILES = {"manifest.safe": b"<xfdu/>", "measurement/iw.tiff": b"II*\0" + bytes(5000), "annotation/iw.xml": b"<product/>"}


def make_product(folder, name=GRD, files=FILES):
    product = folder / name
    for path, content in files.items():
        (product / path).parent.mkdir(parents=True, exist_ok=True)
        (product / path).write_bytes(content)
    (product / "preview").mkdir()
    return product


def make_file(folder, name=ORBIT, content=b"<Earth_Explorer_File/>"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


@pytest.fixture
def offers(tmp_path):
    """A folder with one product that is a folder, at some depth, and one that is a file."""
    make_product(tmp_path / "offers" / "sentinel-1")
    make_file(tmp_path / "offers")
    return tmp_path / "offers"


@pytest.fixture
async def client():
    async with httpx.AsyncClient(verify=False) as client:
        yield client


async def products(client, station, **options):
    response = await client.get(f"{station.url}/Products", params={f"${name}": text for name, text in options.items()})
    assert response.status_code == 200, response.text
    return response.json()["value"]


async def names(client, station, **options):
    return [product["Name"] for product in await products(client, station, **options)]


def value_of(station, product):
    return f"{station.url}/Products({product['Id']})/$value"


async def test_a_folder_is_announced_by_its_archive_and_a_file_by_its_name(client, offers):
    async with Station(offers) as station:
        orbit, product = sorted(await products(client, station), key=lambda each: each["Name"].endswith("zip"))
        assert (product["Name"], product["ContentType"]) == (f"{GRD}.zip", "application/zip")
        assert (orbit["Name"], orbit["ContentType"]) == (ORBIT, "application/xml")
        assert product["ContentDate"] == {
            "Start": "2021-04-01T15:28:55.000000Z",
            "End": "2021-04-01T15:29:14.000000Z",
        }
        assert orbit["ContentDate"]["End"] == "2017-12-13T13:45:07.000000Z"
        for announced in (orbit, product):
            body = (await client.get(value_of(station, announced))).content
            assert announced["ContentLength"] == len(body)
            [checksum] = announced["Checksum"]
            assert (checksum["Algorithm"], checksum["Value"]) == ("MD5", hashlib.md5(body).hexdigest())
            assert parse_instant(checksum["ChecksumDate"]) <= datetime.now(UTC)
        assert parse_instant(product["EvictionDate"]) - parse_instant(product["PublicationDate"]) == timedelta(days=7)


@pytest.mark.parametrize(
    ("archive", "deflate", "content_type"),
    [
        ("zip", False, "application/zip"),
        ("zip", True, "application/zip"),
        ("tar", False, "application/x-tar"),
        ("tgz", False, "application/gzip"),
    ],
)
async def test_an_archive_holds_the_product_and_is_the_same_each_time(
    client, tmp_path, offers, archive, deflate, content_type
):
    bodies = []
    # written anew, and at another time, by another station
    again = make_product(tmp_path / "again")
    os.utime(again / "manifest.safe", (1_000_000_000, 1_000_000_000))
    for folder in (offers, again.parent):
        async with Station(folder, archive=archive, deflate=deflate) as station:
            [product] = await products(client, station, filter=f"Name eq '{GRD}.{archive}'")
            response = await client.get(value_of(station, product))
            assert response.headers["content-type"] == content_type
            bodies.append(response.content)
    assert bodies[0] == bodies[1]
    wanted = {f"{GRD}/{path}": content for path, content in FILES.items()}
    assert unpacked(bodies[0], archive) == (wanted, {f"{GRD}/preview"})
    assert (len(bodies[0]) > sum(map(len, FILES.values()))) is (archive != "tgz" and not deflate)


def unpacked(body, archive):
    """Files by name, and empty folders."""
    if archive == "zip":
        with zipfile.ZipFile(io.BytesIO(body)) as opened:
            members = {member.filename: opened.read(member) for member in opened.infolist()}
            files = {name: content for name, content in members.items() if not name.endswith("/")}
            folders = {name.rstrip("/") for name in members.keys() - files.keys()}
    else:
        with tarfile.open(fileobj=io.BytesIO(body)) as opened:
            files = {each.name: opened.extractfile(each).read() for each in opened if each.isfile()}
            folders = {each.name for each in opened if each.isdir()}
    return files, {folder for folder in folders if not any(name.startswith(f"{folder}/") for name in files)}


async def test_pages_hold_everything_once_in_the_order_of_publication(client, tmp_path):
    async with Station(page_limit=3) as station:
        offered = [station.offer(make_file(tmp_path, f"S1A_OPER_AUX_{n:03}.EOF")).name for n in range(10)]
        url, seen = (
            f"{station.url}/Products?$orderby=PublicationDate asc&$count=true&$top=500&$filter=contains(Name,'A')",
            [],
        )
        while url:
            page = (await client.get(url)).json()
            assert page["@odata.count"] == 10
            assert len(page["value"]) <= 3
            seen += [product["Name"] for product in page["value"]]
            url = page.get("@odata.nextLink")
        assert seen == offered
        assert await names(client, station, orderby="PublicationDate desc", top=2, skip=1) == [offered[8], offered[7]]
        assert await names(client, station, orderby="Name desc", top=1) == offered[-1:]
        assert await names(client, station, top=0) == []
        assert await names(client, station, skip=10) == []


async def test_a_station_without_next_links_has_to_be_counted(client, tmp_path):
    async with Station(next_links=False) as station:
        offered = [station.offer(make_file(tmp_path, f"S1A_OPER_AUX_{n:03}.EOF")).name for n in range(3)]
        page = (await client.get(f"{station.url}/Products?$top=2&$orderby=PublicationDate")).json()
        assert page.keys() == {"@odata.context", "value"}
        assert await names(client, station, top=2, skip=2, orderby="PublicationDate") == offered[2:]


async def test_publication_dates_increase_even_when_the_clock_stands(client, tmp_path):
    noon = datetime(2024, 9, 1, 12, tzinfo=UTC)
    async with Station(clock=lambda: noon) as station:
        offered = [station.offer(make_file(tmp_path, f"S1A_OPER_AUX_{n:03}.EOF")) for n in range(3)]
        assert [each.published_at - noon for each in offered] == [timedelta(microseconds=n) for n in range(3)]
        late = station.offer(make_file(tmp_path, "S1A_OPER_AUX_003.EOF"), published_at=noon - timedelta(hours=1))
        after = "PublicationDate gt 2024-09-01T12:00:00.000001Z"
        assert await names(client, station, filter=after) == [offered[2].name]
        assert await names(client, station, orderby="PublicationDate", top=1) == [late.name]


async def test_what_comes_changes_and_goes_in_the_folder_is_seen(client, offers):
    async with Station(offers) as station:
        first = {each["Name"]: each for each in await products(client, station)}
        assert first.keys() == {f"{GRD}.zip", ORBIT}
        make_file(offers, "S1A_OPER_AUX_PREORB.EOF.part").rename(offers / "S1A_OPER_AUX_PREORB.EOF")

        async def new():
            found = {each["Name"]: each for each in await products(client, station)}
            return found if found.keys() - first.keys() else None

        assert (await wait_for(new)).keys() == {f"{GRD}.zip", ORBIT, "S1A_OPER_AUX_PREORB.EOF"}
        (offers / "sentinel-1" / GRD / "manifest.safe").write_bytes(b"<other/>")

        async def changed():
            [product] = await products(client, station, filter="endswith(Name,'.zip')")
            return product if product["Id"] != first[f"{GRD}.zip"]["Id"] else None

        product = await wait_for(changed)
        assert product["PublicationDate"] > first[ORBIT]["PublicationDate"]
        assert product["Checksum"] != first[f"{GRD}.zip"]["Checksum"]
        assert (await client.get(value_of(station, first[f"{GRD}.zip"]))).status_code == 404
        (offers / ORBIT).unlink()

        async def gone():
            return ORBIT not in await names(client, station)

        await wait_for(gone)


async def test_what_is_still_being_written_waits(client, offers):
    async with Station(offers, settle_s=3600) as station:
        assert await names(client, station) == []


async def test_what_is_no_product_is_not_offered(client, tmp_path):
    make_file(tmp_path, "README.md")
    make_file(tmp_path, ".S1A_OPER_AUX.EOF")
    make_file(tmp_path, "S1A_OPER_AUX.EOF.tmp")
    (tmp_path / "S1A_OPER_AUX.EOF").symlink_to("/etc/hostname")
    async with Station(tmp_path) as station:
        assert await names(client, station) == []


async def test_a_link_in_a_product_is_not_followed(client, tmp_path):
    product = make_product(tmp_path)
    (product / "secret").symlink_to("/etc/hostname")
    async with Station(tmp_path) as station:
        [announced] = await products(client, station)
        files, _folders = unpacked((await client.get(value_of(station, announced))).content, "zip")
        assert f"{GRD}/secret" not in files
        assert len(files) == 3


async def test_one_product_can_be_asked_for(client, offers):
    async with Station(offers) as station:
        for product in await products(client, station):
            response = await client.get(f"{station.url}/Products({product['Id']})")
            context = {"@odata.context": f"{station.url}/$metadata#Products/$entity"}
            assert response.json() == context | product


async def test_ranges_are_exact(client, tmp_path):
    content = os.urandom(3_000_000)
    async with Station() as station:
        offered = station.offer(make_file(tmp_path, content=content))
        url = f"{station.url}/Products({offered.id})/$value"

        async def get(**headers):
            return await client.get(url, headers={name.replace("_", "-"): text for name, text in headers.items()})

        whole = await get()
        etag, modified = whole.headers["etag"], whole.headers["last-modified"]
        assert whole.content == content
        assert whole.headers["accept-ranges"] == "bytes"
        assert modified == formatdate((tmp_path / ORBIT).stat().st_mtime, usegmt=True)
        for text, wanted in (("1000000-", content[1_000_000:]), ("5-9", content[5:10]), ("-7", content[-7:])):
            part = await get(range=f"bytes={text}")
            assert (part.status_code, part.content, part.headers["etag"]) == (206, wanted, etag)
        assert part.headers["content-range"] == "bytes 2999993-2999999/3000000"
        for condition, status in ((etag, 206), (modified, 206), ('"other"', 200), (f"W/{etag}", 200)):
            assert (await get(range="bytes=10-", if_range=condition)).status_code == status
        assert (await get(range="bytes=0-1,5-6")).content == content
        outside = await get(range="bytes=3000000-")
        assert (outside.status_code, outside.headers["content-range"]) == (416, "bytes */3000000")
        assert station.journal.ranges(ORBIT)[-1] == "bytes=3000000-"
        assert station.journal.downloads()[0].sent_bytes == len(content)


async def test_head_tells_what_get_would(client, offers):
    async with Station(offers) as station:
        [product] = await products(client, station, filter=f"Name eq '{ORBIT}'")
        head, get = [await client.request(method, value_of(station, product)) for method in ("HEAD", "GET")]
        assert head.content == b""
        told = ("content-length", "content-type", "etag", "last-modified", "accept-ranges")
        assert [head.headers[name] for name in told] == [get.headers[name] for name in told]
        assert len(station.journal.downloads()) == 1


async def test_the_etag_outlives_a_restart_and_the_port_is_kept(client, offers):
    station, seen = Station(offers), []
    for _ in range(2):
        async with station:
            [product] = await products(client, station, filter="endswith(Name,'.zip')")
            seen.append((station.url, product["Id"], (await client.head(value_of(station, product))).headers["etag"]))
        with pytest.raises(httpx.ConnectError):
            await client.get(station.url)
    assert seen[0] == seen[1]


def test_a_thread_can_serve_it_and_offers_come_from_another(offers, tmp_path):
    with Station(offers) as station:
        assert len(httpx.get(f"{station.url}/Products").json()["value"]) == 2
        station.offer(make_file(tmp_path, "S1A_OPER_AUX_PREORB.EOF"))
        assert len(httpx.get(f"{station.url}/Products").json()["value"]) == 3
        with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1 port {httpx.URL(station.url).port}"):
            Station(port=httpx.URL(station.url).port).__enter__()


async def test_an_offer_can_have_any_name_and_announce_anything(client, tmp_path):
    async with Station() as station:
        lie = {"MD5": "0" * 32, "SHA-256": "1" * 64}
        station.offer(make_file(tmp_path), name="../../x'\n.EOF", size_bytes=5, checksums=lie)
        station.offer(make_product(tmp_path), name="S1A_OTHER.SAFE.zip")
        [strange] = await products(client, station, filter="startswith(Name,'..')")
        assert (strange["Name"], strange["ContentLength"]) == ("../../x'\n.EOF", 5)
        assert {each["Algorithm"]: each["Value"] for each in strange["Checksum"]} == lie
        assert (await client.get(value_of(station, strange))).content == (tmp_path / ORBIT).read_bytes()
        [renamed] = await products(client, station, filter="startswith(Name,'S1A')")
        files, _folders = unpacked((await client.get(value_of(station, renamed))).content, "zip")
        assert {Path(name).parts[0] for name in files} == {"S1A_OTHER.SAFE"}


async def test_true_checksums_of_every_algorithm_are_announced(client, tmp_path):
    content = b"abc"
    async with Station(algorithms=["SHA-256", "SHA3-256", "BLAKE3"]) as station:
        station.offer(make_file(tmp_path, content=content))
        [product] = await products(client, station)
        assert [(each["Algorithm"], each["Value"][:8]) for each in product["Checksum"]] == [
            ("SHA-256", "ba7816bf"),
            ("SHA3-256", "3a985da7"),
            ("BLAKE3", "6437b3ac"),
        ]


async def test_a_product_is_replaced_openly_or_quietly_and_withdrawn(client, tmp_path):
    async with Station() as station:
        station.offer(make_file(tmp_path / "1", content=b"first"))
        [first] = await products(client, station)
        station.replace(ORBIT, make_file(tmp_path / "2", content=b"second"))
        [second] = await products(client, station)
        assert second["Id"] != first["Id"]
        assert second["PublicationDate"] > first["PublicationDate"]
        assert (await client.get(value_of(station, first))).status_code == 404
        station.replace(ORBIT, make_file(tmp_path / "3", content=b"third!!"), quietly=True)
        [third] = await products(client, station)
        assert (third["Id"], third["PublicationDate"]) == (second["Id"], second["PublicationDate"])
        assert third["ContentLength"] == 7
        assert (await client.get(value_of(station, third))).content == b"third!!"
        station.withdraw(ORBIT)
        assert await products(client, station) == []
        with pytest.raises(ConfigurationError, match="not offered"):
            station.withdraw(ORBIT)


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "Products?$filter=Name like 'x'", 400, "character 6"),
        ("GET", "Products?$orderby=Size", 400, "Size"),
        ("GET", "Products?$top=-1", 400, "-1"),
        ("GET", "Products?$skip=x", 400, "x"),
        ("GET", "Products?$count=1", 400, "1"),
        ("GET", "Products?$top=1&$top=2", 400, "twice"),
        ("GET", "Products?$expand=Attributes", 501, "expand"),
        ("GET", "Products(5)", 400, "GUID"),
        ("GET", "Products('d0b9cf7a-4a5b-5d3e-8f4c-000000000000')", 400, "quotes"),
        ("GET", "Products(d0b9cf7a-4a5b-5d3e-8f4c-000000000000)", 404, "no such product"),
        ("GET", "Products(d0b9cf7a-4a5b-5d3e-8f4c-000000000000)/$value", 404, "no such product"),
        ("GET", "Sessions", 404, "no such resource"),
        ("POST", "Products", 405, "POST"),
    ],
)
async def test_errors_have_odatas_shape(client, method, path, status, message):
    async with Station() as station:
        response = await client.request(method, f"{station.url}/{path}")
        assert response.status_code == status
        assert response.headers["content-type"].startswith("application/json")
        assert response.json()["error"].keys() == {"code", "message"}
        assert message in response.json()["error"]["message"]


async def test_a_source_that_is_gone_is_an_error_that_names_it(client, tmp_path):
    async with Station() as station:
        station.offer(make_file(tmp_path)).source.unlink()
        response = await client.get(f"{station.url}/Products")
        assert response.status_code == 500
        assert str(tmp_path / ORBIT) in response.json()["error"]["message"]


async def test_a_defect_of_the_station_is_an_error_too(client, offers):
    def clock():
        raise RuntimeError("stopped")

    async with Station(offers, clock=clock) as station:
        response = await client.get(f"{station.url}/Products")
        assert (response.status_code, response.json()["error"]["code"]) == (500, "500")


async def test_the_service_describes_itself(client):
    async with Station() as station:
        namespace = {"edm": "http://docs.oasis-open.org/odata/ns/edm"}
        metadata = etree.fromstring((await client.get(f"{station.url}/$metadata")).content)
        assert "PublicationDate" in metadata.xpath("//edm:EntityType/edm:Property/@Name", namespaces=namespace)
        assert (await client.get(station.url)).json()["value"][0]["url"] == "Products"


async def test_basic_lets_in_who_knows_the_password(client, offers):
    async with Station(offers, auth=Basic("user", "pässword")) as station:
        for auth, status in ((None, 401), (("user", "wrong"), 401), (("user", "pässword"), 200)):
            response = await client.get(f"{station.url}/Products", auth=httpx.BasicAuth(*auth) if auth else None)
            assert response.status_code == status
        product = response.json()["value"][0]
        refused = await client.get(value_of(station, product))
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="station"')


LOGIN = {"grant_type": "password", "username": "user", "password": "secret"}


async def test_oauth2_gives_tokens_that_expire_and_can_be_refreshed(client, offers):
    async with Station(offers, auth=OAuth2(user="user", password="secret")) as station:

        async def status(token):
            return (
                await client.get(f"{station.url}/Products", headers={"Authorization": f"Bearer {token}"})
            ).status_code

        first = (await client.post(station.token_url, data=LOGIN)).json()
        assert (first["token_type"], first["expires_in"]) == ("Bearer", 1200)
        assert await status(first["access_token"]) == 200
        assert await status("invented") == 401
        station.expire_tokens()
        assert await status(first["access_token"]) == 401
        again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        second = (await client.post(station.token_url, data=again)).json()
        assert await status(second["access_token"]) == 200
        used = await client.post(station.token_url, data=again)
        assert (used.status_code, used.json()["error"]) == (400, "invalid_grant")
        station.expire_tokens(refresh_tokens=True)
        again["refresh_token"] = second["refresh_token"]
        assert (await client.post(station.token_url, data=again)).status_code == 400


async def test_a_token_expires_by_itself(client, offers):
    async with Station(offers, auth=OAuth2(user="user", password="secret", expires_s=0.2)) as station:
        token = (await client.post(station.token_url, data=LOGIN)).json()["access_token"]

        async def expired():
            headers = {"Authorization": f"Bearer {token}"}
            return (await client.get(f"{station.url}/Products", headers=headers)).status_code == 401

        await wait_for(expired)


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"password": "wrong"}, 401, "invalid_grant"),
        ({"username": ""}, 401, "invalid_grant"),
        ({"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"scope": "email"}, 400, "invalid_scope"),
        ({}, 200, None),
    ],
)
async def test_the_token_endpoint_refuses_what_is_wrong(client, change, status, error):
    auth = OAuth2(user="user", password="secret", client_id="client", client_secret="s", scope="openid")
    async with Station(auth=auth) as station:
        form = LOGIN | {"client_id": "client", "client_secret": "s", "scope": "openid email"} | change
        response = await client.post(station.token_url, data=form)
        assert (response.status_code, response.json().get("error")) == (status, error)
        del form["client_id"], form["client_secret"]
        if not change:
            in_header = await client.post(station.token_url, data=form, auth=("client", "s"))
            assert in_header.status_code == 200
            assert (await client.post(station.token_url, data=form)).json()["error"] == "invalid_client"


@pytest.mark.parametrize("header", ["Authorization", "OAUTH2-ACCESS-TOKEN"])
async def test_a_token_counts_only_in_the_stations_header(client, offers, header):
    async with Station(offers, auth=OAuth2(user="user", password="secret", header=header)) as station:
        token = (await client.post(station.token_url, data=LOGIN)).json()["access_token"]
        sent = {"Authorization": f"Bearer {token}", "OAUTH2-ACCESS-TOKEN": token}
        for name, text in sent.items():
            response = await client.get(f"{station.url}/Products", headers={name: text})
            assert response.status_code == (200 if name == header else 401)
        assert {each.authorised_by for each in station.journal.listings()} == {header, ""}


async def test_the_real_products_are_offered(client, shared_data):
    async with Station(shared_data) as station:
        announced = await products(client, station)
        assert len(announced) > 40
        for product in announced:
            body = (await client.get(value_of(station, product))).content
            assert product["Checksum"][0]["Value"] == hashlib.md5(body).hexdigest()
