"""What a product can be had as: `Locations`, its package and its single files, and `Assets`, its pictures.

Shapes: standards 2.1 and 2.14. A form that is computed while it is downloaded lies nowhere: its S3Path is null.
"""

from __future__ import annotations

from typing import Any, Final

import asyncpg
import orjson

from refsys.core.times import format_instant
from refsys.distribution import assets
from refsys.distribution.packages import is_written, written_path
from refsys.infra.storage import object_key

#: What a search, in which `p` is the product, needs besides for `Locations`.
COLUMNS: Final = (
    "p.packaging",
    "p.packaged_at",
    "p.package_layout",
    "p.package_size",
    "p.package_md5",
    "p.package_blake3",
    "content.size AS content_size",
)
JOIN: Final = " JOIN catalogue.content content ON content.id = p.content_id"

_COMPRESSED: Final = "Compressed"
_EXTRACTED: Final = "Extracted"


def assets_member(row: asyncpg.Record, root_url: str) -> str:
    """The member `Assets`, of a row with assets.COLUMN."""
    found = [asset(key, path, row["final_base"], root_url) for key, path in row["assets"] or ()]
    return f'"Assets":{orjson.dumps(found).decode()}'


def asset(key: str, path: str, base: str, root_url: str) -> dict[str, Any]:
    """A picture, which lies at `path` under the place `base` of its product."""
    return {
        "Type": assets.QUICKLOOK,
        "Id": key,
        "DownloadLink": f"{root_url}/Assets({key})/$value",
        "S3Path": f"/{object_key(base, path)}",
    }


def locations_member(row: asyncpg.Record, root_url: str) -> str:
    """The member `Locations`, of a row with COLUMNS; empty where the bytes are not online."""
    found = _locations(row, root_url) if row["online"] else []
    return f'"Locations":{orjson.dumps(found).decode()}'


def _locations(row: asyncpg.Record, root_url: str) -> list[dict[str, Any]]:
    product_url, base, name = f"{root_url}/Products({row['page_id']})", row["final_base"], row["name"]
    packaged_at = format_instant(row["packaged_at"])
    checksums = [
        {"Value": digest.hex(), "Algorithm": algorithm, "ChecksumDate": packaged_at}
        for algorithm, digest in (("MD5", row["package_md5"]), ("BLAKE3", row["package_blake3"]))
    ]
    is_file = row["packaging"] == "bare"
    path = written_path(name, row["package_md5"]) if is_written(row["package_layout"]) else None
    package = {
        "FormatType": _EXTRACTED if is_file else _COMPRESSED,
        "DownloadLink": f"{product_url}/$value",
        "ContentLength": row["package_size"],
        "Checksum": checksums,
        "S3Path": f"/{object_key(base, name)}" if is_file else None if path is None else f"/{object_key(base, path)}",
    }
    if is_file:
        return [package]
    files = {
        "FormatType": _EXTRACTED,
        "DownloadLink": f"{product_url}/Nodes",
        "ContentLength": row["content_size"],
        "Checksum": [],
        "S3Path": f"/{object_key(base, name)}",
    }
    return [package, files]
