"""Products with bytes: in storage, arrived and described, as the stages before distribution leave them."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
from blake3 import blake3
from isal import isal_zlib

from refsys.catalogue import commands, store
from refsys.core.products import Arrival, Description, FileEntry
from refsys.distribution.packages import FilePart, lay_out
from refsys.infra.storage import Storage
from refsys.missions import load_types

GRD = "S1A_IW_GRDH_1SDV_20210809T173953_20210809T174018_039156_049F13_6FF8.SAFE"
#: Its type is packaged stored.
FRAME = "S3B_OL_1_EFR____20241028T094230_20241028T094530_20241028T114600_0179_099_136_2160_ESA_O_NR_004.SEN3"
EOF = "S1A_OPER_AUX_RESORB_OPOD_20210809T220535_V20210809T181212_20210809T212942.EOF"
START = datetime(2021, 8, 9, 17, 39, 53, tzinfo=UTC)
TYPES = load_types()

# the step that would describe it: it is described already
_DESCRIBED = """
WITH gone AS (DELETE FROM work.step WHERE stage = 'catalogue.describe' RETURNING id)
DELETE FROM work.pgqueuer q USING gone WHERE q.dedupe_key = gone.id::text
"""

#: Paths within the product → bytes; None is an empty folder; "" is the product itself where it is one file.
Contents = Mapping[str, bytes | None]


def path_of(name: str, path: str) -> str:
    return f"{name}/{path}" if path else name


def file_table(name: str, contents: Contents) -> tuple[FileEntry, ...]:
    """As ingestion makes it."""
    return tuple(
        FileEntry(path_of(name, path), 0, is_folder=True)
        if data is None
        else FileEntry(
            path_of(name, path),
            len(data),
            crc32=isal_zlib.crc32(data),
            md5=hashlib.md5(data).digest(),
            blake3=blake3(data).digest(),
        )
        for path, data in sorted(contents.items())
    )


def arrival_of(storage: Storage, contents: Contents, name: str, **rest: str) -> Arrival:
    """Write the files; returns what ingestion would say of them."""
    base = f"attempts/{uuid.uuid4()}"
    with storage.batch() as batch:
        for path, data in contents.items():
            if data is not None:
                batch.put(f"{base}/{path_of(name, path)}", data)
    return Arrival(name=name, base=base, files=file_table(name, contents), source="test", **rest)


async def store_product(
    pool: asyncpg.Pool,
    storage: Storage,
    contents: Contents,
    name: str = GRD,
    *,
    on_change: str = "park",
    priority: int = 50,
) -> tuple[UUID, int]:
    """Write the files, let them arrive and describe them; returns the ids of product and content."""
    arrival = arrival_of(storage, contents, name, on_change=on_change)
    async with pool.acquire() as connection, connection.transaction():
        content_id = await commands.arrive(connection, arrival, priority=priority)
        content = await store.fetch_content(connection, content_id)
        assert content is not None
        described = await commands.describe(
            connection,
            content,
            TYPES.recognise(name),
            Description(START, START, None, {"orbitNumber": 39156}),
            priority=priority,
        )
        await connection.execute(_DESCRIBED)
    return described.product_id, content_id


def package_of(contents: Contents, name: str = GRD) -> bytes:
    """The bytes that users get of a package that is computed."""
    files = file_table(name, contents)
    package = lay_out(0 if "" in contents else 1, name, START, files)
    data = {path_of(name, path): content or b"" for path, content in contents.items()}
    return b"".join(
        data[part.path][part.offset : part.offset + part.length] if isinstance(part, FilePart) else part
        for part in package.parts(0, package.size_bytes)
    )
