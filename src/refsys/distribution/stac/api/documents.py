"""Documents of the API besides items: landing page, collections, queryables; made of the tables and the catalogue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from refsys.core.times import format_instant
from refsys.distribution.stac.api.searching import SORTABLE
from refsys.distribution.stac.assets import PRODUCT
from refsys.distribution.stac.collections import Collection
from refsys.distribution.stac.items import EXTENSIONS, STAC_VERSION
from refsys.distribution.stac.queryables import Term

JSON: Final = "application/json"
GEOJSON: Final = "application/geo+json"
SCHEMA: Final = "application/schema+json"
HTML: Final = "text/html"
OPENAPI: Final = "application/vnd.oai.openapi+json;version=3.1"

TITLE: Final = "Copernicus Reference System"
DESCRIPTION: Final = "Products of Sentinel-1, Sentinel-2 and Sentinel-3, searched and downloaded."
_QUERYABLES: Final = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
_LICENCE: Final = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"
_PRODUCER: Final = {
    "name": "European Union/ESA/Copernicus",
    "roles": ["producer", "licensor"],
    "url": "https://www.copernicus.eu",
}
#: What collections without products tell of their assets.
_PACKAGE: Final = {PRODUCT: {"title": "Package", "roles": ["data"]}}
#: Members of an asset that are the same in all items of a collection.
_SHARED: Final = ("type", "roles")

#: What people read of a link.
_TITLES: Final = {
    "self": "This document",
    "root": TITLE,
    "parent": TITLE,
    "conformance": "Conformance classes",
    "data": "Collections",
    "service-desc": "OpenAPI description",
    "service-doc": "The API, for people",
    "search": "Search of items",
    _QUERYABLES: "Queryables",
    "items": "Items",
    "collection": "Collection of these items",
    "next": "Next page",
}

Document = dict[str, Any]


def link(rel: str, href: str, media_type: str = JSON, **rest: Any) -> Document:
    return {"rel": rel, "href": href, "type": media_type, "title": _TITLES.get(rel, rel), **rest}


def landing_page(root: str, conformance: Sequence[str], collections: Iterable[Collection]) -> Document:
    """`root` is the API's address, without a final slash."""
    return {
        "type": "Catalog",
        "stac_version": STAC_VERSION,
        "id": "refsys",
        "title": TITLE,
        "description": DESCRIPTION,
        "conformsTo": list(conformance),
        "links": [
            link("self", root),
            link("root", root),
            link("conformance", f"{root}/conformance"),
            link("data", f"{root}/collections"),
            link("service-desc", f"{root}/api", OPENAPI),
            link("service-doc", f"{root}/api.html", HTML),
            link("search", f"{root}/search", GEOJSON, method="GET"),
            link("search", f"{root}/search", GEOJSON, method="POST"),
            link(_QUERYABLES, f"{root}/queryables", SCHEMA),
            *(
                link("child", f"{root}/collections/{collection.id}", title=_title(collection))
                for collection in collections
            ),
        ],
    }


def collection_document(root: str, collection: Collection, example: Mapping[str, Any] | None) -> Document:
    """`example` is one of its items, None where it has none."""
    address = f"{root}/collections/{collection.id}"
    kinds = list(collection.types.values())
    levels = sorted({kind.level for kind in kinds} - {""})
    instruments = sorted({kind.instrument.lower() for kind in kinds} - {""})
    present = sorted(collection.present)
    summaries = {
        "constellation": [collection.constellation.lower()],
        "instruments": instruments,
        "product:type": present,
    }
    return {
        "type": "Collection",
        "stac_version": STAC_VERSION,
        "stac_extensions": [EXTENSIONS["product"]] if present else [],
        "id": collection.id,
        "title": _title(collection),
        "description": _description(collection, present),
        "keywords": ["Copernicus", _mission(collection), *(name.upper() for name in instruments), *levels],
        "license": "other",
        "providers": [_PRODUCER, {"name": TITLE, "roles": ["host"], "url": root}],
        "extent": {
            # of all that can come: footprints are not collected
            "spatial": {"bbox": [[-180.0, -90.0, 180.0, 90.0]]},
            "temporal": {"interval": [[None if collection.first is None else format_instant(collection.first), None]]},
        },
        "summaries": {name: values for name, values in summaries.items() if values and values != [""]},
        "item_assets": _item_assets(example) if example else _PACKAGE,
        "links": [
            link("self", address),
            link("root", root),
            link("parent", root),
            link("items", f"{address}/items", GEOJSON),
            link(_QUERYABLES, f"{address}/queryables", SCHEMA),
            link("license", _LICENCE, "application/pdf", title="Legal notice on the use of Copernicus Sentinel data"),
        ],
    }


def collections_document(root: str, address: str, documents: Sequence[Document], following: str | None) -> Document:
    """`address` is how it was asked for, `following` the address of the next page."""
    links = [link("self", address), link("root", root), link("parent", root)]
    if following is not None:
        links.append(link("next", following))
    return {"collections": list(documents), "links": links, "numberReturned": len(documents)}


def queryables_document(address: str, title: str, terms: Mapping[str, Term]) -> Document:
    """A JSON Schema of what filters may speak of; `address` is its own."""
    return {
        "$schema": "https://json-schema.org/draft/2019-09/schema",
        "$id": address,
        "type": "object",
        "title": title,
        "description": f"What filters may ask of items. Items can be sorted by {', '.join(SORTABLE)}.",
        "properties": {name: dict(term.schema) for name, term in terms.items()},
        "additionalProperties": False,
    }


def _mission(collection: Collection) -> str:
    return collection.constellation.title()


def _title(collection: Collection) -> str:
    rest = collection.id.removeprefix(f"{collection.constellation.lower()}-")
    return f"{_mission(collection)} {rest.upper().replace('-', ' ')}".strip()


def _description(collection: Collection, present: Sequence[str]) -> str:
    abouts = dict.fromkeys(kind.about for kind in collection.types.values())
    told = "; ".join(abouts) or "products"
    types = f" Product types here: {', '.join(present)}." if present else ""
    return f"{_mission(collection)}: {told}.{types}".strip()


def _item_assets(example: Mapping[str, Any]) -> Document:
    assets = example["assets"].items()
    return {key: {name: asset[name] for name in _SHARED if name in asset} for key, asset in assets}
