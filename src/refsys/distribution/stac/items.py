"""Products as STAC 1.1 items, rendered once at publication (standards 2.5; the mapping of attributes is in the tables).

A body is the JSON text of an item with places for what changes later or is known only when it is read: a hole in the
properties (VOLATILE) for dates and whether the product is online, BASE for the service's address in links and assets,
STORE for the product's place in a bucket.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

import orjson

from refsys.catalogue.model import Product
from refsys.core import footprints
from refsys.core.products import FileEntry
from refsys.core.times import FOREVER, format_instant
from refsys.distribution.assets import Asset
from refsys.distribution.stac.assets import ALTERNATE, BASE, STORE, render_assets
from refsys.missions import TypeRegistry

#: To be raised whenever what is rendered here changes; older bodies are then rendered anew when they are read.
RENDER_VERSION: Final = 1
#: The kind of these bodies.
ITEM: Final = "stac.item"
VOLATILE: Final = "\x01"
STAC_VERSION: Final = "1.1.0"

_STAC: Final = "https://stac-extensions.github.io"
#: The extension of each prefix that fields may have; other prefixes are private.
EXTENSIONS: Final[Mapping[str, str]] = {
    "eo": f"{_STAC}/eo/v2.0.0/schema.json",
    "eopf": "https://cs-si.github.io/eopf-stac-extension/v1.2.0/schema.json",
    "grid": f"{_STAC}/grid/v1.1.0/schema.json",
    "mgrs": f"{_STAC}/mgrs/v1.0.0/schema.json",
    "processing": f"{_STAC}/processing/v1.2.0/schema.json",
    "product": f"{_STAC}/product/v1.0.0/schema.json",
    "sar": f"{_STAC}/sar/v1.3.0/schema.json",
    "sat": f"{_STAC}/sat/v1.1.0/schema.json",
}
#: What every item uses: its assets, and its dates.
COMMON: Final = (
    f"{_STAC}/alternate-assets/v1.2.0/schema.json",
    f"{_STAC}/file/v2.1.0/schema.json",
    f"{_STAC}/timestamps/v1.1.0/schema.json",
)
#: Sentinel-1's radar.
_RADAR: Final = {"sar:frequency_band": "C", "sar:center_frequency": 5.405}

_SUFFIX: Final = re.compile(r"\.(?:SAFE|SEN3)$")
_NO_SLUG: Final = re.compile(r"[^a-z0-9]+")
_HOUR_S: Final = 3600
_DAY_S: Final = 86400
#: The template of types that have none.
DEFAULT_COLLECTION: Final = "{constellation}-{product_type}"
#: Timeliness classes of Sentinel-3 in names of collections.
_CATEGORIES: Final = {"NR": "nrt", "ST": "stc", "NT": "ntc"}


@dataclass(frozen=True, slots=True)
class Volatile:
    """What a reader adds to a body. `base_url` is the service's address; `store_url` that of the product's place in a
    bucket (`s3://bucket/Sentinel-1/SAR/…`), empty where it lies in no bucket."""

    published_at: datetime
    modified_at: datetime
    online: bool
    evicted_at: datetime | None
    base_url: str
    store_url: str = ""


def render_item(
    product: Product, files: Sequence[FileEntry], types: TypeRegistry, pictures: Sequence[Asset] = ()
) -> str:
    """A product's item. It is packaged, so that its size and checksums are final; `files` are its main files."""
    collection = collection_of(product, types)
    properties = _properties(product, types)
    used = {name.partition(":")[0] for name in properties}
    before: dict[str, Any] = {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": sorted([*COMMON, *(url for prefix, url in EXTENSIONS.items() if prefix in used)]),
        "id": item_id(product.name),
        "collection": collection,
        "geometry": product.footprint,
    }
    if product.footprint is not None:
        before["bbox"] = footprints.bbox(product.footprint)
    links = _links(f"/stac/collections/{collection}", item_id(product.name))
    return (
        f'{_json(before)[:-1]},"properties":{_json(properties)[:-1]},{VOLATILE}}},'
        f'"links":[{",".join(links)}],{render_assets(product, files, pictures)}}}'
    )


