"""Signed links to S3: who is answered with one, that it gives the same bytes, and that it ends."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from blake3 import blake3
from pydantic import SecretStr

from refsys.core.errors import HostileInput
from refsys.distribution.assets import asset_id
from refsys.infra.settings import AccessSettings, UserSettings
from refsys.infra.storage import Storage
from refsys.infra.storage.s3 import S3Storage
from tests.published import ONE, publish, serving
from tests.stored_products import EOF, FRAME, GRD, package_of
from tests.waiting import wait_for

XML = b"<Earth_Explorer_File/>"
_ASSET = """
INSERT INTO distribution.asset (id, product_id, kind, path, is_made, media_type, size, md5, blake3)
VALUES ($1, $2, 'QUICKLOOK', $3, true, 'image/jpeg', $4, $5, $6)
"""


@pytest.fixture
def bucket(s3_gateway: Any) -> S3Storage:
    """Storage of which nobody has said that users reach it."""
    storage = s3_gateway.storage("main")
    assert not storage.is_public
    return storage


@pytest.fixture
def public(s3_gateway: Any) -> S3Storage:
    """Storage that users reach, as the settings say."""
    known = s3_gateway.settings.model_copy(update={"public_endpoint": s3_gateway.endpoint})
    return S3Storage.of(f"s3://{s3_gateway.new_bucket()}/main", known)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


async def test_what_lies_there_as_one_object_is_linked_and_the_rest_is_sent(bucket, pool, settings, client) -> None:
    bare = await publish(pool, bucket, {"": XML}, EOF)
    written = await publish(pool, bucket, ONE, GRD, is_written=True)
    computed = await publish(pool, bucket, ONE, FRAME)
    picture = await add_picture(pool, bucket, computed)
    async with serving(pool, bucket, settings, links="on") as server:
        root = f"{server.url}/odata/v1"
        node = f"{root}/Products({computed})/Nodes({FRAME})/Nodes(measurement)/Nodes(iw-vh.tiff)/$value"
        package = await follow(client, server.value(written))
        assert hashlib.md5(package).hexdigest() == (await client.head(server.value(written))).headers["etag"].strip('"')
        assert await follow(client, f"{root}/Products({written})/$zip") == package
        assert await follow(client, server.value(bare)) == XML
        assert await follow(client, node) == ONE["measurement/iw-vh.tiff"]
        assert await follow(client, f"{root}/Assets({picture})/$value") == b"picture"
        sent = await client.get(server.value(computed))
        assert (sent.status_code, sent.content) == (200, package_of(ONE, FRAME))
        empty = await client.get(f"{root}/Products({computed})/Nodes({FRAME})/Nodes(void)/$value")
        assert (empty.status_code, empty.content) == (200, b"")

    async def is_counted() -> bool:
        row = await pool.fetchrow("SELECT downloads, links, linked_bytes FROM distribution.volume")
        expected = 2 * len(package) + len(XML) + len(ONE["measurement/iw-vh.tiff"]) + len(b"picture")
        return row is not None and tuple(row) == (2, 5, expected)

    await wait_for(is_counted)


async def follow(client: httpx.AsyncClient, url: str) -> bytes:
    """What a link gives: the answer to a GET is one."""
    answer = await client.get(url, headers={"range": "bytes=1-2"})
    assert (answer.status_code, answer.content) == (307, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"]
    location = answer.headers["location"]
    found = await client.get(location)
    assert found.status_code == 200
    part = await client.get(location, headers={"range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, found.content[1:3])
    return found.content


async def add_picture(pool: asyncpg.Pool, storage: Storage, identity: UUID) -> UUID:
    base = await pool.fetchval("SELECT final_base FROM catalogue.product WHERE id = $1", identity)
    path, data = f"_made/{FRAME}/ql.jpg", b"picture"
    storage.put(f"{base}/{path}", data)
    key = asset_id(identity, path)
    await pool.execute(_ASSET, key, identity, path, len(data), hashlib.md5(data).digest(), blake3(data).digest())
    return key


async def test_by_default_only_those_are_sent_elsewhere_who_can_go_there(
    bucket, public, storage, pool, settings, client
) -> None:
    async def status(kept: Storage, name: str, headers: dict[str, str], **download: Any) -> int:
        identity = await publish(pool, kept, {"": XML}, name)
        async with serving(pool, kept, settings, **download) as server:
            return (await client.get(server.value(identity), headers=headers)).status_code

    names = (EOF.replace("212942", f"2129{number}") for number in range(10, 60))
    basic = {"Authorization": "Basic YTpi"}
    assert await status(public, next(names), {}) == 307
    assert await status(bucket, next(names), {}) == 200
    assert await status(storage, next(names), {}) == 200
    assert await status(storage, next(names), {}, links="on") == 200
    assert await status(public, next(names), {}, links="off") == 200
    assert await status(public, next(names), basic) == 401
    assert await status(bucket, next(names), {}, links="on") == 307


async def test_a_client_that_is_signed_in_by_a_header_gets_the_bytes_itself(public, pool, settings, client) -> None:
    users = (UserSettings(name="a", password=SecretStr("b")),)
    signed = settings.model_copy(update={"auth": AccessSettings(user=users, anonymous="all")})
    identity = await publish(pool, public, {"": XML}, EOF)
    async with serving(pool, public, signed) as server:
        answer = await client.get(server.value(identity), auth=("a", "b"))
        assert (answer.status_code, answer.content) == (200, XML)
        assert (await client.get(server.value(identity))).status_code == 307


async def test_what_needs_no_bytes_is_answered_here(bucket, pool, settings, client) -> None:
    identity = await publish(pool, bucket, {"": XML}, EOF)
    async with serving(pool, bucket, settings, links="on") as server:
        url = server.value(identity)
        head = await client.head(url)
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(XML)))
        unchanged = await client.get(url, headers={"if-none-match": head.headers["etag"]})
        assert unchanged.status_code == 304
        # tags of S3 are not ours: it judges them itself
        assert (await client.get(url, headers={"if-match": '"of-s3"'})).status_code == 307
        await pool.execute("UPDATE catalogue.product SET online = false WHERE id = $1", identity)
        assert (await client.get(url)).status_code == 404


async def test_a_link_ends_and_stands_in_no_log(bucket, pool, settings, client, capsys) -> None:
    identity = await publish(pool, bucket, {"": XML}, EOF)
    async with serving(pool, bucket, settings, links="on", link_s=1) as server:
        location = (await client.get(server.value(identity))).headers["location"]
        assert "X-Amz-Expires=1&" in location

        async def is_over() -> bool:
            return (await client.get(location)).status_code == 403

        await wait_for(is_over)
    logged = capsys.readouterr()
    assert "X-Amz" not in logged.out + logged.err


def test_a_key_that_leaves_its_folder_is_not_linked(bucket) -> None:
    with pytest.raises(HostileInput):
        bucket.link("a/../../other-bucket/secret", 60)


def test_links_name_the_address_that_users_know(s3_gateway) -> None:
    known = s3_gateway.settings.model_copy(update={"public_endpoint": "https://objects.example.org"})
    link = S3Storage.of("s3://bucket/main", known).link("a b/c.xml", 60)
    assert link.startswith("https://objects.example.org/bucket/main/a%20b/c.xml?X-Amz-")
    assert "X-Amz-Expires=60&" in link
