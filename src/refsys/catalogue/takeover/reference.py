"""Documents of the reference's Elasticsearch: its catalogue and its PRIP index, one JSON object a line.

A line is a document as it was stored, or a hit with the document as its `_source`. Documents of both indices may be
mixed; of the same product the first one counts (a PRIP document knows size, checksum and id, the other does not).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from refsys.catalogue.takeover.entering import Batch, Found
from refsys.catalogue.takeover.known import Known
from refsys.core.errors import ConfigurationError
from refsys.missions import TypeRegistry

#: Longest line in bytes.
LONGEST: Final = 16 * 2**20
_BATCH: Final = 500

#: Where a document of the catalogue has the footprint: geo shapes, or for Sentinel-1 `lat,lon lat,lon …`.
_SHAPES: Final = ("sliceCoordinates", "segmentCoordinates", "coordinates")
_ATTRIBUTE: Final = re.compile(r"attr_(.+)_(?:string|long|double|date|boolean)")
_PAIRS: Final = re.compile(r"\s*(-?[0-9.eE+-]+),(-?[0-9.eE+-]+)(?:\s+|$)")


def document_of(document: Any, types: TypeRegistry) -> Known:
    """A product as a document describes it. Raises ValueError where it describes none."""
    if isinstance(document, Mapping) and isinstance(document.get("_source"), Mapping):
        document = document["_source"]
    if not isinstance(document, Mapping):
        raise ValueError("is no document")
    if isinstance(document.get("productName"), str):
        return _of_catalogue(document, types)
    if isinstance(document.get("name"), str):
        return _of_prip(document, types)
    raise ValueError("has neither productName nor name")


def _of_catalogue(document: Mapping[str, Any], types: TypeRegistry) -> Known:
    attributes: dict[str, Any] = {}
    for name, definition in types.attributes.items():
        values = (document.get(key) for key in definition.reference)
        value = next((value for value in values if value not in (None, "", [])), None)
        if value is not None and not isinstance(value, Mapping):
            attributes[name] = value
    shapes = (document.get(key) for key in _SHAPES)
    geometry = next((shape for shape in shapes if shape), None)
    return Known(
        name=document["productName"],
        attributes=attributes,
        geometry=_of_pairs(geometry) if isinstance(geometry, str) else geometry,
        start=document.get("startTime") or document.get("validityStartTime"),
        stop=document.get("stopTime") or document.get("validityStopTime"),
        available_at=document.get("insertionTime"),
        t0_raw=document.get("t0PdgsDate"),
        origin=_texts(document, {"url": "url", "family": "productFamily"}),
    )


def _of_prip(document: Mapping[str, Any], types: TypeRegistry) -> Known:
    ours = {definition.prip: name for name, definition in types.attributes.items() if definition.prip}
    attributes: dict[str, Any] = {}
    for key, value in document.items():
        match = _ATTRIBUTE.fullmatch(key)
        if match and (name := ours.get(match[1], match[1] if match[1] in types.attributes else "")):
            attributes.setdefault(name, value)
    checksums = document.get("checksum")
    return Known(
        name=document["name"],
        attributes=attributes,
        geometry=document.get("footprint"),
        start=document.get("contentDateStart"),
        stop=document.get("contentDateEnd"),
        available_at=document.get("creationDate"),
        t0_raw=document.get("originDate"),
        size_bytes=document.get("contentLength"),
        checksums=[
            (item.get("algorithm"), item.get("value"))
            for item in (checksums if isinstance(checksums, list) else ())
            if isinstance(item, Mapping)
        ],
        origin=_texts(document, {"id": "id", "key": "obsKey", "family": "productFamily"}),
    )


def _texts(document: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, str]:
    found = {name: document.get(key) for name, key in keys.items()}
    return {name: value[:1000].replace("\0", "") for name, value in found.items() if isinstance(value, str) and value}


def _of_pairs(text: str) -> Any:
    """`lat,lon lat,lon …` as GeoJSON; two positions are a track."""
    pairs = _PAIRS.findall(text)
    if not pairs or _PAIRS.sub("", text).strip():
        return text[:100]
    try:
        points = [[float(lon), float(lat)] for lat, lon in pairs]
    except ValueError:
        return text[:100]
    if len(points) < 3:
        return {"type": "LineString", "coordinates": points}
    return {"type": "Polygon", "coordinates": [points]}


async def lines(path: Path, types: TypeRegistry, place: Mapping[str, Any]) -> AsyncIterator[Batch]:
    """The documents of a file from a place that was reached on. Raises ConfigurationError where it cannot be read."""
    try:
        file = await asyncio.to_thread(path.open, "rb")
        size = (await asyncio.to_thread(path.stat)).st_size
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", subject=str(path)) from error
    with file:
        # a file that was replaced by a shorter one is another file
        offset, number = (place["offset"], place["line"]) if 0 < place.get("offset", 0) <= size else (0, 0)
        file.seek(offset)
        while batch := await asyncio.to_thread(_next, file, path, number, types):
            number = batch.place["line"]
            yield batch


def _next(file: BinaryIO, path: Path, number: int, types: TypeRegistry) -> Batch | None:
    """The next batch of a file, None at its end."""
    found: list[Found] = []
    begun = number
    for line in _lines(file):
        number += 1
        if line is None:
            found.append(Found(f"{path}:{number}", why=f"the line is longer than {LONGEST} bytes"))
        elif line.strip():
            found += _of_line(line, f"{path}:{number}", types)
        if len(found) >= _BATCH:
            break
    return Batch(found, {"offset": file.tell(), "line": number}) if number > begun else None


def _lines(file: BinaryIO) -> Iterable[bytes | None]:
    """Line by line, None for one that is too long."""
    while line := file.readline(LONGEST + 1):
        if len(line) <= LONGEST:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST)
        yield None


def _of_line(line: bytes, place: str, types: TypeRegistry) -> list[Found]:
    try:
        document = orjson.loads(line)
        if isinstance(document, Mapping) and document.keys() <= {"index", "create"}:
            return []  # the line before a document in the form of bulk requests
        return [Found(place, document_of(document, types))]
    except orjson.JSONDecodeError as error:
        return [Found(place, why=f"the line is not JSON: {error}")]
    except ValueError as error:
        return [Found(place, why=f"the document {error}")]