@lru_cache(maxsize=4096)
def version_of(type_id: str, types: TypeRegistry) -> int:
    """The version of a type's bodies: it changes with RENDER_VERSION and with what the tables say of items."""
    kind = types.types.get(type_id)
    told = [
        RENDER_VERSION,
        [(name, [astuple(field) for field in row.stac]) for name, row in types.attributes.items() if row.stac],
        [(name, limits.from_sensing_s) for name, limits in sorted(types.timeliness_classes.items())],
        (kind.name.pattern, kind.stac_collection) if kind else None,
    ]
    return 1 + zlib.crc32(orjson.dumps(told)) % (2**31 - 1)


def fill(body: str, volatile: Volatile) -> str:
    """An item, complete."""
    evicted = format_instant(volatile.evicted_at or FOREVER)
    members = (
        f'"published":"{format_instant(volatile.published_at)}","updated":"{format_instant(volatile.modified_at)}",'
        f'"expires":"{evicted}","refsys:online":{"true" if volatile.online else "false"}'
    )
    body = body.replace(STORE, f"{volatile.store_url}/") if volatile.store_url else ALTERNATE.sub("", body)
    return body.replace(VOLATILE, members, 1).replace(BASE, volatile.base_url)


def item_id(name: str) -> str:
    """A product's name without the suffix of its format."""
    return _SUFFIX.sub("", name)


def collection_of(product: Product, types: TypeRegistry) -> str:
    """The name of a product's collection: its type's template, else constellation and product type."""
    kind = types.types.get(product.type_id)
    match = kind.name.fullmatch(product.name) if kind else None
    return collection_name(
        kind.stac_collection if kind and match else "",
        match.groupdict(default="") if match else {},
        constellation=product.collection,
        product_type=product.product_type,
        timeliness=str(product.attributes.get("timeliness", "")),
    )


def collection_name(
    template: str, groups: Mapping[str, str], *, constellation: str, product_type: str, timeliness: str
) -> str:
    """The collection that a type's template makes of a name's groups; an empty one: of constellation and type."""
    names = {
        **groups,
        "constellation": constellation,
        "product_type": product_type,
        "timeliness_category": _CATEGORIES.get(timeliness, timeliness),
    }
    text = (template or DEFAULT_COLLECTION).format_map(names)
    return _NO_SLUG.sub("-", text.lower()).strip("-")


def duration(seconds: int) -> str:
    """An ISO 8601 duration in hours, or days from three days on: `PT24H`, `P30D`."""
    if seconds >= 3 * _DAY_S and seconds % _DAY_S == 0:
        return f"P{seconds // _DAY_S}D"
    return f"PT{seconds // _HOUR_S}H" if seconds % _HOUR_S == 0 else f"PT{seconds}S"


def _properties(product: Product, types: TypeRegistry) -> dict[str, Any]:
    start, stop = product.sensing_start, product.sensing_stop
    # of what has no time at all: since when there is such a product
    properties: dict[str, Any] = {"datetime": format_instant(start or product.available_at or product.described_at)}
    if start is not None and stop is not None:
        properties |= {"start_datetime": format_instant(start), "end_datetime": format_instant(stop)}
    if product.t0_raw is not None:
        properties["created"] = format_instant(product.t0_raw)
    properties["product:type"] = product.product_type
    limits = types.timeliness_classes.get(product.timeliness)
    if limits is not None and limits.from_sensing_s is not None:
        properties["product:timeliness"] = duration(limits.from_sensing_s)
    for name, value in _mapped(product.attributes, types).items():
        group, dot, member = name.partition(".")
        if dot:
            properties.setdefault(group, {})[member] = value
        else:
            properties[name] = value
    if "product:timeliness" not in properties:
        # the extension allows no category alone
        properties.pop("product:timeliness_category", None)
    if "sar:instrument_mode" in properties:
        properties |= _RADAR
    return properties


def _mapped(attributes: Mapping[str, Any], types: TypeRegistry) -> dict[str, Any]:
    """The fields that the tables make of attributes; of two for one field the first in the tables' order."""
    fields: dict[str, Any] = {}
    for definition in types.attributes.values():
        given = attributes.get(definition.name)
        if given is None:
            continue
        for stac in definition.stac:
            value = None if stac.name in fields else stac.value(given, attributes)
            if value is not None:
                fields[stac.name] = value
    return fields


def _links(collection: str, item: str) -> list[str]:
    places = {
        "self": (f"{collection}/items/{quote(item)}", "application/geo+json"),
        "parent": (collection, "application/json"),
        "collection": (collection, "application/json"),
        "root": ("/stac", "application/json"),
    }
    return [f'{{"rel":"{rel}","href":"{BASE}{path}","type":"{media}"}}' for rel, (path, media) in places.items()]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
