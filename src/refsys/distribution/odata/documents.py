"""Products as OData JSON, rendered once at publication (shapes: standards 2.1).

A body is the text between the braces of a product's object, with one hole (VOLATILE) where the members go that change
later or are known only afterwards: dates of publication and eviction, whether it is online, where it lies. JSON has no
raw control characters, so the hole cannot be mistaken for content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from refsys.catalogue.model import Product
from refsys.core.times import FOREVER, format_instant
from refsys.missions import AttributeDefinition

#: To be raised whenever what is rendered here changes; older bodies are then rendered anew when they are read.
RENDER_VERSION: Final = 1
#: The kinds of bodies.
PRODUCT: Final = "odata.product"
ATTRIBUTES: Final = "odata.attributes"
VOLATILE: Final = "\x01"

MEDIA_TYPE: Final = "application/octet-stream"

_NEVER: Final = format_instant(FOREVER)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z")


@dataclass(frozen=True, slots=True)
class Volatile:
    """What a request adds to a product's body."""

    published_at: datetime
    modified_at: datetime
    online: bool
    evicted_at: datetime | None
    key: str
    deleted_at: datetime | None = None
    deletion_cause: str | None = None


def render_product(product: Product) -> str:
    """The members of a product, without attributes. It is packaged, so that its size and checksums are final.

    Of a product that is known by its metadata only, size and checksums are its source's, where that told them.
    """
    checksums = {"MD5": product.package_md5, "BLAKE3": product.package_blake3}
    before = {
        "@odata.mediaContentType": MEDIA_TYPE,
        "Id": str(product.id),
        "Name": product.name,
        "ContentType": MEDIA_TYPE,
        "ContentLength": product.package_size,
        "OriginDate": _instant(product.t0_raw),
    }
    after = {
        "Checksum": [_checksum(name, digest, product.packaged_at) for name, digest in checksums.items() if digest],
        "ContentDate": {"Start": _instant(product.sensing_start), "End": _instant(product.sensing_stop)},
        "Footprint": None if product.footprint is None else f"geography'SRID=4326;{wkt(product.footprint)}'",
        "GeoFootprint": product.footprint,
    }
    return f"{_members(before)},{VOLATILE},{_members(after)}"


def render_attributes(attributes: Mapping[str, Any], definitions: Mapping[str, AttributeDefinition]) -> str:
    """The member `Attributes`, by name."""
    rendered = [_attribute(name, attributes[name], definitions.get(name)) for name in sorted(attributes)]
    return _members({"Attributes": rendered})


def fill(body: str, volatile: Volatile) -> str:
    """A product's members, complete."""
    published = format_instant(volatile.published_at)
    is_modified = volatile.modified_at != volatile.published_at
    modified = format_instant(volatile.modified_at) if is_modified else published
    evicted = format_instant(volatile.evicted_at) if volatile.evicted_at else _NEVER
    members = (
        f'"PublicationDate":"{published}","ModificationDate":"{modified}",'
        f'"Online":{"true" if volatile.online else "false"},"EvictionDate":"{evicted}","S3Path":"/{volatile.key}"'
    )
    if volatile.deleted_at is not None:
        cause = orjson.dumps(volatile.deletion_cause).decode()
        members = f'"DeletionDate":"{format_instant(volatile.deleted_at)}","DeletionCause":{cause}'
    return body.replace(VOLATILE, members, 1)


def wkt(geometry: Mapping[str, Any]) -> str:
    """A GeoJSON geometry as well-known text: `POLYGON ((lon lat, lon lat, …))`."""
    return f"{geometry['type'].upper()} {_nested(geometry['coordinates'])}"


def _nested(coordinates: Any) -> str:
    if isinstance(coordinates[0], int | float):
        return f"({_position(coordinates)})"
    if isinstance(coordinates[0][0], int | float):
        return f"({', '.join(map(_position, coordinates))})"
    return f"({', '.join(map(_nested, coordinates))})"


def _position(position: Any) -> str:
    return f"{float(position[0]):.15g} {float(position[1]):.15g}"


def _attribute(name: str, value: Any, definition: AttributeDefinition | None) -> dict[str, Any]:
    kind = _kind(value) if definition is None else definition.type
    plain = " ".join(map(str, value)) if isinstance(value, list) else value
    return {
        "@odata.type": f"#OData.CSC.{kind}Attribute",
        "Name": name,
        "Value": plain if definition is None else definition.text(value),
        "ValueType": kind,
    }


def _kind(value: Any) -> str:
    """The type of an attribute that no table defines any more."""
    match value:
        case bool():
            return "Boolean"
        case int():
            return "Integer"
        case float():
            return "Double"
        case str() if _INSTANT.fullmatch(value):
            return "DateTimeOffset"
        case _:
            return "String"


def _checksum(algorithm: str, digest: bytes, made_at: datetime | None) -> dict[str, str | None]:
    return {"Value": digest.hex(), "Algorithm": algorithm, "ChecksumDate": _instant(made_at)}


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def _members(members: Mapping[str, Any]) -> str:
    """JSON members without the braces."""
    return orjson.dumps(members)[1:-1].decode()
