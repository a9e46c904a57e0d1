"""Products as the PRIP shows them (distribution 6.3, Annex A): made of the catalogue's row when they are asked for.

Dates are cut to milliseconds. Footprints are GeoJSON with the member `crs` that the reference gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from refsys.catalogue.store import as_written
from refsys.core.times import FOREVER
from refsys.distribution.assets import Asset
from refsys.distribution.odata import documents as odata
from refsys.distribution.prip.vocabulary import PRODUCTION_TYPE, SYSTEMATIC, TYPED
from refsys.missions import AttributeDefinition

#: What a product has besides its control information, in the order of the output.
PROPERTIES: Final = (
    "Id", "Name", "Online", "ContentType", "ContentLength", "PublicationDate", "EvictionDate", "OriginDate", "Checksum",
    PRODUCTION_TYPE, "ContentDate", "Footprint", "GeoFootprint",
)  # fmt: skip
MEDIA_TYPE: Final = "@odata.mediaContentType"

#: The columns of `catalogue.product p` that a product is made of, and those of its attributes.
COLUMNS: Final = tuple(
    f"p.{column}"
    for column in (
        "id", "name", "package_name", "package_size", "package_md5", "package_blake3", "packaged_at", "published_at",
        "evicted_at", "online", "t0_raw", "sensing_start", "sensing_stop", "footprint",
    )
)  # fmt: skip
ATTRIBUTES_COLUMN: Final = "p.attributes"

_CRS: Final = {"type": "name", "properties": {"name": "EPSG:4326"}}

Definitions = Mapping[str, AttributeDefinition]


def product(row: Mapping[str, Any], select: Sequence[str]) -> dict[str, Any]:
    """The members of a product; those of `select`, or all where it names none."""
    footprint = None if row["footprint"] is None else {**row["footprint"], "crs": _CRS}
    checksums = {"MD5": row["package_md5"], "BLAKE3": row["package_blake3"]}
    members = {
        "Id": str(row["id"]),
        "Name": row["package_name"] or row["name"],
        "Online": row["online"],
        "ContentType": odata.MEDIA_TYPE,
        "ContentLength": row["package_size"],
        "PublicationDate": _date(row["published_at"]),
        "EvictionDate": _date(row["evicted_at"] or FOREVER),
        "OriginDate": _date(row["t0_raw"]),
        "Checksum": [
            {"Algorithm": algorithm, "Value": digest.hex(), "ChecksumDate": _date(row["packaged_at"])}
            for algorithm, digest in checksums.items()
            if digest
        ],
        PRODUCTION_TYPE: SYSTEMATIC,
        "ContentDate": {"Start": _date(row["sensing_start"]), "End": _date(row["sensing_stop"])},
        "Footprint": footprint,
        "GeoFootprint": footprint,
    }
    return {MEDIA_TYPE: odata.MEDIA_TYPE, **{name: members[name] for name in select or PROPERTIES}}


def expanded(
    row: Mapping[str, Any], expand: Iterable[str], assets: Sequence[Asset], definitions: Definitions
) -> dict[str, Any]:
    """The members that `$expand` adds. `row` has the attributes where any of them are named."""
    members: dict[str, Any] = {}
    found = attributes(row["attributes"], definitions) if set(expand) - {"Quicklooks"} else []
    for name in expand:
        if name == "Quicklooks":
            members[name] = [quicklook(row["name"], asset) for asset in assets]
        else:
            kind = TYPED.get(name)
            members[name] = [entity for entity in found if kind in (None, entity["ValueType"])]
    return members


def attributes(values: Mapping[str, Any], definitions: Definitions) -> list[dict[str, Any]]:
    """Entities of attributes by their names in the PRIP; those that have none there are left out."""
    entities = []
    for entity in orjson.loads(f"{{{odata.render_attributes(values, definitions)}}}")["Attributes"]:
        definition = definitions.get(entity["Name"])
        name = entity["Name"] if definition is None else definition.prip
        value, kind = entity["Value"], entity["ValueType"]
        if name:
            shown = f"{value[:23]}Z" if kind == "DateTimeOffset" else value
            entities.append({"@odata.type": entity["@odata.type"], "Name": name, "ValueType": kind, "Value": shown})
    return sorted(entities, key=lambda entity: str(entity["Name"]))


def quicklook(product_name: str, asset: Asset) -> dict[str, Any]:
    """A picture; its key is a name that a file can have: the product's, and the picture's own."""
    return {MEDIA_TYPE: asset.media_type, "Image": f"{product_name}_{asset.path.rpartition('/')[2]}"}


def context(path: str, select: Sequence[str] = (), expand: Sequence[str] = ()) -> str:
    """The `@odata.context` of what is at a path below the root, with what was selected and expanded of it."""
    parts = [*(select if len(select) < len(PROPERTIES) else ()), *(f"{name}()" for name in expand)]
    return f"$metadata#{path}({','.join(parts)})" if parts else f"$metadata#{path}"


def _date(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    written = as_written(instant).astimezone(UTC).isoformat(timespec="milliseconds")
    return f"{written.removesuffix('+00:00')}Z"
