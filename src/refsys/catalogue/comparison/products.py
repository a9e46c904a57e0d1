"""One product as each side has it, by a name that both agree on, and what of it differs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import asyncpg
import shapely

from refsys.catalogue.store import as_written
from refsys.catalogue.takeover.known import checksums_of, instant_of, size_of, typed
from refsys.catalogue.takeover.odata import entity_of
from refsys.core.geojson import repair
from refsys.core.products import canonical_name
from refsys.core.times import FOREVER, format_instant, parse_instant
from refsys.missions import AttributeRule, TypeRegistry

#: Dates that differ by less are the same: hubs cut them to milliseconds, or round them.
_SAME: Final = timedelta(milliseconds=1)
#: Footprints of which a smaller share is common differ.
_COMMON: Final = 0.99
_FORMAT: Final = re.compile(r"\.(?:SAFE|SEN3)$", re.IGNORECASE)


class What(StrEnum):
    """What of a product is compared."""

    SIZE = "size"
    CHECKSUM = "checksum"
    SENSING = "sensing"
    ONLINE = "online"
    FOOTPRINT = "footprint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A product on one side.

    `sizes` and `checksums` (upper-case algorithm → hexadecimal values) are all that are known: here those of the
    package and those that its source announced.
    """

    key: str
    name: str
    id: str
    product_type: str = ""
    sizes: tuple[int, ...] = ()
    checksums: Mapping[str, Sequence[str]] = field(default_factory=dict)
    start: datetime | None = None
    stop: datetime | None = None
    online: bool | None = None
    footprint: Any = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    published: str = ""


#: Columns and joins of a search for `here`; attributes and footprints only where they are compared.
COLUMNS: Final = (
    "p.id", "p.name", "p.product_type", "p.package_size", "p.package_md5", "p.package_blake3", "p.sensing_start",
    "p.sensing_stop", "p.online", "c.origin_size", "c.origin_checksums",
)  # fmt: skip
JOINS: Final = " LEFT JOIN catalogue.content c ON c.id = p.content_id"


def key_of(name: str) -> str:
    """What both sides call a product: its name without suffixes of archives and formats."""
    return _FORMAT.sub("", canonical_name(name))


def names_of(key: str) -> list[str]:
    """The names that a product of this key can have."""
    return [key, f"{key}.SAFE", f"{key}.SEN3"]


def here(row: asyncpg.Record) -> Side:
    """A product of ours, of a row with COLUMNS."""
    checksums: dict[str, list[str]] = {name: [value] for name, value in row["origin_checksums"].items()}
    for name, digest in (("MD5", row["package_md5"]), ("BLAKE3", row["package_blake3"])):
        if digest:
            checksums.setdefault(name, []).append(digest.hex())
    instants = (row["sensing_start"], row["sensing_stop"])
    start, stop = (None if instant is None else as_written(instant) for instant in instants)
    return Side(
        key=key_of(row["name"]),
        name=row["name"],
        id=str(row["id"]),
        product_type=row["product_type"],
        sizes=tuple(size for size in (row["package_size"], row["origin_size"]) if size is not None),
        checksums=checksums,
        start=start,
        stop=stop,
        online=row["online"],
        footprint=row.get("footprint"),
        attributes=row.get("attributes") or {},
    )


def there(entity: Any, types: TypeRegistry) -> Side:
    """A product as a hub describes it. Raises ValueError where it is none."""
    known = entity_of(entity, types)
    if not known.name.strip() or len(known.name) > 1000:
        raise ValueError(f"has the name {known.name[:60]!a}")
    name = canonical_name(known.name)
    found = next(types.matching(name), None)
    size = size_of(known.size_bytes, [])
    online = entity.get("Online")
    attributes = {
        attribute: value
        for attribute, raw in known.attributes.items()
        if (value := typed(AttributeRule(types.attributes[attribute]), raw, [])) is not None
    }
    return Side(
        key=key_of(name),
        name=known.name,
        id=known.origin.get("id", ""),
        product_type="" if found is None else found.product_type,
        sizes=() if size is None else (size,),
        checksums={algorithm: [value] for algorithm, value in checksums_of(known.checksums).items()},
        start=instant_of("", known.start, []),
        stop=instant_of("", known.stop, []),
        online=online if isinstance(online, bool) else None,
        footprint=known.geometry,
        attributes=attributes,
        published=str(known.available_at or ""),
    )


def differences(ours: Side, theirs: Side, what: Sequence[What], attributes: Sequence[str]) -> dict[str, list[Any]]:
    """What differs, by name: the value here and the one there. What one side does not tell of bytes is passed over."""
    found: dict[str, list[Any]] = {}
    if What.SIZE in what and ours.sizes and theirs.sizes and theirs.sizes[0] not in ours.sizes:
        found["size"] = [ours.sizes[0], theirs.sizes[0]]
    if What.CHECKSUM in what:
        for algorithm in sorted(ours.checksums.keys() & theirs.checksums.keys()):
            values, theirs_too = ours.checksums[algorithm], theirs.checksums[algorithm]
            if not set(values) & set(theirs_too):
                found[f"checksum {algorithm}"] = [values[-1], theirs_too[0]]
    if What.SENSING in what:
        for name, instant, other in (("start", ours.start, theirs.start), ("stop", ours.stop, theirs.stop)):
            if not _is_same(instant, other):
                found[f"sensing {name}"] = [_shown(instant), _shown(other)]
    if What.ONLINE in what and theirs.online is not None and ours.online is not theirs.online:
        found["online"] = [ours.online, theirs.online]
    if What.FOOTPRINT in what and (share := _common_share(ours.footprint, theirs.footprint)) < _COMMON:
        found["footprint"] = [f"{share:.0%} of it is common", theirs.footprint]
    for name in attributes:
        value, another = ours.attributes.get(name), theirs.attributes.get(name)
        if not _is_same(value, another):
            found[f"attribute {name}"] = [_shown(value), _shown(another)]
    return found


def _is_same(one: Any, other: Any) -> bool:
    one, other = _comparable(one), _comparable(other)
    if isinstance(one, datetime) and isinstance(other, datetime):
        return abs(one - other) <= _SAME or one.year == other.year == FOREVER.year
    if isinstance(one, float) or isinstance(other, float):
        return isinstance(one, int | float) and isinstance(other, int | float) and math.isclose(one, other)
    return bool(one == other)


def _comparable(value: Any) -> Any:
    """Lists in any order; dates as dates, which are texts in our attributes."""
    if isinstance(value, list):
        return sorted(map(str, value))
    if isinstance(value, str) and value.endswith("Z") and value[:4].isdigit():
        try:
            return parse_instant(value)
        except ValueError:
            return value
    return value


def _common_share(one: Any, other: Any) -> float:
    """How much of two footprints is common to both, 0 to 1; of none and none: all."""
    shapes = []
    for geometry in (one, other):
        try:
            found = repair(geometry).geometry if geometry is not None else None
        except ValueError:
            found = None
        shapes.append(shapely.geometry.shape(found) if found else None)
    ours, theirs = shapes
    if ours is None or theirs is None:
        return float(ours is theirs)
    if not (ours.area and theirs.area):
        return float(ours.equals_exact(theirs, 1e-6) or ours.hausdorff_distance(theirs) < 0.01)
    return float(ours.intersection(theirs).area / ours.union(theirs).area)


def _shown(value: Any) -> Any:
    return format_instant(value) if isinstance(value, datetime) else value
