"""Published products with bytes, and a server from which they are downloaded."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg

from refsys.catalogue import commands, store
from refsys.distribution.packages import Deflating, Sealing, lay_out, written_path
from refsys.distribution.rendering import store_documents
from refsys.infra.settings import DownloadSettings, Settings
from refsys.infra.storage import Storage
from refsys.runtime.serving import serve
from refsys.web.app import create_app
from tests.stored_products import GRD, TYPES, Contents, package_of, store_product

ONE: Contents = {
    "manifest.safe": b"<xfdu/>",
    "measurement/iw-vh.tiff": random.Random(1).randbytes(3 * 2**20 + 17),
    "measurement/iw-vv.tiff": random.Random(2).randbytes(600_001),
    "support": None,
    "void": b"",
}
WHOLE = package_of(ONE)


async def publish(
    pool: asyncpg.Pool,
    storage: Storage,
    contents: Contents = ONE,
    name: str = GRD,
    *,
    is_written: bool = False,
    **how: str,
) -> UUID:
    """What the stages do, without their steps; the package is computed, or written."""
    identity, content_id = await store_product(pool, storage, contents, name, **how)
    async with pool.acquire() as connection, connection.transaction():
        product = await store.fetch_product(connection, identity)
        content = await store.fetch_content(connection, content_id)
        files = await store.files_of(connection, content_id)
        assert product is not None
        assert content is not None
        base, start = product.final_base, product.sensing_start
        storage.move(content.base, base, [entry.path for entry in files if not entry.is_folder])
        if is_written:
            layout = 2
            sealer: Any = Deflating(storage, base, name, start, files, target=f"attempts/{identity}/{name}.zip")
        else:
            layout = 0 if "" in contents else 1
            sealer = Sealing(storage, base, name, lay_out(layout, name, start, files), files)
        assert not sealer.advance()
        seal = sealer.seal()
        if is_written:
            folder = written_path(name, seal.md5).rpartition("/")[0]
            storage.move(f"attempts/{identity}", f"{base}/{folder}", [seal.package_name])
        assert await commands.set_packaged(
            connection, identity, content_id, base=base, layout=layout,
            package_name=seal.package_name, size_bytes=seal.size_bytes, md5=seal.md5, blake3=seal.blake3,
        )  # fmt: skip
        packaged = await store.fetch_product(connection, identity)
        assert packaged is not None
        await store_documents(connection, packaged, TYPES)
        assert await commands.publish(connection, identity, content_id)
    return identity


async def lose_the_bytes(pool: asyncpg.Pool, storage: Storage, identity: UUID) -> None:
    base = await pool.fetchval("SELECT final_base FROM catalogue.product WHERE id = $1", identity)
    storage.delete_prefix(f"{base}/")
    assert not list(storage.list(base))


class Server:
    """The application in a real server, in this process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def value(self, identity: UUID) -> str:
        return f"{self.url}/odata/v1/Products({identity})/$value"


@contextlib.asynccontextmanager
async def serving(
    pool: asyncpg.Pool, storage: Storage, settings: Settings, stall_s: float = 60.0, **download: Any
) -> AsyncIterator[Server]:
    """A server with these settings of [download]."""
    limited = settings.model_copy(update={"download": DownloadSettings(**download)})
    app = create_app(pool=pool, storage=storage, types=TYPES, settings=limited)
    listening = socket.create_server(("127.0.0.1", 0))
    ready, stop = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(
        serve(app, listening, ready=ready.set, stop=stop, drain_s=1, stall_s=stall_s, proxies=settings.http.proxies)
    )
    await ready.wait()
    try:
        yield Server(listening.getsockname()[1])
    finally:
        stop.set()
        await running
