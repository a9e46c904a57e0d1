"""`Products(id)/$value` over a real connection: exact bytes, ranges, resumption, conditions, and what breaks off."""

from __future__ import annotations

import asyncio
import io
import os
import random
import socket
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import psutil
import pytest
from blake3 import blake3

from refsys.core.products import product_id
from refsys.distribution.odata import streaming
from refsys.infra.settings import Settings
from refsys.infra.storage import Reader, Storage
from refsys.infra.storage.local import LocalStorage
from refsys.runtime.serving import serve
from refsys.web.app import create_app
from tests.published import ONE, WHOLE, Server, lose_the_bytes, publish
from tests.stored_products import EOF, GRD, TYPES, package_of, store_product
from tests.waiting import wait_for

UNKNOWN = UUID(int=4)


@pytest.fixture(params=["local", "s3"])
def stored(request: pytest.FixtureRequest, storage: Storage) -> Storage:
    """Both kinds of storage."""
    return storage if request.param == "local" else request.getfixturevalue("s3_gateway").storage()


@pytest.fixture
async def make_server(pool: asyncpg.Pool, settings: Settings) -> AsyncIterator[object]:
    """Start a server on some storage."""
    stop, running = asyncio.Event(), []

    async def start(storage: Storage) -> Server:
        app = create_app(pool=pool, storage=storage, types=TYPES, settings=settings)
        listening = socket.create_server(("127.0.0.1", 0))
        ready = asyncio.Event()
        running.append(asyncio.create_task(serve(app, listening, ready=ready.set, stop=stop, drain_s=1)))
        await ready.wait()
        return Server(listening.getsockname()[1])

    yield start
    stop.set()
    await asyncio.gather(*running)


@pytest.fixture
async def server(make_server, storage: Storage) -> Server:
    return await make_server(storage)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=20) as client:
        yield client


async def test_the_whole_package_comes_as_it_was_sealed(make_server, stored, pool, client) -> None:
    server, identity = await make_server(stored), await publish(pool, stored)
    response = await client.get(server.value(identity))
    assert response.status_code == 200
    assert response.content == WHOLE
    product = (await client.get(f"{server.url}/odata/v1/Products({identity})")).json()
    assert product["ContentLength"] == len(response.content)
    checksums = {entry["Algorithm"]: entry["Value"] for entry in product["Checksum"]}
    assert checksums["BLAKE3"] == blake3(response.content).hexdigest()
    assert response.headers["content-length"] == str(len(WHOLE))
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == f'attachment; filename="{GRD}.zip"'
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["etag"] == f'"{checksums["MD5"]}"'
    assert "content-range" not in response.headers
    with zipfile.ZipFile(io.BytesIO(response.content)) as found:
        assert found.testzip() is None


