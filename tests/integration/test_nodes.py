"""`Products(id)/Nodes…`: a product's files one by one, whatever names are asked for; `$zip`; pictures."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from urllib.parse import quote
from uuid import UUID

import asyncpg
import httpx
import pytest
from blake3 import blake3

from refsys.distribution.assets import asset_id
from refsys.infra.settings import Settings
from refsys.infra.storage import Storage
from tests.published import ONE, WHOLE, Server, publish, serving
from tests.stored_products import EOF, FRAME, GRD, Contents, store_product

TIFF = "measurement/iw-vh.tiff"
_ASSET = """
INSERT INTO distribution.asset (id, product_id, kind, path, is_made, media_type, size, md5, blake3)
VALUES ($1, $2, 'QUICKLOOK', $3, true, 'image/jpeg', $4, $5, $6)
"""


@pytest.fixture
async def server(pool: asyncpg.Pool, storage: Storage, settings: Settings) -> AsyncIterator[Server]:
    async with serving(pool, storage, settings) as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


def nodes(server: Server, identity: UUID, *names: str, tail: str = "") -> str:
    path = "".join(f"/Nodes({quote(name, safe='')})" for name in names)
    return f"{server.url}/odata/v1/Products({identity}){path}{tail}"


async def test_a_product_is_walked_from_its_top_to_every_file(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    found: dict[str, bytes | None] = {}

    async def walk(url: str, above: str) -> int:
        listing = (await client.get(url)).raise_for_status().json()
        assert list(listing) == ["result"]
        for node in listing["result"]:
            assert list(node) == ["Id", "Name", "ContentLength", "ChildrenNumber", "Nodes"]
            assert node["Id"] == node["Name"]
            path = f"{above}{node['Name']}"
            children = await walk(node["Nodes"]["uri"], f"{path}/")
            assert children == node["ChildrenNumber"]
            if not children:
                value = await client.get(node["Nodes"]["uri"].removesuffix("Nodes") + "$value")
                found[path] = value.content if value.status_code == 200 else None
                assert node["ContentLength"] == len(found[path] or b"")
            else:
                assert node["ContentLength"] == 0
        return len(listing["result"])

    assert await walk(nodes(server, identity, tail="/Nodes"), "") == 1
    assert found == {f"{GRD}/{path}": data for path, data in ONE.items()}


async def test_a_folder_is_listed_by_name_and_a_file_has_nothing_in_it(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    folder = (await client.get(nodes(server, identity, GRD, tail="/Nodes"))).json()["result"]
    assert [(node["Name"], node["ChildrenNumber"]) for node in folder] == [
        ("manifest.safe", 0), ("measurement", 2), ("support", 0), ("void", 0),
    ]  # fmt: skip
    assert folder[1]["Nodes"]["uri"] == nodes(server, identity, GRD, "measurement", tail="/Nodes")
    assert (await client.get(nodes(server, identity, GRD, "manifest.safe", tail="/Nodes"))).json() == {"result": []}
    assert (await client.get(nodes(server, identity, GRD, "support", tail="/Nodes"))).json() == {"result": []}
    itself = (await client.get(nodes(server, identity, GRD, "measurement"))).json()
    assert itself == {"result": [folder[1]]}


async def test_a_file_comes_whole_and_in_ranges_with_its_own_checksum(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    url = nodes(server, identity, GRD, "measurement", "iw-vh.tiff", tail="/$value")
    data = ONE[TIFF]
    whole = await client.get(url)
    assert (whole.status_code, whole.content) == (200, data)
    assert whole.headers["etag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert whole.headers["content-type"] == "image/tiff"
    assert whole.headers["content-disposition"] == 'attachment; filename="iw-vh.tiff"'
    head = await client.head(url)
    assert (head.content, head.headers["content-length"]) == (b"", str(len(data)))
    part = await client.get(url, headers={"range": "bytes=5-99", "if-range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, data[5:100])
    assert (await client.get(url, headers={"range": "bytes=5-99", "if-range": '"other"'})).content == data
    assert (await client.get(url, headers={"if-none-match": whole.headers["etag"]})).status_code == 304
    assert (await client.get(url, headers={"range": f"bytes={len(data)}-"})).status_code == 416
    empty = await client.get(nodes(server, identity, GRD, "void", tail="/$value"))
    assert (empty.status_code, empty.content, empty.headers["content-length"]) == (200, b"", "0")


STRANGE: Contents = {
    "it's (1)/a%2Fb+c@d.tif": b"strange",
    "it's (1)/été 100%.txt": b"accents",
    "Nodes/$value": b"words of ours",
    "100%_x/y": b"wildcards",
}


async def test_names_of_every_kind_are_found_quoted_or_not(server, storage, pool, client) -> None:
    identity = await publish(pool, storage, STRANGE)
    for path, data in STRANGE.items():
        names = [GRD, *path.split("/")]
        assert (await client.get(nodes(server, identity, *names, tail="/$value"))).content == data
        quoted = [f"'{name.replace(chr(39), chr(39) * 2)}'" for name in names]
        assert (await client.get(nodes(server, identity, *quoted, tail="/$value"))).content == data
        assert [node["Name"] for node in (await client.get(nodes(server, identity, *names))).json()["result"]] == [
            names[-1]
        ]
    plain = f"{server.url}/odata/v1/Products('{identity}')/Nodes({GRD})/Nodes(it's%20(1))/Nodes"
    assert {node["Name"] for node in (await client.get(plain)).json()["result"]} == {"a%2Fb+c@d.tif", "été 100%.txt"}


async def test_no_name_leads_elsewhere(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    storage.put("secret.txt", b"not for users")
    hostile = [
        "..", ".", "", "/", "../secret.txt", "../../../../../../secret.txt", f"{GRD}/manifest.safe", "\0", "a\0",
        "\n", "%", "_", "manifest.saf%", "manifest.saf_", "'", "''", "'; DROP TABLE catalogue.file; --",
        "manifest.safe\n", "x" * 20_000, "Manifest.safe", "\\..", "manifest.safe/",
    ]  # fmt: skip
    for name in hostile:
        for tail, names in (("/$value", (GRD, name)), ("/Nodes", (GRD, "measurement", name)), ("", (name,))):
            answer = await client.get(nodes(server, identity, *names, tail=tail))
            assert answer.status_code == 404, (names, tail, answer.text)
    raw = [
        b"/Nodes(%ff)/$value", b"/Nodes()/$value", b"/Nodes(/$value", b"/Nodes)/Nodes", b"/Nodes/$value", b"/Nodesx",
        b"/Nodes/Nodes", b"/Nodes(a)Nodes(b)/$value", b"/Nodes(%s)/$value/$value" % GRD.encode(), b"/Nodes/",
        b"/Nodes(%s)/../../$value" % GRD.encode(), b"/Nodes(%s)%%2F$value" % GRD.encode(), b"/Nodes(a)/%2f",
        b"/Nodes//",
    ]  # fmt: skip
    for path in raw:
        url = httpx.URL(server.url).copy_with(raw_path=b"/odata/v1/Products(%s)" % str(identity).encode() + path)
        answer = await client.get(url)
        expected = 200 if path.rstrip(b"/") == b"/Nodes" else 404
        assert answer.status_code == expected, (path, answer.text)
    assert (await client.get(f"{server.url}/odata/v1/Products(1)/Nodes")).status_code == 400


async def test_only_products_that_users_may_see_have_nodes(server, storage, pool, client) -> None:
    described, _ = await store_product(pool, storage, ONE, FRAME)
    identity = await publish(pool, storage)
    for hidden in (described, UUID(int=4)):
        for tail in ("/Nodes", f"/Nodes({GRD})/$value", "/$zip"):
            assert (await client.get(nodes(server, hidden, tail=tail))).status_code == 404
    await pool.execute("UPDATE catalogue.product SET online = false WHERE id = $1", identity)
    assert (await client.get(nodes(server, identity, tail="/Nodes"))).status_code == 200
    offline = await client.get(nodes(server, identity, GRD, "manifest.safe", tail="/$value"))
    assert (offline.status_code, offline.json()["error"]["message"]) == (404, f"the bytes of {GRD} are not online")
    await pool.execute("UPDATE catalogue.product SET visibility = 'internal' WHERE id = $1", identity)
    assert (await client.get(nodes(server, identity, tail="/Nodes"))).status_code == 404


async def test_a_folder_of_very_many_files_is_counted_and_listed(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    count = 20_000
    await pool.execute(
        """INSERT INTO catalogue.file (content_id, ordinal, path, size)
           SELECT content_id, 1000 + n, $2 || '/GRANULE/' || n || '/a/b.jp2', 7
             FROM catalogue.product, generate_series(1, $3) AS n WHERE id = $1""",
        identity, GRD, count,
    )  # fmt: skip
    top = (await client.get(nodes(server, identity, GRD, tail="/Nodes"))).json()["result"]
    assert {node["Name"]: node["ChildrenNumber"] for node in top}["GRANULE"] == count
    granules = (await client.get(nodes(server, identity, GRD, "GRANULE", tail="/Nodes"))).json()["result"]
    assert [node["Name"] for node in granules] == sorted(str(n) for n in range(1, count + 1))
    assert {node["ChildrenNumber"] for node in granules} == {1}


async def test_zip_is_the_package_where_it_is_one(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    assert (await client.get(nodes(server, identity, tail="/$zip"))).content == WHOLE
    written = await publish(pool, storage, ONE, GRD.replace("6FF8", "7000"), is_written=True)
    with zipfile.ZipFile(io.BytesIO((await client.get(nodes(server, written, tail="/$zip"))).content)) as found:
        assert found.testzip() is None
    single = await publish(pool, storage, {"": b"<Earth_Explorer_File/>"}, EOF)
    answer = await client.get(nodes(server, single, tail="/$zip"))
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"{EOF} is one file, not a ZIP: it is at Products({single})/$value"
    assert (await client.get(nodes(server, single, EOF, tail="/$value"))).content == b"<Earth_Explorer_File/>"
    assert (await client.get(nodes(server, single, EOF, tail="/Nodes"))).json() == {"result": []}


async def test_pictures_are_shown_of_products_that_users_see(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    base = await pool.fetchval("SELECT final_base FROM catalogue.product WHERE id = $1", identity)
    path, data = f"_made/{GRD}/quick-look.jpg", b"\xff\xd8picture"
    storage.put(f"{base}/{path}", data)
    key = asset_id(identity, path)
    await pool.execute(_ASSET, key, identity, path, len(data), hashlib.md5(data).digest(), blake3(data).digest())
    url = f"{server.url}/odata/v1/Assets({key})"
    told = (await client.get(url)).json()
    assert told == {
        "@odata.context": "$metadata#Assets/$entity", "Type": "QUICKLOOK", "Id": str(key),
        "DownloadLink": f"{url}/$value", "S3Path": f"/{base}/{path}",
    }  # fmt: skip
    picture = await client.get(told["DownloadLink"])
    assert (picture.status_code, picture.content) == (200, data)
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.headers["content-disposition"] == 'inline; filename="quick-look.jpg"'
    etag = {"if-none-match": picture.headers["etag"]}
    assert (await client.get(told["DownloadLink"], headers=etag)).status_code == 304
    assert (await client.get(f"{server.url}/odata/v1/Assets({UUID(int=4)})/$value")).status_code == 404
    assert (await client.get(f"{server.url}/odata/v1/Assets(x)/$value")).status_code == 400
    await pool.execute("UPDATE catalogue.product SET visibility = 'internal' WHERE id = $1", identity)
    for hidden in (url, told["DownloadLink"]):
        assert (await client.get(hidden)).status_code == 404
