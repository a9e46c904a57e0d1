"""A thin OData front: listings that nginx answers from files, whatever is asked, and `$value` from other files."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

SESSION: Final = "S1A_20200105072204030888"
ROOT: Final = "/odata/v1"
#: Pages are chosen by `page` alone; the last one is empty.
LOCATIONS: Final = """
location ~ "^/odata/v1/(?<set>Files|Sessions|Products)$" {
    default_type application/json;
    set $page 1;
    if ($arg_page) { set $page $arg_page; }
    rewrite ^ /listing/$set-$page.json break;
}
location ~ "^/odata/v1/[A-Za-z]+\\((?<id>[0-9a-f-]+)\\)/.value$" { rewrite ^ /bytes/$id break; }
"""
_BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Front:
    """What lies below `www`: `bytes/<id>` and `listing/<set>-<page>.json`; `names` by id."""

    www: Path
    names: dict[str, str]

    def path(self, identity: str) -> str:
        """Of a file's bytes, as nginx serves them."""
        return f"/bytes/{identity}"


def session(www: Path, blocks: int, size_bytes: int) -> Front:
    """A complete session of two channels; its blocks are one file of random bytes under many names."""
    (www / "bytes").mkdir(parents=True)
    source = www / "block"
    with source.open("wb") as file:
        for offset in range(0, size_bytes, 2**24):
            file.write(os.urandom(min(2**24, size_bytes - offset)))
    names: dict[str, str] = {}
    entries = []
    for number in range(blocks):
        channel, block = number % 2 + 1, number // 2 + 1
        name = f"DCS_01_{SESSION}_ch{channel}_DSDB_{block:05}.raw"
        identity = _identity(name)
        (www / "bytes" / identity).hardlink_to(source)
        names[identity] = name
        is_final = number >= blocks - 2
        entries.append(
            {
                "Id": identity, "Name": name, "SessionId": SESSION, "Channel": channel, "BlockNumber": block,
                "FinalBlock": is_final, "PublicationDate": _date(number), "EvictionDate": "2100-01-01T00:00:00.000Z",
                "Size": size_bytes, "Retransfer": False,
            }
        )  # fmt: skip
    said = {
        "Id": _identity(SESSION), "SessionId": SESSION, "NumChannels": 2, "PublicationDate": _date(0),
        "Satellite": "S1A",
        "StationUnitId": "01", "DownlinkOrbit": 30650, "AcquisitionId": "1", "AntennaId": "1", "FrontEndId": "1",
        "Retransfer": False, "AntennaStatusOK": True, "FrontEndStatusOK": True, "PlannedDataStart": _date(0),
        "PlannedDataStop": _date(1), "DownlinkStart": _date(0), "DownlinkStop": _date(1), "DownlinkStatusOK": True,
        "DeliveryPushOK": True,
    }  # fmt: skip
    _list(www, "Sessions", [said])
    _list(www, "Files", entries)
    return Front(www, names)


def auxiliaries(www: Path, count: int, size_bytes: int) -> Front:
    """Restituted orbits of random bytes, with their MD5."""
    (www / "bytes").mkdir(parents=True)
    names: dict[str, str] = {}
    entries = []
    for number in range(count):
        name, data = orbit_name(number), os.urandom(size_bytes)
        identity = _identity(name)
        (www / "bytes" / identity).write_bytes(data)
        names[identity] = name
        entries.append(product(number, name, size_bytes, hashlib.md5(data, usedforsecurity=False).hexdigest()))
    _list(www, "Products", entries)
    return Front(www, names)


def listing(www: Path, numbers: Iterable[int]) -> None:
    """Products that are only listed."""
    (www / "listing").mkdir(parents=True, exist_ok=True)
    for old in (www / "listing").iterdir():
        old.unlink()
    _list(www, "Products", [product(number, orbit_name(number), 20_000, f"{number:032x}") for number in numbers])


def product(number: int, name: str, size_bytes: int, md5: str) -> dict[str, Any]:
    """An entry of a PRIP's listing."""
    begin = _BEGIN + timedelta(seconds=number)
    return {
        "@odata.mediaContentType": "application/octet-stream", "Id": _identity(name), "Name": name,
        "ContentType": "application/octet-stream", "ContentLength": size_bytes, "OriginDate": _date(number),
        "PublicationDate": _date(number), "EvictionDate": "2100-01-01T00:00:00.000Z",
        "ProductionType": "systematic_production",
        "ContentDate": {"Start": f"{begin:%Y-%m-%dT%H:%M:%S}.000Z", "End": f"{begin:%Y-%m-%dT%H:%M:%S}.000Z"},
        "Checksum": [{"Algorithm": "MD5", "Value": md5, "ChecksumDate": _date(number)}],
    }  # fmt: skip


def orbit_name(number: int) -> str:
    """Of the auxiliary with this number."""
    begin = _BEGIN + timedelta(seconds=number)
    return f"S1A_OPER_AUX_RESORB_OPOD_{begin:%Y%m%dT%H%M%S}_V{begin:%Y%m%dT%H%M%S}_{begin:%Y%m%dT%H%M%S}.EOF"


def _identity(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _date(number: int) -> str:
    return f"{_BEGIN + timedelta(seconds=number):%Y-%m-%dT%H:%M:%S}.000Z"


def _list(www: Path, entity_set: str, entries: list[dict[str, Any]], page_size: int = 1000) -> None:
    folder = www / "listing"
    folder.mkdir(exist_ok=True)
    pages = [entries[first : first + page_size] for first in range(0, len(entries), page_size)] or [[]]
    for number, page in enumerate(pages, 1):
        shown: dict[str, Any] = {"value": page}
        if page:
            shown["@odata.nextLink"] = f"{entity_set}?page={number + 1}"
        (folder / f"{entity_set}-{number}.json").write_text(json.dumps(shown))
    (folder / f"{entity_set}-{len(pages) + 1}.json").write_text('{"value": []}')