async def test_quoted_ids_and_other_options_do_not_matter(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    assert (await client.get(f"{server.url}/odata/v1/Products('{identity}')/%24value?client=x")).content == WHOLE


async def test_a_product_that_is_one_file_comes_as_that_file(make_server, stored, pool, client) -> None:
    server = await make_server(stored)
    identity = await publish(pool, stored, {"": b"<Earth_Explorer_File/>"}, EOF)
    response = await client.get(server.value(identity))
    assert response.content == b"<Earth_Explorer_File/>"
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"] == f'attachment; filename="{EOF}"'
    part = await client.get(server.value(identity), headers={"range": "bytes=1-5"})
    assert (part.status_code, part.content) == (206, b"Earth")


async def test_ranges_anywhere_are_pieces_of_the_whole(make_server, stored, pool, client) -> None:
    server, identity = await make_server(stored), await publish(pool, stored)
    rng = random.Random(3)
    size = len(WHOLE)
    spans = [(0, 1), (0, size), (size - 1, size), (size - 22, size), (size // 2, size)]
    spans += [tuple(sorted(rng.sample(range(size + 1), 2))) for _ in range(15)]
    for start, stop in spans:
        response = await client.get(server.value(identity), headers={"range": f"bytes={start}-{stop - 1}"})
        assert response.status_code == 206
        assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert response.headers["content-length"] == str(stop - start)
        assert response.content == WHOLE[start:stop]


async def test_a_download_that_was_cut_again_and_again_is_resumed_byte_for_byte(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    first = await client.head(server.value(identity))
    got = b""
    for step in (100_000, 7, 2_000_000, 1, 10**9):
        headers = {"range": f"bytes={len(got)}-", "if-range": first.headers["etag"]}
        async with client.stream("GET", server.value(identity), headers=headers) as response:
            assert response.status_code == 206
            piece = b""
            async for data in response.aiter_raw():
                piece += data
                if len(piece) >= step:
                    break
        got += piece[:step]
    assert got == WHOLE


async def test_head_tells_everything_and_reads_nothing(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    await lose_the_bytes(pool, storage, identity)
    whole = await client.head(server.value(identity), headers={"range": "bytes=0-0"})
    assert (whole.status_code, whole.content) == (200, b"")
    assert whole.headers["content-length"] == str(len(WHOLE))
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["etag"].startswith('"')


async def test_conditions(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    url = server.value(identity)
    head = await client.head(url)
    etag, date = head.headers["etag"], head.headers["last-modified"]

    async def get(**headers: str) -> httpx.Response:
        return await client.get(url, headers={name.replace("_", "-"): text for name, text in headers.items()})

    unchanged = await get(if_none_match=etag)
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    assert (await get(if_modified_since=date)).status_code == 304
    assert (await client.head(url, headers={"if-none-match": etag})).status_code == 304
    failed = await get(if_match='"other"')
    assert (failed.status_code, failed.json()["error"]["code"]) == (412, "PreconditionFailed")
    assert (await get(if_match=etag, range="bytes=0-3")).content == b"PK\3\4"
    assert (await get(if_range=date, range="bytes=0-3")).content == b"PK\3\4"
    assert (await get(if_range='"other"', range="bytes=0-3")).content == WHOLE
    assert (await get(range="bytes=0-3,10-12")).content == WHOLE


async def test_a_range_behind_the_end_is_told_the_size(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    response = await client.get(server.value(identity), headers={"range": f"bytes={len(WHOLE)}-"})
    assert response.status_code == 416
    assert response.headers["content-range"] == f"bytes */{len(WHOLE)}"
    assert response.json()["error"]["code"] == "RangeNotSatisfiable"


async def test_only_what_users_may_see_is_served(server, storage, pool, client) -> None:
    described, _ = await store_product(pool, storage, ONE)
    assert (await client.get(server.value(described))).status_code == 404
    assert (await client.get(server.value(UNKNOWN))).status_code == 404
    assert (await client.get(f"{server.url}/odata/v1/Products(1)/$value")).status_code == 400
    assert (await client.post(server.value(described))).status_code == 405
    name = EOF
    identity = await publish(pool, storage, {"": b"x"}, name)
    await pool.execute("UPDATE catalogue.product SET visibility = 'internal' WHERE id = $1", identity)
    assert (await client.get(server.value(identity))).status_code == 404
    await pool.execute("UPDATE catalogue.product SET visibility = 'public', online = false WHERE id = $1", identity)
    offline = await client.get(server.value(identity))
    assert offline.status_code == 404
    assert offline.json()["error"]["message"] == f"the bytes of {name} are not online"


async def test_what_was_taken_away_is_gone_with_its_cause(server, storage, pool, client) -> None:
    old = await publish(pool, storage)
    new = await publish(pool, storage, ONE | {"void": b"filled"}, on_change="revise")
    assert new == product_id(GRD, 2)
    gone = await client.get(server.value(old))
    assert gone.status_code == 410
    error = gone.json()["error"]
    assert error["code"] == "Gone"
    assert error["message"].startswith(f"{GRD} was taken away on ")
    assert error["message"].endswith(": Obsolete product or Other")
    assert (await client.get(server.value(new))).content == package_of(ONE | {"void": b"filled"})


async def test_bytes_that_are_missing_before_the_first_was_sent_are_an_error(server, storage, pool, client) -> None:
    identity = await publish(pool, storage)
    await lose_the_bytes(pool, storage, identity)
    response = await client.get(server.value(identity))
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert response.json()["error"]["message"].startswith(f"{GRD}: its bytes cannot be read at the moment")


@pytest.mark.parametrize("path", ["measurement/iw-vh.tiff", "measurement/iw-vv.tiff"])
async def test_bytes_that_are_missing_in_the_middle_break_the_connection(
    server, storage, pool, client, capsys, path: str
) -> None:
    identity = await publish(pool, storage)
    base = await pool.fetchval("SELECT final_base FROM catalogue.product WHERE id = $1", identity)
    os.truncate(storage.root / base / GRD / path, len(ONE[path]) - 1)
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection without sending complete"):
        await client.get(server.value(identity))
    logged = capsys.readouterr().out
    assert "download.broken" in logged
    assert f"{GRD}: its file {GRD}/{path} ends at {len(ONE[path]) - 1} bytes" in logged


def open_files(folder: Path) -> list[str]:
    return [file.path for file in psutil.Process().open_files() if Path(file.path).is_relative_to(folder)]


async def test_a_client_that_leaves_frees_everything(server, storage, pool, client, capsys) -> None:
    large = {"measurement/a.tiff": bytes(64 * 2**20)}
    identity = await publish(pool, storage, large)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**16)
    writer.write(f"GET /odata/v1/Products({identity})/$value HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    await wait_for(lambda: open_files(storage.root))
    writer.transport.abort()
    await wait_for(lambda: not open_files(storage.root))
    await wait_for(lambda: "download.left" in capsys.readouterr().out)
    assert len((await client.get(server.value(identity))).content) > 64 * 2**20
    await wait_for(lambda: not open_files(storage.root))


async def test_many_clients_at_once_get_their_own_bytes(server, storage, pool, client) -> None:
    other = {"measurement/a.tiff": random.Random(5).randbytes(5 * 2**20)}
    name = GRD.replace("6FF8", "7000")
    first, second = await publish(pool, storage), await publish(pool, storage, other, name)
    urls = [server.value(first), server.value(second)] * 6
    found = await asyncio.gather(*(client.get(url) for url in urls))
    assert [response.content for response in found] == [WHOLE, package_of(other, name)] * 6


class Remote(LocalStorage):
    """Storage of which nothing is ever in memory, as behind a network; it notes what is asked of it."""

    def __init__(self, storage: LocalStorage) -> None:
        super().__init__(storage.root)
        self.lengths: list[int] = []

    def open(self, key: str) -> Reader:
        return _RemoteReader(super().open(key), self.lengths)


class _RemoteReader:
    def __init__(self, reader: Reader, lengths: list[int]) -> None:
        self._reader = reader
        self._lengths = lengths
        self.size_bytes = reader.size_bytes

    def read_at(self, offset: int, length: int) -> bytes:
        self._lengths.append(length)
        return self._reader.read_at(offset, length)

    def read_now(self, offset: int, length: int) -> None:
        return None

    def close(self) -> None:
        self._reader.close()


async def test_the_longer_reading_takes_the_larger_its_pieces_become(
    make_server, storage, pool, client, monkeypatch
) -> None:
    monkeypatch.setattr(streaming, "_LONG_S", 0.0)
    remote = Remote(storage)
    server = await make_server(remote)
    contents = {"measurement/a.tiff": random.Random(6).randbytes(20 * 2**20)}
    identity = await publish(pool, storage, contents)
    assert (await client.get(server.value(identity))).content == package_of(contents)
    assert [length / 2**20 for length in remote.lengths] == [0.5, 0.5, 1, 2, 4, 4, 4, 4]
